"""What caching a template costs and yields, and whether it pays. Pure.

A read that is answered from memory takes H, one that is forwarded O, a miss M: O, and what it takes to look for the
answer and to keep it. With a hit ratio h caching costs h·H + (1 - h)·M a read, so it pays where h > (M - O) / (M - H).
O is time that is waited for Postgres; H and M - O are the worker's work, as its processor time, since what they have to
wait for is the same work of others.

Whoever does not cache learns nothing of the hit ratio that he would have. So one key in sixteen is always cached: its
hit ratio is that of all keys, at a sixteenth of the cost. Where caching does not pay the others are turned away at
once. Of few keys that are read more than all others together the sample may have none, and knows too little of them.
So what is let in is judged by all of its reads as well; and now and then, ever more seldom, all are let in for that.
"""

from services.proxy.admission.cost import Wait, Work
from services.proxy.admission.l2_yield import L2Yield

_SAMPLE_MASK = 15  # one key in sixteen
_ENOUGH_READS = 32  # of the sample, to judge by
_FEW_READS = 8  # of the sample since the last judgment: too few to go by while there are others
_SAMPLE_MISSES, _MISSES = 64, 1024  # after which a template is judged
_TURNED_AWAY = 512  # as well
_BLIND_TRIAL_MISSES, _TRIAL_MISSES = 64, 256  # of the others, where all were let in, without and with a sample
_RETRY_AFTER, _RETRY_AFTER_MOST = 16, 256  # judgments by the sample: the first trial of all keys, and at last each
_SLACK = 1.25  # between the ratio from which on it pays again and the one below which it does not

_LITTLE = 0.05  # of what Postgres takes: for so little, misses are let in, since equal ones share one query
_REUSED = 0.5  # ratio from which on what was kept is likely to be read again, by other workers too

# Until they are measured, and on the safe side: nothing is turned away by a guess.
_ORIGIN_SECONDS, _MISS_SECONDS, _HIT_SECONDS = 1e-3, 100e-6, 20e-6
FORWARDING_SECONDS = 50e-6
_LEAST_OVERHEAD = 5e-6  # less than that a miss cannot take, whatever was measured


def read_number(text: bytes, values: tuple[bytes | None, ...]) -> int:
    """Return a number that is the same for equal reads of one form, in this process."""
    return hash(text) ^ hash(values)


class Tally:
    """Hits and misses of some keys of a template.

    Attributes:
        hits: Answered from memory or Redis.
        misses: Sent upstream, to be kept.
        evicted: Answers that a change evicted.
        reused: Whether what is kept is likely to be read again; until that is known it is hoped for.
    """

    __slots__ = ("evicted", "hits", "misses", "reused")

    def __init__(self) -> None:
        self.reused = True
        self.hits = 0
        self.misses = 0
        self.evicted = 0


class Economy:
    """One template's.

    Attributes:
        admitted: All keys are cached; else only those of the sample.
        sample, rest: The tallies of both.
        turned_away: Reads that were forwarded because caching does not pay.
        origin: What Postgres has its client wait.
        miss, hit, forwarding: The work of the worker for one read: of this template, and of any that is forwarded.
        l2: What Redis yields.
    """

    __slots__ = (
        "_adapts",
        "_hits",
        "_misses",
        "_misses_allowed",
        "_retry_after",
        "_seen",
        "_seen_turned_away",
        "_times_refused",
        "admitted",
        "forwarding",
        "hit",
        "l2",
        "miss",
        "origin",
        "rest",
        "sample",
        "turned_away",
    )

    def __init__(self, forwarding: Work, *, adapts: bool = True) -> None:
        """Let all in at first; for ever, unless it `adapts`."""
        self._adapts = adapts
        self.admitted = True
        self.sample, self.rest = Tally(), Tally()
        self.turned_away = 0
        self.origin = Wait(_ORIGIN_SECONDS)
        self.miss, self.hit, self.forwarding = Work(_MISS_SECONDS), Work(_HIT_SECONDS), forwarding
        self.l2 = L2Yield(self.origin if adapts else None)
        self._hits = self._misses = 0.0  # by which it is judged; the older ones count less
        self._seen = (0, 0, 0, 0)  # hits and misses of the sample and of the rest, when it was judged last
        self._seen_turned_away = 0
        self._misses_allowed = _MISSES  # of the others, until it is judged
        self._times_refused = 0  # by the sample, since all were let in last
        self._retry_after = _RETRY_AFTER

    def tally(self, number: int) -> Tally:
        """Return the tally of a read; see `read_number`."""
        return self.rest if number & _SAMPLE_MASK else self.sample

    def turns_away(self, number: int) -> bool:
        """Tell, and count it, whether a read is forwarded without looking for its answer."""
        if self.admitted or not number & _SAMPLE_MASK:
            return False
        self.turned_away += 1
        if self.turned_away - self._seen_turned_away >= _TURNED_AWAY:
            self._judge()
        return True

    def missed(self, tally: Tally) -> None:
        """A read goes upstream, whose answer is to be kept."""
        tally.misses += 1
        of_sample, of_rest = self.sample.misses - self._seen[1], self.rest.misses - self._seen[3]
        if of_sample >= _SAMPLE_MISSES or of_rest >= self._misses_allowed:
            self._judge()

    @property
    def overhead(self) -> float:
        """What a miss takes more than to forward: M - O, in seconds."""
        return max(self.miss.seconds - self.forwarding.seconds, _LEAST_OVERHEAD)

    @property
    def ratio_needed(self) -> float:
        """The hit ratio from which on caching pays; above 1 where a hit takes longer than to ask Postgres."""
        saved = self.origin.seconds - self.hit.seconds
        return self.overhead / (self.overhead + saved) if saved > 0 else 2.0

    @property
    def ratio(self) -> float | None:
        """The hit ratio lately, by what it is judged by; None while that is too little."""
        reads = self._hits + self._misses
        return self._hits / reads if reads >= _ENOUGH_READS else None

    def _judge(self) -> None:
        if not self._adapts:
            return
        seen, sample, rest = self._seen, self.sample, self.rest
        self._seen = now = (sample.hits, sample.misses, rest.hits, rest.misses)
        self._seen_turned_away = self.turned_away
        hits, misses, rest_hits, rest_misses = (new - old for new, old in zip(now, seen, strict=True))
        blind, self._misses_allowed = not (self.admitted or hits or misses), _MISSES
        if self.admitted:
            hits, misses = _the_better((hits, misses), (hits + rest_hits, misses + rest_misses))
        self._hits, self._misses = self._hits / 2 + hits, self._misses / 2 + misses
        ratio, needed = self.ratio, self.ratio_needed
        sample.reused = rest.reused = ratio is None or ratio >= _REUSED
        if blind or self._times_refused >= self._retry_after:
            self._let_all_in(blind=blind)
        elif self.overhead <= _LITTLE * self.origin.seconds:
            self.admitted = True
        elif ratio is not None:
            self.admitted = ratio * _SLACK >= needed if self.admitted else ratio >= min(needed, 0.95)
        if self.admitted:
            self._times_refused = 0
        else:
            self._times_refused += 1

    def _let_all_in(self, *, blind: bool) -> None:
        """Judge by all keys, and not by what was seen of the sample; where that may be in vain, not so soon again.

        Args:
            blind: Nothing was seen of it for all that was turned away, so there are few keys.
        """
        self.admitted = True
        self._hits = self._misses = 0.0
        self._misses_allowed = _BLIND_TRIAL_MISSES if blind else _TRIAL_MISSES
        if not blind:
            self._retry_after = min(2 * self._retry_after, _RETRY_AFTER_MOST)


def _the_better(sample: tuple[int, int], all_reads: tuple[int, int]) -> tuple[int, int]:
    """Return the hits and misses with the higher ratio: the sample may lack what is hot, the others may be cold yet."""
    (hits, misses), (all_hits, all_misses) = sample, all_reads
    if hits + misses < _FEW_READS or all_hits * misses >= hits * all_misses:
        return all_reads
    return sample
