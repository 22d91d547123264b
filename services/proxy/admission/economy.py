"""What caching a template costs and yields, and whether it pays. Pure.

A read that is answered from memory takes H, one that is forwarded O, a miss M: O, and what it takes to look for the
answer and to keep it. With a hit ratio h caching costs h·H + (1 - h)·M a read, so it pays where h > (M - O) / (M - H).
O is time that is waited for Postgres, and the worker's work to forward; H and M - O are the worker's work, as its
processor time, since what they have to wait for is the same work of others. While the worker has hardly a pause, its
work counts for more (`pressure`): it is what all others wait for, and they wait for Postgres at the same time.

Most answers may never be asked for again although the ratio is good, where a few are asked for all the time. Then what
is asked for first is turned away, and what is asked for again is kept (*second sight*). Who keeps at first sight pays
M - O for each, and has one hit more of those that come again: with r for their share the same formula says which is
cheaper, with r in the place of h. What is known of r is how many of the answers that had to go were never read again.
While nothing had to go, nothing is known of it. A worker with pauses keeps all then. One without, as in a cold cache,
hopes for no more than that two in five are read again: all wait for its time, and what is hot soon comes again.

Where there is no room for all that is asked for again, answers displace one another. The sample does not show it, for
that has room; and who keeps one in two of them, or in sixty-four, has about as many hits, of what stays. So while most
of what is kept makes another one go, and the worker is busy, ever less of what is seen again is kept, until that takes
little of its time: an ever smaller part of the keys, and soon another one. What is hot gets in all the same, being
asked for in the time of each.

Whoever does not cache learns nothing of the hit ratio that he would have. So a sample of the keys is always cached, one
in sixteen at first: its hit ratio is that of all keys, at a sixteenth of the cost. Where caching does not pay the
others are turned away at once. Of few keys that are read more than all others together the sample may have none, and
knows too little of them. So what is let in is judged by all of its reads as well; and now and then, ever more seldom,
all are let in for that. Once that has been in vain one key in 64 has to do, and judgments come as much later: a
sixteenth of the reads, each at several times the cost, is felt.
"""

from enum import Enum

from services.proxy.admission.cost import Wait, Work
from services.proxy.admission.l2_yield import L2Yield
from services.proxy.admission.pressure import Pressure
from services.proxy.admission.sightings import Sightings
from services.proxy.reasons import Reason

_SAMPLED, _SAMPLED_LATER = 16, 64  # one key in so many, at first and behind the first trial that was in vain
_ENOUGH_READS = 32  # of the sample, to judge by
_ENOUGH_GONE = 32  # answers that had to go, to judge by how many of them were read again
_FEW_READS = 8  # of the sample since the last judgment: too few to go by while there are others
_SAMPLE_MISSES = 64  # after which a template is judged
_MISSES, _TURNED_AWAY = 1024, 512  # of the others, as well; with the smaller sample, four times as many
_BLIND_TRIAL_MISSES, _TRIAL_MISSES = 64, 256  # of the others, where all were let in, without and with a sample
_RETRY_AFTER, _RETRY_AFTER_MOST = 16, 256  # times 512 that are turned away: the first trial of all keys, at last each
_ONE_IN_MOST = 64  # of what is seen again, where there is no room
_ROUND_BITS = 5  # of so many that are turned away: then other keys are let in
_TOO_MUCH_SPENT, _LITTLE_SPENT = 0.05, 0.02  # for what makes others go, by what it would take to forward everything
_SLACK = 1.25  # between the ratio from which on it pays again and the one below which it does not

_LITTLE = 0.05  # of what Postgres takes: for so little, misses are let in, since equal ones share one query
_HOPED_FOR = 0.4  # the share of what is kept that is read again, while nothing is known of it
_REUSED = 0.5  # ratio from which on what was kept is likely to be read again, by other workers too

# Until they are measured, and on the safe side: nothing is turned away by a guess.
_ORIGIN_SECONDS, _MISS_SECONDS, _HIT_SECONDS = 1e-3, 100e-6, 20e-6
_READY_HIT_SECONDS = 8e-6  # one look-up and one write: too quick to be measured each time
FORWARDING_SECONDS = 50e-6
_LEAST_OVERHEAD = 5e-6  # less than that a miss cannot take, whatever was measured


def read_number(text: bytes, bound: bytes) -> int:
    """Return a number that is the same for equal reads of one form, in this process.

    Args:
        text: The statement.
        bound: All that its Bind says behind its names.
    """
    return hash(text) ^ hash(bound)


class Tally:
    """Hits and misses of some keys of a template.

    Attributes:
        hits: Answered from memory or Redis.
        looked_up: Those of them for which no reply was ready.
        misses: Sent upstream, to be kept.
        evicted: Answers that a change evicted.
        displaced: Those that had to make room.
        unused: Those of both that were never read again.
        reused: Whether what is kept is likely to be read again; until that is known it is hoped for.
    """

    __slots__ = ("displaced", "evicted", "hits", "looked_up", "misses", "reused", "unused")

    def __init__(self) -> None:
        self.reused = True
        self.hits = 0
        self.looked_up = 0
        self.misses = 0
        self.evicted = 0
        self.displaced = 0
        self.unused = 0

    @property
    def gone(self) -> int:
        """How many answers had to go."""
        return self.evicted + self.displaced

    def add(self, other: "Tally") -> None:
        """Count what another one has counted."""
        self.hits += other.hits
        self.looked_up += other.looked_up
        self.misses += other.misses
        self.evicted += other.evicted
        self.displaced += other.displaced
        self.unused += other.unused


class Keeps(Enum):
    """Whose answers are kept; the value is for people, who are also told how large the sample is."""

    ALL = "yes"
    SEEN_BEFORE = "2nd sight"  # what was asked for before, and the sample
    SAMPLE = "sample"


class Prices:
    """What all templates of a worker have in common.

    Attributes:
        forwarding: The work for a statement that is forwarded, of whatever template.
        pressure: How dear work is.
        sightings: What was asked for lately, of those templates of which that matters.
    """

    __slots__ = ("forwarding", "pressure", "sightings")

    def __init__(self) -> None:
        self.forwarding = Work(FORWARDING_SECONDS)
        self.pressure = Pressure()
        self.sightings = Sightings()


class Economy:
    """One template's.

    Attributes:
        keeps: Whose answers are kept.
        one_in: Of what is seen again, where first sight does not do: the share that is kept is 1 / `one_in`.
        sampled: One key in so many is of the sample.
        sample, rest: The tallies of both.
        turned_away: Reads that were forwarded because caching does not pay.
        origin: What Postgres has its client wait.
        miss: The work of the worker for one read of this template that misses.
        looked_up: The same for one that hits, and for which no reply was ready.
        prices: What it has in common with others.
        l2: What Redis yields.
    """

    __slots__ = (
        "_adapts",
        "_admitted_at",
        "_gone",
        "_hits",
        "_looked_up",
        "_misses",
        "_misses_allowed",
        "_on_trial",
        "_retry_after",
        "_second_sight",
        "_seen",
        "_seen_displaced",
        "_seen_gone",
        "_seen_looked_up",
        "_seen_turned_away",
        "_unused",
        "keeps",
        "l2",
        "looked_up",
        "miss",
        "one_in",
        "origin",
        "prices",
        "rest",
        "sample",
        "sampled",
        "turned_away",
    )

    def __init__(self, prices: Prices, *, adapts: bool = True) -> None:
        """Let all in at first; for ever, unless it `adapts`."""
        self._adapts = adapts
        self.keeps = Keeps.ALL
        self.one_in = 1  # a power of two
        self.sampled = _SAMPLED
        self._second_sight = False  # also while only the sample is kept
        self.sample, self.rest = Tally(), Tally()
        self.turned_away = 0
        self.origin = Wait(_ORIGIN_SECONDS)
        self.miss, self.looked_up, self.prices = Work(_MISS_SECONDS), Work(_HIT_SECONDS), prices
        self.l2 = L2Yield(self.origin if adapts else None)
        self._hits = self._misses = 0.0  # by which it is judged; the older ones count less
        self._looked_up = 1.0  # the share of its hits lately for which no reply was ready
        self._seen_looked_up = 0
        self._seen = (0, 0, 0, 0)  # hits and misses of the sample and of the rest, when it was judged last
        self._gone = self._unused = 0.0  # by which it is judged whether the first sight pays
        self._seen_displaced = 0
        self._seen_gone = (0, 0, 0, 0)  # gone and unused of the sample and of the rest, when it was judged last
        self._seen_turned_away = 0
        self._misses_allowed = _MISSES  # of the others, until it is judged
        self._admitted_at = 0  # how many had been turned away when more than the sample was let in last
        self._retry_after = _RETRY_AFTER
        self._on_trial = False  # all were let in to see whether that pays

    def tally(self, number: int) -> Tally:
        """Return the tally of a read; see `read_number`."""
        return self.rest if number & (self.sampled - 1) else self.sample

    def turns_away(self, number: int) -> str:
        """Return, and count it, why a read is forwarded without looking for its answer; empty where it is not."""
        if self.keeps is Keeps.ALL or not number & (self.sampled - 1):
            return ""
        reason = Reason.DOES_NOT_PAY
        if self.keeps is Keeps.SEEN_BEFORE:
            reason = Reason.FIRST_SIGHT
            if self.prices.sightings.again(number):
                # Whatever is asked about one read has one answer; soon it is another part of the keys.
                if not ((number >> 12) + (self.turned_away >> _ROUND_BITS)) & (self.one_in - 1):
                    return ""
                reason = Reason.NO_ROOM
        self.turned_away += 1
        if self.turned_away - self._seen_turned_away >= _TURNED_AWAY * self._scale:
            self._judge()
        return reason

    def missed(self, tally: Tally) -> None:
        """A read goes upstream, whose answer is to be kept."""
        tally.misses += 1
        of_sample, of_rest = self.sample.misses - self._seen[1], self.rest.misses - self._seen[3]
        if of_sample >= _SAMPLE_MISSES or of_rest >= self._misses_allowed:
            self._judge()

    @property
    def admitted(self) -> bool:
        """Whether more than the sample is kept."""
        return self.keeps is not Keeps.SAMPLE

    @property
    def _scale(self) -> int:
        """How many times as much has to be seen of the others for as much to be seen of the sample."""
        return self.sampled // _SAMPLED

    @property
    def overhead(self) -> float:
        """What a miss takes more than to forward: M - O, in seconds."""
        return max(self.miss.seconds - self.prices.forwarding.seconds, _LEAST_OVERHEAD)

    @property
    def hit(self) -> float:
        """What a hit takes on the average: H, in seconds."""
        return _READY_HIT_SECONDS + self._looked_up * max(self.looked_up.seconds - _READY_HIT_SECONDS, 0.0)

    @property
    def ratio_needed(self) -> float:
        """The hit ratio from which on caching pays; above 1 where a hit takes longer than to ask Postgres."""
        dear = self.prices.pressure.factor
        saved = self.origin.seconds + dear * (self.prices.forwarding.seconds - self.hit)
        overhead = dear * self.overhead
        return overhead / (overhead + saved) if saved > 0 else 2.0

    @property
    def ratio(self) -> float | None:
        """The hit ratio lately, by what it is judged by; None while that is too little."""
        reads = self._hits + self._misses
        return self._hits / reads if reads >= _ENOUGH_READS else None

    @property
    def reuse(self) -> float | None:
        """Of the answers that had to go lately, the share that was read again; None while those are too few."""
        return 1.0 - self._unused / self._gone if self._gone >= _ENOUGH_GONE else None

    @property
    def _hopes_in_vain(self) -> bool:
        """Tell whether, for the first sight to pay, more would have to be read again than can be hoped for."""
        hoped_for = _HOPED_FOR * (1 if self._second_sight else _SLACK)
        return self.prices.pressure.factor > 1.0 and self.ratio_needed > hoped_for

    def _judge(self) -> None:
        if not self._adapts:
            return
        seen, sample, rest = self._seen, self.sample, self.rest
        self._seen = now = (sample.hits, sample.misses, rest.hits, rest.misses)
        turned_away = self.turned_away - self._seen_turned_away
        self._seen_turned_away = self.turned_away
        hits, misses, rest_hits, rest_misses = (new - old for new, old in zip(now, seen, strict=True))
        self._note_looked_up(hits + rest_hits)
        self._adapt_to_room(sum(now) - sum(seen) + turned_away, misses, rest_misses)
        admitted, second_sight = self.admitted, self._first_sight_is_in_vain(misses + rest_misses)
        blind, self._misses_allowed = not (admitted or hits or misses), _MISSES * self._scale
        on_trial, self._on_trial = self._on_trial, False
        if admitted:
            hits, misses = _the_better((hits, misses), (hits + rest_hits, misses + rest_misses))
        self._hits, self._misses = self._hits / 2 + hits, self._misses / 2 + misses
        ratio, needed = self.ratio, self.ratio_needed
        sample.reused = rest.reused = ratio is None or ratio >= _REUSED
        if blind or self.turned_away - self._admitted_at >= self._retry_after * _TURNED_AWAY:
            self._begin_trial(blind=blind)
            admitted = True
        elif self.overhead <= _LITTLE * self.origin.seconds:
            admitted, second_sight, self.one_in = True, False, 1
        elif ratio is not None:
            admitted = ratio * _SLACK >= needed if admitted else ratio >= min(needed, 0.95)
        if admitted:
            self._admitted_at = self.turned_away
        if on_trial and not admitted and self.sampled == _SAMPLED:
            self._sample_fewer()
        self._second_sight = second_sight
        if admitted:
            self.keeps = Keeps.SEEN_BEFORE if second_sight or self.one_in > 1 else Keeps.ALL
        else:
            self.keeps = Keeps.SAMPLE

    def _note_looked_up(self, hits: int) -> None:
        seen, self._seen_looked_up = self._seen_looked_up, self.sample.looked_up + self.rest.looked_up
        if hits >= _FEW_READS:
            self._looked_up += (min((self._seen_looked_up - seen) / hits, 1.0) - self._looked_up) / 2

    def _adapt_to_room(self, reads: int, misses: int, rest_misses: int) -> None:
        """Decide how much of what is seen again is kept, by what was read since the last judgment.

        Args:
            reads: All of them.
            misses: Those of the sample that missed.
            rest_misses: Those of the others.
        """
        seen, self._seen_displaced = self._seen_displaced, self.sample.displaced + self.rest.displaced
        if not self.admitted or reads < _ENOUGH_READS:
            return
        crowded = self.prices.pressure.factor > 1.0 and 2 * (self._seen_displaced - seen) >= misses + rest_misses
        spent = rest_misses * self.overhead / (reads * max(self.prices.forwarding.seconds, _LEAST_OVERHEAD))
        if crowded and spent > _TOO_MUCH_SPENT:
            self.one_in = min(self.one_in * 2, _ONE_IN_MOST)
        elif not crowded or spent < _LITTLE_SPENT:
            self.one_in = max(self.one_in // 2, 1)

    def _first_sight_is_in_vain(self, kept: int) -> bool:
        """Tell whether it costs more to keep what is asked for first than those answers yield that are read again.

        Args:
            kept: How many were kept since the last judgment.
        """
        seen, sample, rest = self._seen_gone, self.sample, self.rest
        self._seen_gone = now = (sample.gone, sample.unused, rest.gone, rest.unused)
        gone, unused, rest_gone, rest_unused = (new - old for new, old in zip(now, seen, strict=True))
        if kept >= _SAMPLE_MISSES and not gone + rest_gone:
            return self._hopes_in_vain  # there is room
        if self.keeps is Keeps.ALL:  # else the others were kept for a reason
            gone, unused = gone + rest_gone, unused + rest_unused
        self._gone, self._unused = self._gone / 2 + gone, self._unused / 2 + unused
        reuse, needed = self.reuse, self.ratio_needed
        if reuse is None:
            return self._hopes_in_vain
        return reuse < needed if self._second_sight else reuse * _SLACK < needed

    def _begin_trial(self, *, blind: bool) -> None:
        """Judge by all keys, and not by what was seen of the sample; where that may be in vain, not so soon again.

        Args:
            blind: Nothing was seen of it for all that was turned away, so there are few keys.
        """
        self._hits = self._misses = 0.0
        self._misses_allowed = _BLIND_TRIAL_MISSES if blind else _TRIAL_MISSES
        if not blind:
            self._retry_after = min(2 * self._retry_after, _RETRY_AFTER_MOST)
            self._on_trial = True

    def _sample_fewer(self) -> None:
        """Go by a smaller sample, and count it anew: what is there of the other keys is hit all the same."""
        self.sampled = _SAMPLED_LATER
        self.rest.add(self.sample)
        self.sample = Tally()
        self._seen = (0, 0, self.rest.hits, self.rest.misses)
        self._seen_gone = (0, 0, self.rest.gone, self.rest.unused)


def _the_better(sample: tuple[int, int], all_reads: tuple[int, int]) -> tuple[int, int]:
    """Return the hits and misses with the higher ratio: the sample may lack what is hot, the others may be cold yet."""
    (hits, misses), (all_hits, all_misses) = sample, all_reads
    if hits + misses < _FEW_READS or all_hits * misses >= hits * all_misses:
        return all_reads
    return sample
