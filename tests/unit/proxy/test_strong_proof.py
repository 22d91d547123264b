"""Contract, 9.7, for strong reads that have arrived together: one proof serves all, unless one shows what is newer."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import Any, cast

import pytest

from services.proxy.cache.entry import Answer, Entry
from services.proxy.cache.freshness import Freshness, boot_clock
from services.proxy.cached_database import CachedDatabase
from services.proxy.catalog_watch import CatalogWatch
from services.proxy.session.demand import demand
from services.proxy.session.lookup import Lookup
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Plan
from services.proxy.session.strong_proof import StrongProof
from services.shared.epoch import StreamEpoch
from services.shared.lsn import Lsn
from services.shared.pgwire.frontend import Query
from services.shared.position import START
from services.shared.runtime.settings import Consistency
from tests.unit.proxy.test_joining import _STATE, Watch
from tests.unit.proxy.test_keeping import a_database
from tests.unit.proxy.test_planning import READ, planned
from tests.unit.sql.small_catalog import USERS, small_catalog

_ANSWER = Answer(b"T", b"D", b"C")


def _entry(next_probe: int, key: bytes = b"key") -> Entry:
    entry = Entry(key, _ANSWER, (START,), (), (USERS.oid,), (), boot_clock() + 60)
    entry.next_probe = next_probe
    return entry


def _cover(freshness: Freshness) -> None:
    """Have a probe sent, answered and covered."""
    probe = freshness.send()
    freshness.answer(probe, Lsn(1000))
    freshness.advance(Lsn(1001))


def test_a_proof_holds_once_its_probe_or_a_later_one_is_covered() -> None:
    freshness = Freshness(1.0)
    proof = StrongProof(freshness)
    _cover(freshness)
    assert not proof.holds()
    proof.number = freshness.next_number
    assert not proof.holds()
    _cover(freshness)
    assert proof.holds()
    _cover(freshness)
    assert proof.holds()
    proof.arrived()
    assert not proof.holds()


def test_what_arrives_before_the_probe_is_sent_goes_by_it_too() -> None:
    freshness = Freshness(1.0)
    proof = StrongProof(freshness)
    proof.number = freshness.next_number
    proof.arrived()
    _cover(freshness)
    assert proof.holds()


def test_an_entry_from_before_the_proof_leaves_it_and_one_from_behind_it_spends_it() -> None:
    freshness = Freshness(1.0)
    proof = StrongProof(freshness)
    before = _entry(freshness.next_number)
    proof.number = freshness.next_number
    _cover(freshness)
    proof.shown(before)
    assert proof.holds()
    behind = _entry(freshness.next_number)
    proof.shown(behind)
    assert not proof.holds()
    proof.number = freshness.next_number
    _cover(freshness)
    proof.shown(behind)
    assert proof.holds()


class Pipeline:
    """A session's strong reads, which have arrived together, of entries that are there."""

    def __init__(self) -> None:
        self.database: CachedDatabase = a_database()
        self.database.templates.use(small_catalog())
        self.database.follower.epoch = "epoch"
        self.database.follower.stream = StreamEpoch("1", 1, _STATE.timeline, _STATE.canary, "slot", "topic")
        self.database.follower.followed = {USERS.oid: USERS.publication_entry or 0}
        self.database.catalog_watch = cast(CatalogWatch, Watch())
        self.lookup = Lookup(self.database, OwnWrites(counted=True))
        self.lookup.arrived()
        self.asked = 0
        self.database.coverage._ask = self._ask
        _cover(self.database.freshness)

    def _ask(self) -> None:
        self.asked += 1
        asyncio.get_running_loop().call_soon(_cover, self.database.freshness)

    def plan(self, level: Consistency = Consistency.STRONG) -> Plan:
        demanded = demand(replace(self.database.templates.promise, consistency=level), _STATE)
        return planned(self.database.templates, Query(READ), state=_STATE)._replace(demand=demanded)

    def take(self, key: bytes) -> None:
        """Take an answer into memory, as it is kept when it has come."""
        entry = _entry(0, key)
        assert not self.database._insert(entry, "epoch")

    async def read(self, plan: Plan) -> Answer | None:
        """Read as `ReadRun` does: from memory, or else by asking."""
        assert not self.lookup.serve_refusal(plan, _STATE)
        entry = self.lookup.from_l1(plan)
        if entry is not None:
            return entry.answer
        got: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if not self.lookup.ask(plan, _STATE, lambda answer, _: got.set_result(answer), ""):
            return None
        return await got


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@in_a_loop
async def test_what_has_arrived_together_waits_for_one_probe_and_what_comes_later_for_another() -> None:
    pipeline = Pipeline()
    plan = pipeline.plan()
    pipeline.take(plan.key)
    assert [await pipeline.read(plan) for _ in range(300)] == [_ANSWER] * 300
    assert pipeline.asked == 1
    pipeline.lookup.arrived()
    assert await pipeline.read(plan) == _ANSWER
    assert pipeline.asked == 2


@in_a_loop
async def test_behind_an_answer_that_was_taken_after_the_probe_another_one_is_sent() -> None:
    """It may show what became visible since, and what is read next must not be older."""
    pipeline = Pipeline()
    plan = pipeline.plan()
    pipeline.take(plan.key)
    assert await pipeline.read(plan) == _ANSWER
    pipeline.take(plan.key)
    assert await pipeline.read(plan) == _ANSWER
    assert pipeline.asked == 1
    assert await pipeline.read(plan) == _ANSWER
    assert pipeline.asked == 2
    assert await pipeline.read(plan) == _ANSWER
    assert pipeline.asked == 2


@in_a_loop
@pytest.mark.parametrize("newer", ["an answer of Postgres", "an answer from elsewhere", "another level"])
async def test_behind_what_came_from_elsewhere_another_one_is_sent(newer: str) -> None:
    pipeline = Pipeline()
    plan = pipeline.plan()
    pipeline.take(plan.key)
    assert await pipeline.read(plan) == _ANSWER
    bounded = pipeline.plan(Consistency.BOUNDED)
    if newer == "an answer of Postgres":
        pipeline.lookup.answered_upstream()
    elif newer == "an answer from elsewhere":
        pipeline.lookup.ask(bounded._replace(key=b"other"), _STATE, lambda *_: None, "")
        pipeline.lookup.stop_waiting()
    else:
        pipeline.take(plan.key)
        assert await pipeline.read(bounded) == _ANSWER
    assert await pipeline.read(plan) == _ANSWER
    assert pipeline.asked == 2


@in_a_loop
async def test_what_names_mean_is_looked_at_for_each_read() -> None:
    pipeline = Pipeline()
    plan = pipeline.plan()
    pipeline.take(plan.key)
    assert await pipeline.read(plan) == _ANSWER
    pipeline.database.templates.use(small_catalog())
    assert pipeline.lookup.from_l1(plan) is None
