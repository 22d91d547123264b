"""Contract, 9.5: what has to be proven before a query under way is shared; and what is left of it when it fails."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from services.proxy.cache.entry import Answer
from services.proxy.cache.flights import Flight
from services.proxy.cache.freshness import boot_clock
from services.proxy.cached_database import CachedDatabase
from services.proxy.catalog_watch import CatalogWatch
from services.proxy.reasons import Reason
from services.proxy.replica.replay import Server
from services.proxy.session.joining import Joining
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Effect, Plan
from services.proxy.session.state import SessionState
from services.shared.epoch import StreamEpoch
from services.shared.lsn import Lsn
from services.shared.pgwire.frontend import Query
from tests.unit.proxy.test_keeping import a_database
from tests.unit.proxy.test_planning import READ, planned
from tests.unit.sql.small_catalog import small_catalog

_TIMELINE, _CANARY = "00000001", "canary"
_STATE = SessionState(("pg_catalog", "public"), _TIMELINE, _CANARY, b"key", "")
_ANSWER = Answer(b"T", b"D", b"C")


class Watch:
    """Of a watch over the catalog what joining looks at."""

    def __init__(self) -> None:
        self.current = self.readable = True
        self.completed = 1
        self.looked_at = boot_clock()
        self.asked = 0

    def ask(self) -> int:
        self.asked += 1
        return 2


@pytest.fixture
def database() -> CachedDatabase:
    """A worker that follows no epoch, and has looked at the catalog just now."""
    database = a_database()
    database.templates.use(small_catalog())
    database.catalog_watch = cast(CatalogWatch, Watch())
    return database


@pytest.fixture
def plan(database: CachedDatabase) -> Plan:
    found: Plan = planned(database.templates, Query(READ), state=_STATE)
    assert found.key
    return found


def _joining(database: CachedDatabase) -> Joining:
    return Joining(database, OwnWrites(counted=True), None)


def _watch(database: CachedDatabase) -> Watch:
    return cast(Watch, database.catalog_watch)


def _follow(database: CachedDatabase, canary: str = _CANARY, lsn: int = 1000) -> None:
    database.follower.epoch = "epoch"
    database.follower.stream = StreamEpoch("1", 1, _TIMELINE, canary, "slot", "topic")
    probe = database.freshness.send()
    database.freshness.answer(probe, Lsn(lsn))
    database.freshness.advance(Lsn(lsn + 1))


def _shared(database: CachedDatabase, plan: Plan, state: SessionState | None = _STATE) -> bool:
    """Tell whether one session opens a query for others, and another may join it."""
    opened = _joining(database).open(plan, state, boot_clock()) is not None
    return opened and _joining(database).could_join(plan, state)


def test_nothing_has_to_be_followed_for_a_query_to_be_shared(database: CachedDatabase, plan: Plan) -> None:
    assert not database.follower.epoch
    assert not database.follower.followed
    assert _shared(database, plan)
    _follow(database)
    assert _shared(database, plan)


def test_without_a_canary_nobody_knows_whether_two_sessions_are_on_one_server(
    database: CachedDatabase, plan: Plan
) -> None:
    assert not _shared(database, plan, replace(_STATE, canary=""))
    assert not _shared(database, plan, None)


def test_of_another_history_than_the_followed_one_nothing_is_shared(database: CachedDatabase, plan: Plan) -> None:
    _follow(database, canary="another")
    assert not _shared(database, plan)


def test_what_a_standby_answers_is_not_shared_and_without_an_epoch_it_shares_nothing(
    database: CachedDatabase, plan: Plan
) -> None:
    standby = replace(_STATE, server=Server("now", "there"))
    joining = _joining(database)
    assert joining.open(plan, _STATE, boot_clock()) is not None
    assert not joining.could_join(plan, standby)
    _follow(database)
    assert joining.could_join(plan, standby)
    assert joining.open(plan, standby, boot_clock()) is None


@pytest.mark.parametrize("readable", [False, True])
def test_where_the_catalog_is_not_current_nothing_is_shared(
    database: CachedDatabase, plan: Plan, *, readable: bool
) -> None:
    flight = _joining(database).open(plan, _STATE, boot_clock())
    assert flight is not None
    _watch(database).current, _watch(database).readable = False, readable
    assert not _joining(database).could_join(plan, _STATE)
    assert _joining(database).open(plan, _STATE, boot_clock()) is None


def test_what_was_planned_by_another_reading_of_the_catalog_is_not_shared(database: CachedDatabase, plan: Plan) -> None:
    assert _shared(database, plan)
    database.templates.use(small_catalog())
    assert not _joining(database).could_join(plan, _STATE)
    again: Plan = planned(database.templates, Query(READ), state=_STATE)
    assert again.key == plan.key
    assert not _joining(database).could_join(again, _STATE)


def test_who_has_changed_the_catalog_shares_nothing_until_it_was_read(database: CachedDatabase, plan: Plan) -> None:
    writes = OwnWrites(counted=True)
    joining = Joining(database, writes, None)
    assert _shared(database, plan)
    writes.begin(Effect(frozenset(), schema=True))
    assert not joining.could_join(plan, _STATE)
    writes.visible(1)
    writes.catalog_reading = 2
    assert not joining.could_join(plan, _STATE)
    _watch(database).completed = 2
    assert joining.could_join(plan, _STATE)


def test_ddl_that_is_heard_of_by_nobody_is_looked_for_within_the_bound(database: CachedDatabase, plan: Plan) -> None:
    watch = _watch(database)
    assert _shared(database, plan)
    watch.looked_at = boot_clock() - 0.6 * plan.demand.span
    assert _joining(database).could_join(plan, _STATE)
    assert watch.asked == 1
    watch.looked_at = boot_clock() - plan.demand.span
    assert not _joining(database).could_join(plan, _STATE)
    _follow(database)  # and is heard of
    assert _joining(database).could_join(plan, _STATE)


def test_a_template_in_quarantine_is_not_shared(database: CachedDatabase, plan: Plan) -> None:
    assert plan.template is not None
    database.quarantine = cast("type[object]", SimpleNamespace(templates={plan.template.lexed.template}))  # type: ignore[assignment]
    assert not _shared(database, plan)


def test_an_answer_without_the_description_of_its_columns_is_for_those_who_did_not_ask_for_one(
    database: CachedDatabase, plan: Plan
) -> None:
    assert plan.request is not None
    undescribed = plan._replace(request=plan.request._replace(described=False))
    described = plan._replace(request=plan.request._replace(described=True))
    joining = _joining(database)
    joining.open(undescribed, _STATE, boot_clock())
    assert joining.could_join(undescribed, _STATE)
    assert not joining.could_join(described, _STATE)
    joining.open(described, _STATE, boot_clock())
    assert joining.could_join(undescribed, _STATE)
    assert joining.could_join(described, _STATE)


def test_an_answer_that_was_too_large_is_waited_for_by_nobody_for_a_while(database: CachedDatabase, plan: Plan) -> None:
    joining, now = _joining(database), boot_clock()
    flight = joining.open(plan, _STATE, now)
    assert flight is not None
    database.flights.outgrown(flight)
    assert not joining.could_join(plan, _STATE)
    assert joining.open(plan, _STATE, now + 50) is None
    assert joining.open(plan, _STATE, now + 70) is not None


class Herd:
    """Sessions that ask the same; each that is told to run for itself opens a query."""

    def __init__(self, database: CachedDatabase, plan: Plan, count: int) -> None:
        self._database, self._plan = database, plan
        self.flights: list[Flight] = []
        self.answers: list[Answer] = []
        self._open()
        self.sessions = [_joining(database) for _ in range(count)]
        for session in self.sessions:
            assert session.join(plan, _STATE, self._answered)

    def _answered(self, answer: Answer | None, refusal: str) -> None:
        assert (answer is None) == (refusal == Reason.FLIGHT_FAILED)
        if answer is None:
            self._open()
        else:
            self.answers.append(answer)

    def _open(self) -> None:
        flight = _joining(self._database).open(self._plan, _STATE, boot_clock())
        assert flight is not None
        self.flights.append(flight)


async def _fail(database: CachedDatabase, flight: Flight) -> None:
    database.flights.end(flight, None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _run(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await test()

    asyncio.run(run())


def test_when_a_query_fails_one_asks_again_and_all_others_join_that(database: CachedDatabase, plan: Plan) -> None:
    async def test() -> None:
        herd = Herd(database, plan, 200)
        await _fail(database, herd.flights[0])
        assert len(herd.flights) == 2
        assert database.flights.waiting == 199
        database.flights.end(herd.flights[1], _ANSWER)
        await asyncio.sleep(0)
        assert herd.answers == [_ANSWER] * 199
        assert database.statistics.hits_joined == 199

    _run(test)


def test_what_fails_for_everybody_is_not_tried_by_all_one_after_the_other(database: CachedDatabase, plan: Plan) -> None:
    async def test() -> None:
        herd = Herd(database, plan, 20)
        for number in range(3):
            await _fail(database, herd.flights[number])
            assert len(herd.flights) == number + 2
        await _fail(database, herd.flights[3])
        assert len(herd.flights) == 1 + 20
        assert database.flights.waiting == 0

    _run(test)


def test_who_gives_up_while_the_news_is_on_its_way_is_not_the_one_to_ask_again(
    database: CachedDatabase, plan: Plan
) -> None:
    async def test() -> None:
        herd = Herd(database, plan, 3)
        database.flights.end(herd.flights[0], None)
        herd.sessions[0].stop_waiting()
        await asyncio.sleep(0)
        assert len(herd.flights) == 2
        assert database.flights.waiting == 1

    _run(test)
