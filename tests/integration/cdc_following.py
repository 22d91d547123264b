"""What tables' changes become in the event log: made, followed, changed, and read back."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import asyncpg

from schemas.changes import Changes, RowChange
from tests.integration.cdc_harness import (
    DEADLINE_SECONDS,
    LogView,
    RunningCdc,
    connected_to,
    make_cache,
    running,
    scene,
    until,
    watching_log,
)
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

IN_PIECES = "?options=-c%20logical_decoding_work_mem%3D64kB"
"""Behind a URL: have Postgres send transactions while they are in progress. It is the least that there is."""

_STREAMED = "SELECT 1 FROM pg_stat_replication_slots WHERE slot_name = $1 AND stream_txns > 0"

Play = Callable[[LogView, RunningCdc], Awaitable[None]]


def follow(
    server: PostgresServer, database: str, redis: RedisServer, tables: str, play: Play, parameters: str = ""
) -> LogView:
    """Make tables, play while they are followed, and return what the log holds then.

    One incarnation lasts throughout, and a change behind all of it has arrived with a watermark behind that.

    Args:
        server: Where.
        database: In which database.
        redis: What holds the event log.
        tables: SQL that makes the tables, beside one called `mark`.
        play: What happens.
        parameters: Behind the service's URL; if there are any, something has to be sent while it is in progress.
    """
    server.execute(f"CREATE TABLE mark (id int PRIMARY KEY); {tables}", database=database)
    cache = make_cache(server, database, redis, database_url=server.url(database) + parameters)
    views: list[LogView] = []

    async def run() -> None:
        async with running(cache) as cdc, watching_log(cache) as view:
            views.append(view)
            await until(lambda: "mark" in view.followed(), "the tables to be followed")
            await play(view, cdc)
            server.execute("INSERT INTO mark VALUES (0)", database=database)
            await until(lambda: view.inserted("mark") == ["0"], "the mark behind everything")
            await until(lambda: view.events[-1].kind == "watermark", "a watermark behind it")
            assert cdc.statistics.incarnations == 1, cdc.statistics.trouble
            if parameters:
                async with connected_to(server.url(database)) as client:
                    await wait_streamed(client, cache.slot)

    scene(run)
    (view,) = views
    assert [event.k for event in view.events] == list(range(len(view.events)))
    return view


def follow_statements(
    server: PostgresServer, database: str, redis: RedisServer, tables: str, *statements: str, parameters: str = ""
) -> LogView:
    """The same, where what happens are statements, each sent by itself."""

    async def play(_view: LogView, _cdc: RunningCdc) -> None:
        with server.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return follow(server, database, redis, tables, play, parameters)


def row_changes(view: LogView, table: str) -> list[RowChange]:
    """The row changes of a table, whole."""
    return [row for event in view.of(Changes) if event.table == table for row in event.rows]


async def wait_streamed(client: "asyncpg.Connection[asyncpg.Record]", slot: str) -> None:
    """Wait until Postgres says that it has sent a transaction while it was in progress."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        for pause in itertools.repeat(0.05):
            if await client.fetchval(_STREAMED, slot):
                return
            await asyncio.sleep(pause)
