"""A database that nobody uses is left alone."""

import asyncio

from services.cdc.watermark import PERIOD_SECONDS
from tests.integration.cdc_harness import connected_to, make_cache, running, scene, until
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

LOOKS = 20
"""How often the service looks at the insert LSN between two looks of the test."""


def test_on_an_idle_database_nothing_is_written_and_nothing_said(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """The heartbeat moves the insert LSN itself: that must not make the next one."""
    postgres.execute("CREATE TABLE t (id int PRIMARY KEY)", database=database)
    cache = make_cache(postgres, database, valkey, catalog_poll=1.0)

    async def play() -> None:
        async with running(cache) as cdc, connected_to(postgres.url(database)) as client:
            await client.execute("SET synchronous_commit = off")
            await client.execute("INSERT INTO t VALUES (1)")
            await until(lambda: cdc.statistics.changes == 1, "the change")
            before: tuple[object, ...] = ()
            for _ in range(20):
                lsn = await client.fetchval("SELECT pg_current_wal_insert_lsn()::text")
                now = (lsn, cdc.statistics.watermarks, cdc.statistics.heartbeats)
                if now == before:
                    assert cdc.statistics.lag_bytes == 0
                    return
                before = now
                await asyncio.sleep(LOOKS * PERIOD_SECONDS)
            raise AssertionError("it never came to rest")

    scene(play)


def test_wal_that_postgres_writes_by_itself_makes_no_heartbeat(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    """Else each heartbeat would be the activity after which Postgres writes some more."""
    cache = make_cache(newest_postgres, newest_database, valkey, catalog_poll=1.0)

    async def play() -> None:
        async with running(cache) as cdc, connected_to(newest_postgres.url(newest_database)) as client:
            await until(lambda: cdc.statistics.watermarks > 0, "a watermark")
            heartbeats = cdc.statistics.heartbeats
            for _ in range(5):
                watermarks = cdc.statistics.watermarks
                await client.execute("SELECT pg_log_standby_snapshot()")
                await until(lambda n=watermarks: cdc.statistics.watermarks > n, "a watermark behind it")  # type: ignore[misc]
            assert cdc.statistics.heartbeats == heartbeats

    scene(play)
