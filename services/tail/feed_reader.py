"""Reading along in the feed of evictions. Only what reads: not even a script is loaded into Redis."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from services.shared.keyspace.feed import Feed, FeedItem
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.runner import BucketUnavailable
from services.shared.keyspace.state import BucketState, Registry, parse_registry
from services.shared.position import START, Position
from services.shared.redis_client import connect
from services.shared.relation import Shape
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.cancellation import raise_if_cancelled
from services.shared.runtime.settings import CacheSettings
from services.tail.line import Line
from services.tail.story import Story
from services.tail.troubles import Troubles

READ_SECONDS = 0.5
"""How long one read waits for a first item; after a silence the bucket is looked at."""

REDIS_SECONDS = 5.0
"""How long Redis may take for anything else."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 1.0

Show = Callable[[list[Line]], None]


class FeedFollower:
    """Reads a cache's feed, whatever becomes of it."""

    def __init__(self, cache: CacheSettings, story: Story, show: Show, *, from_beginning: bool) -> None:
        self._cache = cache
        self._keys = Keys(cache.name)
        self._story = story
        self._show = show
        self._from_beginning = from_beginning
        self._troubles = Troubles("the eviction feed", story, show)
        self._there_at_first = True
        self._epoch = ""
        self._registry_version = ""
        self._positions: Sequence[Position] = (START,) * cache.partitions
        self._past: Sequence[Position] = self._positions  # what stood there when reading began

    async def run(self) -> None:
        """Read for ever.

        Cancel-safe: yes; nothing is consumed.
        """
        client = connect(self._cache.redis_url.get_secret_value(), self._cache.prefix, REDIS_SECONDS, None)
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        try:
            while True:
                raise_if_cancelled()
                try:
                    await self._follow(client, backoff)
                except BucketUnavailable as error:
                    self._troubles.tell(f"{error}; evictions are not seen")
                except TimeoutError:
                    self._troubles.tell("Redis: no answer in time; evictions are not seen")
                await backoff.wait()
        finally:
            await client.aclose()

    async def _follow(self, client: "redis.asyncio.Redis", backoff: Backoff) -> None:
        feed = Feed(client, self._cache.name, self._cache.partitions)
        while True:
            raise_if_cancelled()
            registry = await self._look(client)
            if not registry.state.bucket_epoch:
                self._troubles.tell("no invalidator has begun in this Redis; evictions show once one has")
                self._there_at_first = False
                await backoff.wait()
                continue
            self._troubles.over()
            backoff.reset()
            self._stand(registry)
            await self._read(client, feed)

    async def _read(self, client: "redis.asyncio.Redis", feed: Feed) -> None:
        """Read until the bucket is to be looked at."""
        while True:
            raise_if_cancelled()
            async with asyncio.timeout(READ_SECONDS + REDIS_SECONDS):
                items = await feed.read(self._positions, READ_SECONDS)
            if not items:
                return
            for item in items:
                if item.epoch != self._epoch:
                    return
                if item.registry_version != self._registry_version:
                    self._learn(await self._look(client))
                    self._registry_version = item.registry_version
                self._take(item)

    def _take(self, item: FeedItem) -> None:
        here = self._positions[item.partition]
        if item.prev != here and here != START:
            self._show([self._story.note("evictions were missed: the feed was trimmed, or went back in time")])
        self._positions = (
            *self._positions[: item.partition],
            item.position,
            *self._positions[item.partition + 1 :],
        )
        self._show(self._story.item(item, past=item.position <= self._past[item.partition]))

    def _stand(self, registry: Registry) -> None:
        """Go on where we are, unless the bucket is another one or has gone back in time."""
        state = registry.state
        if state.bucket_epoch != self._epoch:
            self._begin(state)
        elif any(theirs < ours for theirs, ours in zip(state.positions, self._positions, strict=False)):
            self._show([self._story.note("Redis has gone back in time")])
            self._positions = state.positions
        self._learn(registry)
        self._story.applied(state.stream_epoch, state.watermarks)

    def _begin(self, state: BucketState) -> None:
        """Take up a bucket epoch: the first one at its end, any later one from its beginning."""
        first = not self._epoch
        self._epoch = state.bucket_epoch
        if len(state.positions) != self._cache.partitions:
            raise BucketUnavailable(f"the bucket has {len(state.positions)} partitions, unlike the settings")
        start = (START,) * self._cache.partitions
        self._positions = self._past = start
        if first and self._there_at_first:
            self._past = state.positions
            self._positions = start if self._from_beginning else state.positions
        else:
            self._show([self._story.note(f"the cache begins, empty: {state.reason}")])

    def _learn(self, registry: Registry) -> None:
        self._registry_version = registry.version
        self._story.know_shapes(map(Shape.parse, registry.shapes))

    async def _look(self, client: "redis.asyncio.Redis") -> Registry:
        """Read the bucket, with plain commands.

        Raises:
            BucketUnavailable: Redis does not answer, or holds what the scripts did not write.
        """
        pipeline: Any = client.pipeline(transaction=True)
        for key in (self._keys.meta, self._keys.shapes, self._keys.followed):
            pipeline.hgetall(key)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                replies = await pipeline.execute()
            return parse_registry(self._cache.partitions, *replies)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise BucketUnavailable(f"Redis: {str(error) or 'no answer in time'}") from error
        except (ValueError, LookupError) as error:
            raise BucketUnavailable(f"the bucket holds what the scripts did not write: {error}") from error
