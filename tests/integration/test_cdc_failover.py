"""A standby takes over: another history, once, and with the slot that the standby kept where Postgres can do that."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from schemas.epoch import EpochStart
from services.cdc.replication.slot import FAILOVER_SINCE
from services.installation.database_check import look_at_database
from services.shared.epoch import StreamEpoch
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings
from tests.integration.cdc_harness import DURABLE, LogView, make_cache, running, scene, until, watching_log
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import RedisServer
from tests.servers.standby import standby_of, wait_replayed

_TABLE = "CREATE TABLE t (id int PRIMARY KEY)"
_LOGICAL = "SELECT slot_name, to_jsonb(s) ->> 'failover' FROM pg_replication_slots s WHERE slot_type = 'logical'"
_KEPT = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND synced AND NOT temporary"
_TRIES = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tidegate-cdc' AND backend_start > %s"
_WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'"


@pytest.mark.parametrize("version", ["17", OLDEST])
def test_after_a_promotion_one_other_epoch_begins_and_changes_are_followed(version: str, valkey: RedisServer) -> None:
    """H35, H40, H54, H55: on the slot that the standby kept from 17 on, otherwise on a new one."""
    keeps = int(version) >= FAILOVER_SINCE
    settings = {"sync_replication_slots": "on"} if keeps else {}
    with PostgresServer(version, **DURABLE) as primary:
        primary.execute(_TABLE)
        with standby_of(primary, **settings) as standby:
            cache = make_cache(primary, "postgres", valkey)
            elsewhere = make_cache(standby, "postgres", valkey).database_url
            moved = cache.model_copy(update={"database_url": elsewhere})

            async def play() -> None:
                async with watching_log(cache) as view:
                    async with running(cache):
                        primary.execute("INSERT INTO t VALUES (1)")
                        await until(lambda: view.inserted("t") == ["1"], "a change")
                        if keeps:
                            await until(lambda: _is_kept(primary, standby, cache.slot), "the slot to be kept")
                        await asyncio.to_thread(wait_replayed, primary, standby)
                        await asyncio.to_thread(primary.kill)
                    await _promote(standby)
                    assert standby.execute(_LOGICAL) == ([(cache.slot, "true")] if keeps else [])
                    await _follow_to_a_change(moved, standby, view)
                    assert standby.execute(_LOGICAL) == [(cache.slot, "true" if keeps else None)]

            scene(play)


def _is_kept(primary: PostgresServer, standby: PostgresServer, slot: str) -> bool:
    """Tell whether the standby has a copy of a slot that outlives a promotion; have it come nearer to one."""
    primary.execute("SELECT pg_log_standby_snapshot()")
    return bool(standby.execute(_KEPT, [slot]))


async def _promote(standby: PostgresServer) -> None:
    await asyncio.to_thread(standby.execute, "SELECT pg_promote()")
    assert standby.execute("SELECT count(*) FROM tidegate.canary") == [(0,)]


async def _follow_to_a_change(cache: CacheSettings, server: PostgresServer, view: LogView) -> None:
    async with running(cache) as cdc:
        server.execute("INSERT INTO t VALUES (2)")
        await until(lambda: view.inserted("t")[-1] == "2", "a change on the new primary")
        await until(lambda: view.events[-1].kind == "watermark", "a watermark behind it")
        assert cdc.statistics.incarnations == cdc.statistics.epochs == 1
    first, second = view.of(EpochStart)
    assert "timeline" in second.reason
    timelines = [StreamEpoch.parse(event.epoch).timeline for event in (first, second)]
    assert timelines == ["00000001", "00000002"]


def test_a_slot_waits_for_standbys_only_as_long_as_it_is_one_that_they_keep(valkey: RedisServer) -> None:
    """H40: `synchronized_standby_slots` has changes wait for standbys. `tidegate check` says so, a setting ends it."""
    with PostgresServer(NEWEST, **DURABLE) as server:
        server.execute(_TABLE)
        cache = make_cache(server, "postgres", valkey)
        apart = cache.model_copy(update={"failover_slot": False})

        async def play() -> None:
            async with watching_log(cache) as view:
                async with running(cache):
                    server.execute("INSERT INTO t VALUES (1)")
                    await until(lambda: view.inserted("t") == ["1"], "a change")
                    assert await _said_of_standbys(cache) == []
                    server.execute("ALTER SYSTEM SET synchronized_standby_slots = 'absent'")
                    server.execute("SELECT pg_reload_conf()")
                    await until(lambda: _hangs(server, view), "a change not to come")
                    (said,) = await _said_of_standbys(cache)
                    assert (said.level, "Nobody reads absent" in said.text) == (Level.WARN, True)
                    assert "failover_slot = false" in said.remedy
                async with running(apart):
                    ((last,),) = server.execute("SELECT max(id)::text FROM t")
                    await until(lambda: view.inserted("t")[-1] == last, "all changes")
                    assert await _said_of_standbys(apart) == []
                assert server.execute(_LOGICAL) == [(cache.slot, "false")]
                server.execute("ALTER SYSTEM RESET synchronized_standby_slots")
                server.execute("SELECT pg_reload_conf()")
                async with running(cache):
                    assert server.execute(_LOGICAL) == [(cache.slot, "true")]
            assert view.beginnings() == ["epoch", "resume", "resume"]

        scene(play)


def _hangs(server: PostgresServer, view: LogView) -> bool:
    server.execute("INSERT INTO t SELECT max(id) + 1 FROM t")
    return bool(server.execute(_WAITS))


async def _said_of_standbys(cache: CacheSettings) -> list[Finding]:
    look = await look_at_database(cache)
    return [finding for finding in look.findings if finding.topic == "standbys"]


def test_a_service_that_comes_back_from_the_dead_does_no_harm(valkey: RedisServer) -> None:
    """H37: it was frozen, Postgres ended its connection, and another took over. It has to stand by then."""
    with PostgresServer(NEWEST, **DURABLE) as server:
        server.execute(_TABLE)
        cache = make_cache(server, "postgres", valkey)

        async def play() -> None:
            async with watching_log(cache) as view, _cdc_process(cache, server, valkey) as zombie:
                await until(lambda: view.followed() == ["t"], "the table to be followed")
                server.execute("INSERT INTO t VALUES (1)")
                await until(lambda: view.inserted("t") == ["1"], "a change by the first")
                zombie.send_signal(signal.SIGSTOP)
                server.execute("INSERT INTO t VALUES (2)")
                server.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
                async with running(cache) as cdc:
                    await until(lambda: view.inserted("t")[-1] == "2", "a change by the second")
                    zombie.send_signal(signal.SIGCONT)
                    tries = (
                        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tidegate-cdc' AND backend_start > %s"
                    )
                    ((since,),) = server.execute("SELECT now()")
                    await until(lambda: bool(server.execute(tries, [since])), "the first to try again")
                    for number in range(3, 23):
                        server.execute(f"INSERT INTO t VALUES ({number})")
                    await until(lambda: view.inserted("t")[-1] == "22", "the changes")
                    assert cdc.statistics.incarnations == 1
            assert list(dict.fromkeys(view.inserted("t"))) == [str(number) for number in range(1, 23)]
            assert view.beginnings() == ["epoch", "resume"]

        scene(play)


@contextlib.asynccontextmanager
async def _cdc_process(
    cache: CacheSettings, server: PostgresServer, redis: RedisServer
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service as a process of its own."""
    name = f"TIDEGATE_{cache.name.upper()}__"
    environment = {
        "PATH": os.environ["PATH"],
        f"{name}DATABASE_URL": server.url(),
        f"{name}REDIS_URL": redis.url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "cdc", env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
