"""Drives a real bucket step by step, as an invalidator would, with made-up log records."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import redis.asyncio

from services.shared.keyspace.feed import Feed, FeedItem
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.outcome import Outcome
from services.shared.keyspace.scripts import Bucket, EpochBegin
from services.shared.keyspace.state import BucketState, Followed
from services.shared.keyspace.steps import Advance, Evict, Follow, Milestone, MoveWatermark, Step
from services.shared.lsn import Lsn
from services.shared.position import Position

CACHE = "shop"
STREAM = "7412345678901234567/16384/00000001/5e0c3c5d/tidegate_shop/9f86d081"
INCARNATION = Lsn(0x16_B374_D848)
RELATION = 16_400


def at(k: int, incarnation: int = INCARNATION) -> Position:
    """Return the position of the k-th record."""
    return Position(Lsn(incarnation), k)


class BucketDriver:
    """A bucket with its client, and the positions that its next records will have.

    Attributes:
        applied: Last position sent, per partition.
        epoch: The bucket epoch that steps name.
        version: The registry version that evictions name.
    """

    def __init__(self, client: "redis.asyncio.Redis", partition_count: int, max_entry_age: float) -> None:
        self.client = client
        self.bucket = Bucket(client, CACHE, partition_count, max_entry_age)
        self.feed = Feed(client, CACHE, partition_count)
        self.keys = Keys(CACHE)
        self.applied = [at(0)] * partition_count
        self.epoch = ""
        self.version = ""

    async def begin(self, stream: str = STREAM, reason: str = "test") -> BucketState:
        """Start an epoch at the driver's positions, over whatever there is."""
        count = len(self.applied)
        begin = EpochBegin(stream, "owner", tuple(self.applied), ("0",) * count, reason)
        assert await self.bucket.new_epoch(await self.bucket.state(), begin) is Outcome.APPLIED
        return await self.adopt()

    async def begin_warm(self, *relations: int) -> BucketState:
        """Start an epoch, follow relations, and let its first watermark pass."""
        await self.begin()
        for relation in relations or (RELATION,):
            assert await self.follow(relation) is Outcome.APPLIED
        for partition in range(len(self.applied)):
            assert await self.watermark(Lsn(101), partition=partition) is Outcome.APPLIED
        return await self.bucket.state()

    async def adopt(self) -> BucketState:
        """Take over the bucket's epoch, positions and registry version."""
        state = await self.bucket.state()
        self.epoch, self.version, self.applied = state.bucket_epoch, state.registry_version, list(state.positions)
        return state

    def milestone(self, partition: int = 0) -> Milestone:
        """Return where the next record of a partition stands, and count it."""
        previous = self.applied[partition]
        position = Position(previous.incarnation, previous.k + 1)
        self.applied[partition] = position
        return Milestone(partition, previous, position, position.stream_id)

    async def take(self, *steps: Step) -> list[Outcome]:
        """Take steps."""
        return await self.bucket.apply(self.epoch, steps)

    async def evict(self, *tags: str, relations: Sequence[int] = (), end: int = 0, partition: int = 0) -> Outcome:
        """Apply one record's evictions."""
        step = Evict(self.milestone(partition), self.version, tags, tuple(relations), Lsn(end))
        return (await self.take(step))[0]

    async def watermark(self, w: int, c: int | None = None, partition: int = 0) -> Outcome:
        """Apply a watermark record."""
        settled = Lsn(w - 1 if c is None else c)
        return (await self.take(MoveWatermark(self.milestone(partition), Lsn(w), settled)))[0]

    async def follow(self, relation: int, entry: int | None = 1, digest: str = "d", partition: int = -1) -> Outcome:
        """Apply a schema record."""
        where = relation % len(self.applied) if partition < 0 else partition
        followed = None if entry is None else Followed(entry, digest)
        return (await self.take(Follow(self.milestone(where), relation, followed)))[0]

    async def pass_record(self, partition: int = 0) -> Outcome:
        """Apply a record that evicts nothing."""
        return (await self.take(Advance(self.milestone(partition))))[0]

    async def items(self, after: Sequence[Position]) -> list[FeedItem]:
        """Read what the feed has after these positions."""
        return await self.feed.read(after, 0.01)


async def until(condition: Callable[[], Awaitable[object]], timeout_seconds: float = 10.0) -> None:
    """Wait for a condition of the world outside, which nobody announces."""
    async with asyncio.timeout(timeout_seconds):
        while not await condition():  # noqa: ASYNC110 - a server's state has no event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def driven_bucket(
    url: str, partition_count: int = 1, max_entry_age: float = 600.0
) -> AsyncIterator[BucketDriver]:
    """Connect a driver to a server."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        yield BucketDriver(client, partition_count, max_entry_age)
    finally:
        await client.aclose()
