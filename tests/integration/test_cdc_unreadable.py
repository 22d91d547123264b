"""A change stream that holds what cannot be read: nothing is skipped, it is said, and there is a way out.

It is provoked with a real server: a slot that somebody made with `two_phase` sends prepared transactions as messages
that we never asked for.
"""

import time
from collections.abc import Iterator

import pytest

from services.cdc.unreadable import FIRST_RETRY_SECONDS
from services.installation import check as check_module
from services.installation.check import check_cache
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings
from tests.integration.cdc_harness import DURABLE, LogView, make_cache, running, scene, until, watching_log
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST
from tests.servers.redis import RedisServer

_CONFIRMED = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(NEWEST, max_prepared_transactions="2", **DURABLE) as started:
        started.execute("CREATE TABLE t (id int PRIMARY KEY)")
        yield started


async def _with_two_phase(server: PostgresServer, cache: CacheSettings) -> None:
    """Have a slot that sends what nobody asked for."""
    async with running(cache):
        pass
    server.execute(f"SELECT pg_drop_replication_slot('{cache.slot}')")
    server.execute(f"SELECT pg_create_logical_replication_slot('{cache.slot}', 'pgoutput', false, true)")


async def _about_the_stream(cache: CacheSettings) -> list[Finding]:
    return [finding for finding in await check_cache(cache) if finding.topic == "stream"]


def _watermarks_since_the_last_beginning(log: LogView) -> int:
    kinds = [event.kind for event in log.events if event.kind in ("watermark", "resume")]
    return kinds[::-1].index("resume")


def test_what_cannot_be_read_is_never_skipped_and_said(
    server: PostgresServer, valkey: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "_CATCHING_UP_SECONDS", 0.0)  # there is no invalidator
    cache = make_cache(server, "postgres", valkey)

    async def play() -> None:
        await _with_two_phase(server, cache)
        async with watching_log(cache) as log, running(cache) as cdc:
            await until(lambda: cdc.statistics.followed == 1, "the table to be followed")
            assert await _about_the_stream(cache) == []
            server.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'unheard of'")
            began_at = time.monotonic()
            await until(lambda: cdc.statistics.unreadable == 1, "it to be met")
            confirmed = server.execute(_CONFIRMED, [cache.slot])
            server.execute("COMMIT PREPARED 'unheard of'")
            server.execute("INSERT INTO t VALUES (2)")
            assert "unknown kind of message: 0x62" in (cdc.statistics.health() or "")

            (finding,) = await _about_the_stream(cache)
            assert finding.level is Level.FAIL
            assert "unknown kind of message: 0x62" in finding.text
            assert f"pg_drop_replication_slot('{cache.slot}')" in finding.remedy

            await until(lambda: cdc.statistics.unreadable == 3, "it to be met again")
            assert time.monotonic() - began_at >= 1.5 * FIRST_RETRY_SECONDS
            assert server.execute(_CONFIRMED, [cache.slot]) == confirmed
            assert log.inserted("t") == []
            assert _watermarks_since_the_last_beginning(log) == 0

            server.execute(f"SELECT pg_drop_replication_slot('{cache.slot}')")
            epochs = cdc.statistics.epochs
            await until(lambda: cdc.statistics.epochs > epochs and not cdc.statistics.trouble, "a new beginning")
            server.execute("INSERT INTO t VALUES (3)")
            await until(lambda: log.inserted("t") == ["3"], "the next change")

    scene(play)
