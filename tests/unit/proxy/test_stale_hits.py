"""Which reads may be served while Postgres is down: the bound on freshness is all that is lifted."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from services.proxy.session.demand import Demand
from services.proxy.session.lookup import Lookup
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Effect
from services.shared.runtime.settings import Consistency

_RELATION = 16384
_STALENESS = 20.0
_BOUND = 1.0


def _demand(level: Consistency, max_staleness: float = _BOUND) -> Demand:
    return Demand(level, max_staleness, max_staleness)


class _Case:
    """A read that may be served, to be spoiled in one respect."""

    def __init__(self) -> None:
        self.outage = SimpleNamespace(serves=True, staleness=_STALENESS)
        self.follower = SimpleNamespace(matches=lambda timeline, canary: (timeline, canary) == ("1", "c"))
        self.watch = SimpleNamespace(undoubted=True, completed=7)
        self.uncached = False
        self.writes = OwnWrites(counted=True)
        self.state: Any = SimpleNamespace(timeline="1", canary="c")
        self.demand = _demand(Consistency.SESSION)
        self.covered = 5

    def serves(self) -> bool:
        database: Any = SimpleNamespace(
            outage=self.outage,
            follower=self.follower,
            catalog_watch=self.watch,
            settings=SimpleNamespace(max_staleness=_BOUND),
            freshness=SimpleNamespace(covered=self.covered),
            uncached_relation=lambda _relations: self.uncached,
        )
        analysis = SimpleNamespace(relations=(_RELATION,))
        plan: Any = SimpleNamespace(template=SimpleNamespace(analysis=analysis), demand=self.demand)
        return Lookup(database, self.writes).serves_stale(plan, self.state)

    def write(self, relation: int, *, number: int | None) -> None:
        """Note a write, whose token has this number; None: its end has not come."""
        self.writes.begin(Effect(frozenset({relation})))
        if number is not None:
            self.writes.visible(number)


def _put(part: str, name: str, value: object) -> Callable[[_Case], None]:
    return lambda case: setattr(getattr(case, part), name, value)


def _of(name: str, value: object) -> Callable[[_Case], None]:
    return lambda case: setattr(case, name, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda _case: None,
        lambda case: case.write(_RELATION, number=5),
        lambda case: case.write(_RELATION + 1, number=None),
        _of("demand", _demand(Consistency.BOUNDED)),
        _of("demand", _demand(Consistency.SESSION, _STALENESS + 1)),
    ],
)
def test_a_read_may_be_served(change: Callable[[_Case], None]) -> None:
    case = _Case()
    change(case)
    assert case.serves()


@pytest.mark.parametrize(
    "change",
    [
        _put("outage", "serves", False),
        _put("state", "canary", "of another history"),
        _put("state", "timeline", "2"),
        _of("state", None),
        _of("uncached", True),
        _put("watch", "undoubted", False),
        _put("writes", "catalog_reading", 8),
        lambda case: case.writes.begin(Effect(frozenset(), schema=True)),
        lambda case: case.write(_RELATION, number=6),
        lambda case: case.write(_RELATION, number=None),
        _of("demand", _demand(Consistency.SESSION, _STALENESS - 1)),
        _of("demand", _demand(Consistency.OFF)),
        _of("demand", _demand(Consistency.STRONG)),
    ],
)
def test_one_reason_is_enough_not_to(change: Callable[[_Case], None]) -> None:
    case = _Case()
    change(case)
    assert not case.serves()
