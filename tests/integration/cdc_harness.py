"""The CDC service under test, beside a reader of the event log that it writes."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg

from schemas.changes import Changes
from schemas.encoding import Event, decode
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.cdc.service import run_cdc
from services.cdc.statistics import CdcStatistics
from services.shared.eventlog.factory import open_reader
from services.shared.eventlog.log import EventLogReader, LogUnavailable
from services.shared.runtime.cancellation import cancel_until_done
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.telemetry import Telemetry
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

DEADLINE_SECONDS = 20.0
DURABLE = {"max_slot_wal_keep_size": "1GB"}
"""With a limit on what slots keep, ours outlives its connection."""

E = TypeVar("E", bound=Event)
_names = itertools.count(1)


def make_cache(server: PostgresServer, database: str, redis: RedisServer, **settings: object) -> CacheSettings:
    """Return settings for a cache of its own name, since slots are named after caches."""
    return CacheSettings.model_validate(
        {
            "name": f"test{next(_names)}",
            "database_url": server.url(database),
            "redis_url": redis.url,
            "catalog_poll": 0.05,
            **settings,
        }
    )


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come true in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_SECONDS
    while not condition():
        if loop.time() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.005)


@dataclass
class LogView:
    """Everything that the event log holds, in the order of each partition.

    Attributes:
        partitions: In which partition each event was.
        events: The events.
    """

    partitions: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def watermarks(self) -> list[Watermark]:
        return self.of(Watermark)

    def rows(self, table: str) -> list[tuple[str, dict[str, object] | None, dict[str, object] | None]]:
        """The row changes of a table: operation, old and new."""
        return [(row.op, row.old, row.new) for event in self.of(Changes) if event.table == table for row in event.rows]  # type: ignore[misc]  # a Row is a dict of what a dict of objects may hold

    def inserted(self, table: str) -> list[object]:
        """The `id` of every row that was inserted, in order."""
        return [new["id"] for op, _, new in self.rows(table) if op == "insert" and new is not None]

    def wide(self, table: str) -> list[str]:
        """What happened to a table as a whole."""
        return [event.op for event in self.of(RelationWide) if event.table == table]

    def followed(self) -> list[str]:
        """The tables that are followed now, by name."""
        tables: dict[int, str] = {}
        for event in self.events:
            if isinstance(event, RelationSchema):
                tables[event.relation] = event.table
            elif isinstance(event, RelationWide) and event.op == "unfollowed":
                tables.pop(event.relation, None)
            elif isinstance(event, EpochStart):
                tables.clear()
        return sorted(tables.values())

    def beginnings(self) -> list[str]:
        """How each incarnation began."""
        return [event.kind for event in self.events if isinstance(event, EpochStart | Resume)]


@contextlib.asynccontextmanager
async def watching_log(cache: CacheSettings) -> AsyncIterator[LogView]:
    """Read the cache's log as it grows, from its beginning, through every log that replaces it."""
    view = LogView()
    task = asyncio.create_task(_read(cache, view))
    try:
        yield view
    finally:
        await cancel_until_done([task])
        if not task.cancelled():
            task.result()


async def _read(cache: CacheSettings, view: LogView) -> None:
    reader = open_reader(cache)
    try:
        await _open(reader)
        places = {partition: await reader.oldest(partition) for partition in range(cache.partitions)}
        while True:
            for record in await reader.read(places, 0.05):
                places[record.partition] = record.next_place
                view.partitions.append(record.partition)
                view.events.append(decode(record.value))
    finally:
        await reader.close()


async def _open(reader: EventLogReader) -> None:
    """Open a reader once the log exists."""
    while True:
        try:
            await reader.open()
            return
        except LogUnavailable:
            await asyncio.sleep(0.005)


@dataclass
class RunningCdc:
    """The service as a task."""

    task: "asyncio.Task[None]"
    statistics: CdcStatistics

    async def connected(self) -> None:
        """Wait until changes are followed."""
        await until(lambda: self.task.done() or self.statistics.connected == 1, "changes to be followed")
        if self.task.done():
            self.task.result()

    async def stop(self) -> None:
        """Cancel it."""
        await cancel_until_done([self.task])
        if not self.task.cancelled():
            self.task.result()


@contextlib.asynccontextmanager
async def running(cache: CacheSettings, *, connected: bool = True) -> AsyncIterator[RunningCdc]:
    """Run the service; by default from when changes are followed."""
    statistics = CdcStatistics()
    task = asyncio.create_task(run_cdc(cache, Telemetry("test").for_cache(cache.name), statistics))
    cdc = RunningCdc(task, statistics)
    try:
        if connected:
            await cdc.connected()
        yield cdc
    finally:
        await cdc.stop()


@contextlib.asynccontextmanager
async def connected_to(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """An ordinary connection that does not wait for a standby."""
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "local"})
    try:
        yield connection
    finally:
        connection.terminate()


def scene(play: Callable[[], Awaitable[None]]) -> None:
    """Run an asynchronous test."""

    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_SECONDS):
            await play()

    asyncio.run(bounded())
