"""What the proxies' counters said, over time: whether reads are hits, and for how long they were not."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.history import now
from tests.chaos.service import Service

_EVERY_SECONDS = 0.05
# Not those that were joined to another session's query: those are of Postgres, and go on when nothing is proven fresh.
_HITS = ("tidegate_proxy_hits_total", "tidegate_proxy_hits_l2_total")
_FORWARDED = "tidegate_proxy_forwarded_total"
_END_SECONDS = 5.0

GAP_SECONDS = 0.4
"""Without a hit for less is what a busy machine does to a sample or two."""

STEADY_SECONDS = 1.0
STEADY_HITS = 50
"""How long, and how much, the cache has to serve to be called warm."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What all proxies together have counted up to one moment.

    Attributes:
        at: When.
        hits: Answers from the cache.
        forwarded: Turns that went to Postgres.
    """

    at: float
    hits: float
    forwarded: float


@dataclass(frozen=True, slots=True)
class Share:
    """How a stretch of time's turns were answered."""

    hits: float
    forwarded: float

    @property
    def hit_ratio(self) -> float:
        """The share that came from the cache."""
        return self.hits / max(self.hits + self.forwarded, 1.0)


def hit_times(samples: Sequence[Sample]) -> list[float]:
    """Return the moments at which new hits were seen."""
    return [after.at for before, after in pairwise(samples) if _grown(before.hits, after.hits) > 0]


def longest_bypass(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Return the longest stretch of time without a hit, in seconds, of what lies between two moments."""
    times = [begin, *(at for at in hit_times(samples) if begin < at < end), end]
    return max(after - before for before, after in pairwise(times))


def recovered_at(samples: Sequence[Sample], since: float, until: float) -> float:
    """Return the end of the last stretch of time without a hit that is worth the name; `since` if there is none."""
    times = [since, *(at for at in hit_times(samples) if since < at < until)]
    return max((after for before, after in pairwise(times) if after - before > GAP_SECONDS), default=since)


def is_steady(samples: Sequence[Sample], at: float) -> bool:
    """Tell whether reads have been hits for a while, without a gap."""
    since = at - STEADY_SECONDS
    enough = share_between(samples, since, at).hits >= STEADY_HITS
    return enough and longest_bypass(samples, since, at) <= GAP_SECONDS


def share_between(samples: Sequence[Sample], begin: float, end: float) -> Share:
    """Return how turns were answered between two moments."""
    inside = [sample for sample in samples if begin <= sample.at <= end]
    hits = sum(_grown(before.hits, after.hits) for before, after in pairwise(inside))
    forwarded = sum(_grown(before.forwarded, after.forwarded) for before, after in pairwise(inside))
    return Share(hits, forwarded)


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after


class Meter:
    """Reads the counters for as long as it lasts.

    Attributes:
        samples: What it read; none while no proxy answers.
    """

    def __init__(self, proxies: Sequence[Service]) -> None:
        self._proxies = proxies
        self._counted: dict[str, dict[str, float]] = {}  # by proxy; they begin again at 0 with every start of it
        self._hits, self._forwarded = 0.0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(_END_SECONDS)

    def is_steady(self) -> bool:
        """Tell whether reads have been hits for a while, without a gap, until now."""
        return is_steady(self.samples, now())

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            at = now()
            answering = [self._count(proxy) for proxy in self._proxies]
            if any(answering):
                self.samples.append(Sample(at, self._hits, self._forwarded))

    def _count(self, proxy: Service) -> bool:
        """Add what a proxy has counted since it was last asked; tell whether it answers."""
        metrics = proxy.metrics()
        if metrics is None:
            return False
        before = self._counted.get(proxy.name, {})
        self._hits += sum(_grown(before.get(name, 0.0), metrics.get(name, 0.0)) for name in _HITS)
        self._forwarded += _grown(before.get(_FORWARDED, 0.0), metrics.get(_FORWARDED, 0.0))
        self._counted[proxy.name] = metrics
        return True
