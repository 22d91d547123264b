"""How fresh an answer has to be: what a cache promises, what a session asks for, what a statement asks for. Pure.

The narrower word counts: a comment for its statement, `SET tidegate.consistency` and `SET tidegate.max_staleness` (or
the same in the start-up options) for a session, the cache's settings for all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from services.proxy.cache.freshness import Freshness, lasting
from services.proxy.session.state import SessionState
from services.proxy.session.templates import Promise
from services.proxy.sql.directives import NO_DIRECTIVES, Directives
from services.shared.runtime.settings import Consistency

_READS_OWN_WRITES = (Consistency.SESSION, Consistency.STRONG)


@dataclass(frozen=True, slots=True)
class Demand:
    """How fresh an answer has to be.

    Attributes:
        level: What is promised.
        max_staleness: The bound, in seconds.
        span: For how long a proof of freshness lasts under that bound, in seconds.
    """

    level: Consistency
    max_staleness: float
    span: float

    @property
    def own_writes(self) -> bool:
        """Whether it has to show what the session has written."""
        return self.level in _READS_OWN_WRITES

    @property
    def strong(self) -> bool:
        """Whether it has to be current at some instant between the statement's start and its end."""
        return self.level is Consistency.STRONG


NOTHING_SERVES = Demand(Consistency.OFF, 0.0, lasting(0.0))
"""What no stored answer meets."""


@lru_cache(maxsize=256)
def _made(level: Consistency, max_staleness: float) -> Demand:
    return Demand(level, max_staleness, lasting(max_staleness))


def demand(promise: Promise, state: SessionState, asked: Directives = NO_DIRECTIVES) -> Demand:
    """Return what has to be met.

    Args:
        promise: The cache's.
        state: The session's.
        asked: What the statement's comments say.
    """
    bounds = (asked.max_staleness, state.max_staleness)
    bound = next((bound for bound in bounds if bound is not None), promise.max_staleness)
    return _made(asked.consistency or state.consistency or promise.consistency, bound)


class BoundedClock:
    """The worker's freshness, as a session sees it whose bound is another than the cache's."""

    __slots__ = ("_demand", "_freshness", "_note_bound")

    def __init__(self, freshness: Freshness, demand: Demand, note_bound: Callable[[float], None]) -> None:
        """Look at the worker's clock.

        Args:
            freshness: The worker's.
            demand: The session's.
            note_bound: Told the bound whenever it is gone by, for the probes have to keep pace.
        """
        self._freshness = freshness
        self._demand = demand
        self._note_bound = note_bound

    @property
    def deadline(self) -> float:
        """Boot-clock second until which a hit may be served; see `Freshness.deadline`."""
        self._note_bound(self._demand.max_staleness)
        return self._freshness.deadline_under(self._demand.span)
