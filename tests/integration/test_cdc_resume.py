"""An incarnation ends, however it does, and the next one goes on without a loss, or says that it cannot."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from schemas.resume import Resume
from schemas.watermark import Watermark
from services.cdc import incarnation
from services.shared.eventlog.factory import open_writer
from services.shared.eventlog.log import EventLogWriter
from services.shared.lsn import format_lsn, parse_lsn
from services.shared.position import Position
from services.shared.runtime.settings import CacheSettings
from tests.integration.cdc_harness import (
    DURABLE,
    LogView,
    connected_to,
    make_cache,
    running,
    scene,
    until,
    watching_log,
)
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import RedisServer

TABLE = "CREATE TABLE t (id int PRIMARY KEY)"


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server that limits what slots keep, so that ours is kept."""
    with PostgresServer(request.param, **DURABLE) as server:
        yield server


@pytest.fixture
def own_database(server: PostgresServer) -> Iterator[str]:
    with server.database("resume") as name:
        server.execute(TABLE, database=name)
        yield name


class HoldingLog:
    """A real event log whose acknowledgements are held back until they are released."""

    def __init__(self, log: EventLogWriter) -> None:
        self._log = log
        self.holding = False
        self.held: list[tuple[asyncio.Future[None], asyncio.Future[None]]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def append(self, partition: int, position: Position, key: bytes, value: bytes) -> "asyncio.Future[None]":
        real = self._log.append(partition, position, key, value)
        if not self.holding:
            return real
        shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.append((real, shown))
        return shown

    async def release(self) -> None:
        """Acknowledge what the log has acknowledged."""
        self.holding = False
        for real, shown in self.held:
            await real
            shown.set_result(None)


def confirmed(server: PostgresServer, cache: CacheSettings) -> int:
    """What Postgres was told to forget."""
    rows = server.execute(
        f"SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{cache.slot}'"
    )
    return int(rows[0][0])


def check_resumes(view: LogView) -> None:
    """Each RESUME lies at or below what the watermark before it had settled."""
    settled = 0
    for event in view.events:
        if isinstance(event, Watermark):
            settled = parse_lsn(event.settled)
        elif isinstance(event, Resume):
            assert parse_lsn(event.resume_from) <= settled


def test_a_service_that_is_stopped_at_any_point_loses_nothing(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    cache = make_cache(server, own_database, valkey)
    written: list[str] = []
    enough = asyncio.Event()

    async def write() -> None:
        async with connected_to(server.url(own_database)) as client:
            while not enough.is_set():
                await client.execute(f"INSERT INTO t VALUES ({len(written)})")
                written.append(str(len(written)))

    async def play() -> None:
        async with running(cache), watching_log(cache) as first:
            await until(lambda: len(first.watermarks) > 0, "a watermark in the log")
        writer = asyncio.create_task(write())
        async with watching_log(cache) as view:
            for _ in range(4):
                async with running(cache) as cdc:
                    seen = len(view.rows("t"))
                    await until(lambda: len(view.rows("t")) > seen + 20, "some changes")  # noqa: B023
                    cdc.task.cancel()
            enough.set()
            await writer
            async with running(cache):
                await until(lambda: set(view.inserted("t")) == set(written), "every change")
        assert view.beginnings() == ["epoch"] + ["resume"] * 5
        incarnations = [parse_lsn(event.incarnation) for event in view.events if event.k == 0]
        assert incarnations == sorted(set(incarnations))
        check_resumes(view)

    scene(play)


def test_a_process_that_is_killed_loses_nothing(server: PostgresServer, own_database: str, valkey: RedisServer) -> None:
    cache = make_cache(server, own_database, valkey)
    environment = {
        "PATH": os.environ["PATH"],
        f"TIDEGATE_{cache.name.upper()}__DATABASE_URL": server.url(own_database),
        f"TIDEGATE_{cache.name.upper()}__REDIS_URL": valkey.url,
    }

    async def play() -> None:
        url = server.url(own_database)
        async with watching_log(cache) as view, connected_to(url) as client:
            written = 0
            for _ in range(3):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "services.cli", "cdc", env=environment, stderr=subprocess.DEVNULL
                )
                try:
                    goal = written + 30
                    begun = len(view.beginnings())
                    await until(lambda: len(view.beginnings()) > begun, "a beginning")  # noqa: B023
                    await until(lambda: view.followed() == ["t"], "the table to be followed")
                    while written < goal:
                        await client.execute(f"INSERT INTO t VALUES ({written})")
                        written += 1
                    await until(lambda: len(set(view.inserted("t"))) >= goal - 5, "most changes")  # noqa: B023
                finally:
                    process.kill()
                    await process.wait()
            async with running(cache):
                await until(lambda: len(set(view.inserted("t"))) == written, "every change")
        assert view.beginnings() == ["epoch", "resume", "resume", "resume"]
        check_resumes(view)

    scene(play)


def test_only_what_is_acknowledged_is_confirmed(
    server: PostgresServer, own_database: str, valkey: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache(server, own_database, valkey)
    logs: list[HoldingLog] = []

    def open_holding(settings: CacheSettings) -> EventLogWriter:
        logs.append(HoldingLog(open_writer(settings)))
        return logs[-1]  # type: ignore[return-value]  # the rest of the seam goes through __getattr__

    monkeypatch.setattr(incarnation, "open_writer", open_holding)

    async def play() -> None:
        url = server.url(own_database)
        async with running(cache) as cdc, watching_log(cache) as view, connected_to(url) as client:
            await until(lambda: cdc.statistics.unacknowledged == 0 and len(view.watermarks) > 0, "the beginning")
            await until(lambda: confirmed(server, cache) == parse_lsn(view.watermarks[-1].settled), "its confirmation")
            logs[-1].holding = True
            before = len(view.watermarks)
            await client.execute("INSERT INTO t VALUES (1)")
            await until(lambda: len(view.watermarks) > before, "the change and its watermark to stand in the log")
            end = parse_lsn(view.watermarks[-1].settled)
            held = confirmed(server, cache)
            assert held < end
            # A forced exchange with Postgres gives it every chance to be told.
            for _ in range(20):
                assert confirmed(server, cache) == held == cdc.statistics.confirmed_lsn
                await client.execute("SELECT pg_logical_emit_message(true, 'other', '')")
            await logs[-1].release()
            await until(lambda: confirmed(server, cache) >= end, "the confirmation")

    scene(play)


def test_a_slot_that_was_advanced_shows_in_the_resume(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    cache = make_cache(server, own_database, valkey)

    async def play() -> None:
        async with watching_log(cache) as view, connected_to(server.url(own_database)) as client:
            async with running(cache):
                await until(lambda: len(view.watermarks) > 0, "a watermark")
            await client.execute("INSERT INTO t VALUES (1)")
            await released(client, cache)
            await client.fetchval("SELECT pg_replication_slot_advance($1, pg_current_wal_flush_lsn())", cache.slot)
            advanced = confirmed(server, cache)
            async with running(cache):
                await until(lambda: len(view.of(Resume)) == 1, "the resume")
            (resume,) = view.of(Resume)
            assert resume.resume_from == format_lsn(advanced)
            settled = [parse_lsn(mark.settled) for mark in view.watermarks if mark.incarnation != resume.incarnation]
            assert parse_lsn(resume.resume_from) > max(settled)
            assert "1" not in view.inserted("t")

    scene(play)


async def released(client: "asyncpg.Connection", cache: CacheSettings) -> None:
    """Wait until Postgres has noticed that nobody reads the slot any more."""
    deadline = asyncio.get_running_loop().time() + 30
    question = "SELECT active FROM pg_replication_slots WHERE slot_name = $1"
    while await client.fetchval(question, cache.slot):
        assert asyncio.get_running_loop().time() < deadline, "the slot is still in use"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ("UPDATE tidegate.canary SET canary = 'another'", "canary"),
        ("TRUNCATE tidegate.canary", "canary"),
        ("UPDATE tidegate.canary SET incarnation = '0/1'", "older copy"),
        ("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots", "slot"),
        ("DROP PUBLICATION {publication}", "slot"),
    ],
)
def test_what_breaks_the_history_begins_another(
    server: PostgresServer, own_database: str, valkey: RedisServer, damage: str, word: str
) -> None:
    cache = make_cache(server, own_database, valkey)

    async def play() -> None:
        async with watching_log(cache) as view, connected_to(server.url(own_database)) as client:
            async with running(cache):
                await until(lambda: view.followed() == ["t"], "the table to be followed")
            await released(client, cache)
            await client.execute(damage.format(publication=cache.publication))
            async with running(cache) as cdc:
                await until(lambda: view.beginnings() == ["epoch", "epoch"], "another epoch")
                await until(lambda: view.followed() == ["t"], "the table to be followed")
                await until(lambda: cdc.statistics.watermarks > 0, "a watermark of its own")
                await client.execute("INSERT INTO t VALUES (1)")
                await until(lambda: view.inserted("t") == ["1"], "a change")
            first, second = (event for event in view.events if event.kind == "epoch")
            assert word in second.reason
            assert first.epoch != second.epoch
            assert cdc.statistics.epochs == 1

    scene(play)


def test_a_crash_of_postgres_begins_another_history_and_a_restart_does_not(valkey: RedisServer) -> None:
    with PostgresServer(NEWEST, **DURABLE) as server:
        server.execute(TABLE)
        cache = make_cache(server, "postgres", valkey)

        async def play() -> None:
            async with watching_log(cache) as view, running(cache) as cdc:
                await until(lambda: len(view.watermarks) > 0, "a watermark")
                await asyncio.to_thread(server.restart)
                await until(lambda: view.beginnings() == ["epoch", "resume"], "the restart to be survived")
                await cdc.connected()
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
                await until(lambda: view.beginnings() == ["epoch", "resume", "epoch"], "the crash to be survived")
                await cdc.connected()
                async with connected_to(server.url()) as client:
                    await client.execute("INSERT INTO t VALUES (1)")
                await until(lambda: view.inserted("t") == ["1"], "a change")
                assert view.followed() == ["t"]

        scene(play)


def test_a_log_that_is_deleted_begins_another_history_even_on_an_idle_database(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    cache = make_cache(newest_postgres, newest_database, valkey)

    async def play() -> None:
        async with running(cache) as cdc:
            await until(lambda: cdc.statistics.watermarks > 0, "a watermark")
            valkey.flush()
            await until(lambda: cdc.statistics.epochs == 2, "another epoch")
            async with watching_log(cache) as view:
                await until(lambda: len(view.watermarks) > 0, "a watermark")
            assert view.beginnings() == ["epoch"]

    scene(play)


def test_without_a_log_the_service_waits_for_it_and_goes_on(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as redis:
        cache = make_cache(server, own_database, redis)

        async def play() -> None:
            async with running(cache) as cdc, connected_to(server.url(own_database)) as client:
                await until(lambda: cdc.statistics.watermarks > 0, "a watermark")
                await asyncio.to_thread(redis.stop)
                await client.execute("INSERT INTO t VALUES (1)")
                await until(lambda: cdc.statistics.connected == 0, "the loss to be noticed")
                assert "Redis" in str(cdc.statistics.health())
                await client.execute("INSERT INTO t VALUES (2)")
                await asyncio.to_thread(redis.start)
                await until(lambda: cdc.statistics.connected == 1, "the service to go on")
                async with watching_log(cache) as view:
                    await until(lambda: set(view.inserted("t")) == {"1", "2"}, "the changes")
                assert view.beginnings() == ["epoch", "resume"]

        scene(play)


def test_two_services_exclude_each_other(server: PostgresServer, own_database: str, valkey: RedisServer) -> None:
    cache = make_cache(server, own_database, valkey)

    async def play() -> None:
        async with watching_log(cache) as view, running(cache) as first, running(cache, connected=False) as second:
            await until(lambda: "in use" in str(second.statistics.health()), "the second to be refused")
            async with connected_to(server.url(own_database)) as client:
                await client.execute("INSERT INTO t VALUES (1)")
                await until(lambda: view.inserted("t") == ["1"], "a change")
                await first.stop()
                await second.connected()
                await client.execute("INSERT INTO t VALUES (2)")
                await until(lambda: view.inserted("t")[-1] == "2", "the second to take over")
        assert view.beginnings() == ["epoch", "resume"]

    scene(play)


def test_without_a_limit_on_slots_ours_goes_with_the_connection(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    """H34: what a slot keeps must not fill the disk of the database."""
    cache = make_cache(newest_postgres, newest_database, valkey)
    slots = f"SELECT temporary FROM pg_replication_slots WHERE slot_name = '{cache.slot}'"

    async def play() -> None:
        async with watching_log(cache) as view:
            for count in (1, 2):
                async with running(cache):
                    assert newest_postgres.execute(slots) == [(True,)]
                await until(lambda: newest_postgres.execute(slots) == [], "the slot to be gone")
                await until(lambda n=count: view.beginnings() == ["epoch"] * n, "its epoch")  # type: ignore[misc]

    scene(play)
