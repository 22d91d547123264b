"""Which reads may be served while Postgres is down: the bound on freshness is all that is lifted."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from services.proxy.reasons import Reason
from services.proxy.session.demand import Demand
from services.proxy.session.lookup import Lookup
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Effect, Step
from services.proxy.session.read_run import ReadRun
from services.proxy.session.turns import Part, PartKind
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.runtime.settings import Consistency

_RELATION = 16384
_TEMPLATE = "select a from t"
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
        self.quarantine = SimpleNamespace(templates=frozenset(("another template",)))
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
            quarantine=self.quarantine,
            uncached_relation=lambda _relations: self.uncached,
        )
        analysis = SimpleNamespace(relations=(_RELATION,))
        template = SimpleNamespace(analysis=analysis, lexed=SimpleNamespace(template=_TEMPLATE))
        plan: Any = SimpleNamespace(template=template, demand=self.demand, relations=(_RELATION,))
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
        _put("quarantine", "templates", frozenset((_TEMPLATE,))),
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


class _Turns:
    """Takes what a run sends."""

    def __init__(self) -> None:
        self.sent = b""

    def to_client(self, data: bytes) -> bool:
        self.sent += data
        return True

    def finish(self, **_how: object) -> None:
        pass


@pytest.mark.parametrize(("refusal", "remembered"), [("", 1), (Reason.NOT_FRESH, 0)])
def test_an_answer_with_a_warning_is_not_kept_ready_made(refusal: str, remembered: int) -> None:
    """Later it would be served as if it were fresh, and say the contrary; or the other way round."""
    kept: list[bytes] = []
    warning, reply = b"a warning", b"an answer"
    lookup = SimpleNamespace(
        note_read=lambda: None,
        serve_refusal=lambda _plan, _state: refusal,
        audit_refusal=lambda _plan, _state: "",
        serves_stale=lambda _plan, _state: True,
        from_l1=lambda _plan: SimpleNamespace(answer=None),
        stale_warning=lambda: warning,
    )
    conversation: Any = SimpleNamespace(
        block=None,
        orphaned=False,
        keeper=SimpleNamespace(state=None),
        lookup=lookup,
        remember=lambda _turn, _steps, payload, _entries, _situation: kept.append(payload),
        shown_status=TransactionStatus.IDLE,
        situation=b"",
    )
    request: Any = SimpleNamespace(reply=lambda _answer: reply, sets_unnamed=False, simple=True)
    plan: Any = SimpleNamespace(ages=False)
    turns: Any = _Turns()
    part = Part(PartKind.TURN, b"", (), first=True, last=True)
    ReadRun(turns, conversation, part, (), (Step(request, 1, plan),)).go_on()

    ready = READY_FOR_QUERY[TransactionStatus.IDLE]
    assert turns.sent == (reply if remembered else warning + reply) + ready
    assert kept == [reply + ready] * remembered
