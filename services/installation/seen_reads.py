"""Reads from a cache's Redis which shapes are registered, and what the feed has evicted lately.

With plain commands, so that nothing is left there.
"""

from collections import Counter
from typing import Any

from services.installation.identity_facts import SeenReads
from services.installation.ownership import REDIS_SECONDS
from services.shared.keyspace.feed import FeedItem, FeedKind, decode_item
from services.shared.keyspace.keys import SENTINEL, Keys
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.redis_client import connect
from services.shared.relation import Shape, relation_of_tag
from services.shared.runtime.settings import CacheSettings

_PAGE_ITEMS = 250  # in one reply: a few megabytes where every one evicts as many tags as it may
_MOST_ITEMS = 2_000
_MOST_TAGS = 100_000


async def seen_reads(cache: CacheSettings) -> SeenReads:
    """Read the shapes of a cache, and the end of its feed.

    Raises:
        RedisError, OSError, ValueError: Redis does not answer, or holds what is not ours.
    """
    client: Any = connect(
        cache.redis_url.get_secret_value(), cache.prefix, REDIS_SECONDS, REDIS_SECONDS
    )  # its commands are not typed
    keys = Keys(cache.name)
    evictions: Counter[int] = Counter()
    evicted: Counter[str] = Counter()
    try:
        known = [Shape.parse(name) for name in await client.hkeys(keys.shapes) if name != SENTINEL.encode()]
        shapes = tuple([shape for shape in known if not await _shows_keys(client, keys, shape)])
        wanted = {shape_tag(shape) for shape in shapes}
        for partition in range(cache.partitions):
            for item in await _last_items(client, keys.feed(partition), partition):
                evictions.update({relation_of_tag(tag) for tag in item.tags})
                evicted.update(wanted.intersection(item.tags))
    finally:
        await client.aclose()
    return SeenReads(shapes, evictions, evicted)


async def _shows_keys(client: Any, keys: Keys, shape: Shape) -> bool:
    """Tell whether the answers of a shape are evicted by the keys that they show: then no identity is wanted for it.

    Where no answer is kept just now, that cannot be told, and the shape is one like any other.
    """
    if not shape.named:
        return False
    return bool(await client.exists(keys.index(entry_tag(shape)))) and not await client.exists(
        keys.index(shape_tag(shape))
    )


async def _last_items(client: Any, key: str, partition: int) -> list[FeedItem]:
    """Read the last evictions of a partition, the newest first."""
    found: list[FeedItem] = []
    end, read, tags = "+", 0, 0
    while read < _MOST_ITEMS and tags < _MOST_TAGS:
        page = await client.xrevrange(key, max=end, count=_PAGE_ITEMS)
        items = [decode_item(partition, stream_id, fields) for stream_id, fields in page]
        found += [item for item in items if item.kind is FeedKind.EVICT]
        if len(page) < _PAGE_ITEMS:
            break
        end, read = f"({page[-1][0].decode()}", read + len(page)
        tags += sum(len(item.tags) for item in items)
    return found
