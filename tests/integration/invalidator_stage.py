"""A stage for invalidators: one Redis with a log written by hand, invalidators that start and stop, a proxy's view."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import redis.asyncio
from pydantic import SecretStr

from services.invalidator.service import run_invalidator
from services.invalidator.statistics import InvalidatorStatistics
from services.shared.eventlog.factory import open_writer
from services.shared.eventlog.log import EventLogWriter
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket, BucketState, BucketUnavailable, EntryHit, Refusal, StoredEntry
from services.shared.keyspace.tags import occurrence_tags
from services.shared.lsn import Lsn
from services.shared.relation import Shape, ShapeColumn, relation_tag
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.telemetry import Telemetry
from tests.integration.bucket_driver import until
from tests.integration.log_author import CACHE, INT4, ORDERS, LogAuthor
from tests.servers.redis import RedisServer

BY_ID = Shape(ORDERS, (ShapeColumn("id", INT4),))
BY_CUSTOMER = Shape(ORDERS, (ShapeColumn("customer", INT4),))


class Invalidator:
    """An invalidator that runs as a task."""

    def __init__(self, settings: CacheSettings) -> None:
        self.statistics = InvalidatorStatistics()
        self.task = asyncio.create_task(run_invalidator(settings, Telemetry("test"), self.statistics))

    async def stop(self) -> None:
        """End it as a signal would."""
        self.task.cancel()
        await asyncio.wait({self.task})


class Stage:
    """What a test of the invalidator needs."""

    def __init__(self, client: "redis.asyncio.Redis", writer: EventLogWriter, settings: CacheSettings) -> None:
        self.client = client
        self.author = LogAuthor(writer, settings.partitions)
        self.bucket = Bucket(client, CACHE, settings.partitions)
        self.feed = Feed(client, CACHE, settings.partitions)
        self.settings = settings
        self.invalidators: list[Invalidator] = []

    def start(self) -> Invalidator:
        """Start one more invalidator."""
        invalidator = Invalidator(self.settings)
        self.invalidators.append(invalidator)
        return invalidator

    async def begin(self) -> None:
        """Write a log's beginning, with the table that answers are about, and its first watermark."""
        await self.author.begin_epoch()
        await self.author.follow()
        await self.author.watermark()

    async def new_writer(self) -> None:
        """Write on to what there is now: a writer that failed stays so."""
        await self.author.writer.close()
        self.author.writer = open_writer(self.settings)
        await self.author.writer.open()

    async def covered(self, w: Lsn | None = None) -> BucketState:
        """Write a watermark (or take the given one), and wait until the bucket has it."""
        awaited = await self.author.watermark() if w is None else w

        async def has_it() -> bool:
            with suppress(BucketUnavailable):
                return (await self.bucket.state()).watermark >= awaited
            return False

        await until(has_it)
        return await self.bucket.state()

    async def fill(self, name: str, *tags: str, shapes: Sequence[Shape] = (), relation: int = ORDERS) -> Refusal:
        """Store an answer asked for just now."""
        state = await self.bucket.state()
        entry = StoredEntry(state.positions, tags, (relation,), tuple(shape.id for shape in shapes), name.encode())
        return await self.bucket.fill(state.bucket_epoch, state.positions, name.encode(), entry)

    async def fill_value(self, name: str, shape: Shape, value: int) -> None:
        """Store an answer that rests on one value of a shape."""
        registry = await self.bucket.registry()
        if shape.id not in registry.shapes:
            await self.bucket.register(registry.state.bucket_epoch, [shape])
        assert not await self.fill(name, *occurrence_tags(shape, [str(value).encode()]), shapes=[shape])

    async def fill_all(self, name: str) -> None:
        """Store an answer that rests on the whole relation."""
        assert not await self.fill(name, relation_tag(ORDERS))

    async def hits(self, *names: str) -> set[str]:
        """Return which of these answers are served."""
        found = {name: await self.bucket.read(name.encode()) for name in names}
        return {name for name, reply in found.items() if isinstance(reply, EntryHit)}


@asynccontextmanager
async def staged(server: RedisServer, partitions: int = 1, event_log: str = "redis") -> AsyncIterator[Stage]:
    """Set a stage on a server, and clear it afterwards."""
    settings = CacheSettings(
        name=CACHE,
        database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"),
        redis_url=SecretStr(server.url),
        event_log=event_log,
        partitions=partitions,
    )
    client = redis.asyncio.Redis.from_url(server.url)
    writer = open_writer(settings)
    await writer.open()
    stage = Stage(client, writer, settings)
    try:
        yield stage
    finally:
        for invalidator in stage.invalidators:
            await invalidator.stop()
        await stage.author.writer.close()
        await client.aclose()


def play(
    server: RedisServer, scenario: Callable[[Stage], Awaitable[None]], partitions: int = 1, event_log: str = "redis"
) -> None:
    """Run a scenario on a stage of its own."""

    async def run() -> None:
        async with asyncio.timeout(30), staged(server, partitions, event_log) as stage:
            await scenario(stage)

    asyncio.run(run())


ALL = frozenset(("order 1", "order 2", "customer 7", "customer 8", "everything"))


async def fill_everything(stage: Stage) -> None:
    """Store answers of every sort about the orders."""
    await stage.fill_value("order 1", BY_ID, 1)
    await stage.fill_value("order 2", BY_ID, 2)
    await stage.fill_value("customer 7", BY_CUSTOMER, 7)
    await stage.fill_value("customer 8", BY_CUSTOMER, 8)
    await stage.fill_all("everything")
    assert await stage.hits(*ALL) == ALL


async def is_true(value: bool) -> bool:
    """A condition for `until` that needs no waiting by itself."""
    return value


async def has_other_epoch(stage: Stage, epoch: str) -> bool:
    """Tell whether the bucket is in another epoch than this one."""
    return (await stage.bucket.state()).bucket_epoch not in ("", epoch)
