"""What may be served or joined after a wait, or behind a token."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from services.proxy.cache.entry import Answer, Entry
from services.proxy.cache.freshness import boot_clock
from services.proxy.cached_database import CachedDatabase
from services.proxy.catalog_watch import CatalogWatch
from services.proxy.reasons import Reason
from services.proxy.session.acknowledging import Acknowledging
from services.proxy.session.demand import demand
from services.proxy.session.lookup import Lookup
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Plan
from services.proxy.session.state import SessionState
from services.proxy.session.write_scope import WriteScopes
from services.shared.epoch import StreamEpoch
from services.shared.lsn import Lsn
from services.shared.pgwire.frontend import Query
from services.shared.position import START
from services.shared.runtime.settings import Consistency, TokenScope
from tests.unit.proxy.test_keeping import a_database
from tests.unit.proxy.test_planning import READ, planned
from tests.unit.sql.small_catalog import USERS, small_catalog

_TIMELINE, _CANARY = "00000001", "canary"
_STATE = SessionState(("pg_catalog", "public"), _TIMELINE, _CANARY, b"key", "")
_ANSWER = Answer(b"T", b"D", b"C")


@pytest.fixture
def database() -> CachedDatabase:
    """One that follows a history, whose watermark is at 1000."""
    database = a_database()
    database.templates.use(small_catalog())
    database.follower.epoch = "epoch"
    database.follower.stream = StreamEpoch("1", 1, _TIMELINE, _CANARY, "slot", "topic")
    database.follower.followed = {USERS.oid: USERS.publication_entry or 0}
    database.catalog_watch = cast(CatalogWatch, SimpleNamespace(current=True, readable=True, completed=1))
    return database


def _cover(database: CachedDatabase, lsn: int) -> None:
    probe = database.freshness.send()
    database.freshness.answer(probe, Lsn(lsn))
    database.freshness.advance(Lsn(lsn + 1))


def test_behind_a_token_no_query_is_joined_that_was_sent_before_it(database: CachedDatabase) -> None:
    """It may be older than what the token stands for, though the evictions of that have come."""
    _cover(database, 1000)
    writes = OwnWrites(counted=True)
    database.flights.start((1, b"key"), boot_clock())
    Acknowledging(database, writes, None).take_token(f"1:{_TIMELINE}:{_CANARY}:0/1")
    assert writes.tokens is None
    assert database.flights.joinable((1, b"key"), writes.last_acknowledged, 0.0) is None


@pytest.mark.parametrize("another_catalog", [False, True])
def test_a_strong_read_rests_on_the_catalog_that_holds_when_it_is_answered(
    database: CachedDatabase, *, another_catalog: bool
) -> None:
    strong = demand(replace(database.templates.promise, consistency=Consistency.STRONG), _STATE)
    plan: Plan = planned(database.templates, Query(READ), state=_STATE)._replace(demand=strong)
    database.l1.insert(Entry(plan.key, _ANSWER, (START,), (), (USERS.oid,), (), boot_clock() + 60))

    async def ask() -> tuple[Answer | None, str]:
        lookup = Lookup(database, OwnWrites(counted=True))
        got: asyncio.Future[tuple[Answer | None, str]] = asyncio.get_running_loop().create_future()
        assert lookup.ask(plan, _STATE, lambda answer, refusal: got.set_result((answer, refusal)), "")
        await asyncio.sleep(0)
        if another_catalog:
            database.templates.use(small_catalog())
        _cover(database, 1000)
        return await got

    assert asyncio.run(ask()) == ((None, Reason.CATALOG_CHANGED) if another_catalog else (_ANSWER, ""))


def test_where_nobody_counts_them_shared_writes_are_forgotten_when_they_are_covered(database: CachedDatabase) -> None:
    """The hot path of a group is closed while any are outstanding."""
    freshness, flights = database.freshness, database.flights
    scopes = WriteScopes(TokenScope.CACHE, lambda: freshness.next_number, flights.tick, database.prober.ask, None)
    shared = scopes.of(b"app")
    assert shared is not None
    bounded = demand(replace(database.templates.promise, consistency=Consistency.BOUNDED), _STATE)
    plan: Plan = planned(database.templates, Query(READ), state=_STATE)._replace(demand=bounded)
    lookup = Lookup(database, OwnWrites(counted=False), shared)
    _cover(database, 1000)
    assert not lookup.serve_refusal(plan, _STATE)
    assert shared.quiet
