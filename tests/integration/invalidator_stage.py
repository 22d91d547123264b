"""A stage for invalidators: one Redis with a log written by hand, invalidators that start and stop, a proxy's view."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import redis.asyncio
from pydantic import SecretStr

from services.invalidator.service import run_invalidator
from services.invalidator.statistics import InvalidatorStatistics
from services.shared.eventlog.redis_streams import RedisStreamWriter
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

    def __init__(self, server: RedisServer, client: "redis.asyncio.Redis", writer: RedisStreamWriter) -> None:
        self.server = server
        self.client = client
        self.author = LogAuthor(writer)
        self.bucket = Bucket(client, CACHE, 1)
        self.feed = Feed(client, CACHE, 1)
        self.settings = CacheSettings(
            name=CACHE,
            database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"),
            redis_url=SecretStr(server.url),
        )
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

    async def covered(self, w: Lsn | None = None) -> BucketState:
        """Write a watermark (or take the given one), and wait until the bucket has it."""
        awaited = await self.author.watermark() if w is None else w

        async def has_it() -> bool:
            with suppress(BucketUnavailable):
                return (await self.bucket.state()).watermark >= awaited
            return False

        await until(has_it)
        return await self.bucket.state()

    async def fill(self, name: str, *tags: str, shapes: Sequence[Shape] = ()) -> Refusal:
        """Store an answer asked for just now."""
        state = await self.bucket.state()
        entry = StoredEntry(state.positions, tags, (ORDERS,), tuple(shape.id for shape in shapes), name.encode())
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
async def staged(server: RedisServer) -> AsyncIterator[Stage]:
    """Set a stage on a server, and clear it afterwards."""
    client = redis.asyncio.Redis.from_url(server.url)
    writer = RedisStreamWriter(server.url, f"tidegate:{{{CACHE}}}:", 1)
    await writer.open()
    stage = Stage(server, client, writer)
    try:
        yield stage
    finally:
        for invalidator in stage.invalidators:
            await invalidator.stop()
        await writer.close()
        await client.aclose()
