"""The feed: what was applied to the bucket, for whoever keeps answers of his own. Consistency contract, section 7.

One stream per partition, one item per applied log record; an item's id is the record's position, and it names its
predecessor. So a reader that finds another predecessor than its own position knows that it missed something. Item by
item it applies what was evicted, then moves its own position and watermark.

Two things never show in a feed that stays silent, and have to be looked for in the bucket: that it went back in time,
and that an epoch with lower positions began.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from services.shared.keyspace.entry import split_names
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.replies import streams_of
from services.shared.keyspace.runner import BucketUnavailable
from services.shared.lsn import NO_LSN, Lsn, parse_sortable
from services.shared.position import Position, parse_position, parse_stream_id
from services.shared.redis_errors import describe

_BATCH_ITEMS = 500  # of each partition in one reply
_LEAST_WAIT_MS = 1  # XREAD takes 0 for "for ever"
_ANSWER_SECONDS = 2.0  # beyond the wait; a host that has vanished closes no connection


class FeedKind(StrEnum):
    """What an item tells."""

    EVICT = "evict"
    WATERMARK = "watermark"
    ADVANCE = "advance"  # the position moved, nothing else
    FOLLOW = "follow"  # who is followed


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One applied log record.

    Attributes:
        kind: What it tells.
        partition: Partition of the log.
        position: The record's position.
        prev: Position of the record applied before it.
        epoch: Bucket epoch.
        registry_version: Registry version that the bucket had; for EVICT the one that the record was matched with.
        tags: Tags evicted.
        relations: Relations evicted as a whole. A FOLLOW names its relation here, which is followed from here on with
            `publication_entry` (None: not any more); nothing, if it was followed just so before.
        end_lsn: End of the transaction's commit (EVICT); zero elsewhere.
        watermark: w (WATERMARK).
        settled: c (WATERMARK).
        publication_entry: OID of the publication's entry (FOLLOW).
    """

    kind: FeedKind
    partition: int
    position: Position
    prev: Position
    epoch: str
    registry_version: str
    tags: tuple[str, ...] = ()
    relations: tuple[int, ...] = ()
    end_lsn: Lsn = NO_LSN
    watermark: Lsn = NO_LSN
    settled: Lsn = NO_LSN
    publication_entry: int | None = None


def decode_item(partition: int, stream_id: bytes, fields: Mapping[bytes, bytes]) -> FeedItem:
    """Read an item.

    Raises:
        ValueError: It is not what the scripts write.
    """
    try:
        return FeedItem(
            kind=FeedKind(fields[b"kind"].decode()),
            partition=partition,
            position=parse_stream_id(stream_id),
            prev=parse_position(fields[b"prev"]),
            epoch=fields[b"epoch"].decode(),
            registry_version=fields[b"registry"].decode(),
            tags=split_names(fields.get(b"tags", b"")),
            relations=tuple(map(int, split_names(fields.get(b"relations", b"")))),
            end_lsn=parse_sortable(fields.get(b"lsn", b"0")),
            watermark=parse_sortable(fields.get(b"w", b"0")),
            settled=parse_sortable(fields.get(b"c", b"0")),
            publication_entry=int(fields[b"entry"]) if fields.get(b"entry") else None,
        )
    except KeyError as missing:
        raise ValueError(f"a feed item has no field {missing}") from missing


class Feed:
    """Reads a bucket's feed."""

    def __init__(self, client: "redis.asyncio.Redis", cache: str, partition_count: int) -> None:
        """Wrap a client, which stays the caller's to close.

        Args:
            client: It had better have no socket time-out; it must not decode replies.
            cache: Name of the cache.
            partition_count: Partitions of the event log.
        """
        keys = Keys(cache)
        self._client: Any = client  # its commands are not typed
        self._partitions = {keys.feed(partition).encode(): partition for partition in range(partition_count)}

    async def read(self, after: Sequence[Position], wait_seconds: float) -> list[FeedItem]:
        """Return the items that follow these positions, in order within each partition.

        Args:
            after: Position per partition.
            wait_seconds: How long to wait for a first item.

        Returns:
            The items, not more than a bounded batch; empty when none came in time.

        Raises:
            BucketUnavailable: Redis cannot be reached, or the feed holds what the scripts did not write.

        Cancel-safe: yes; reading consumes nothing.
        """
        wait_ms = max(_LEAST_WAIT_MS, int(wait_seconds * 1000))
        ids = [position.stream_id for position in after]
        try:
            async with asyncio.timeout(wait_seconds + _ANSWER_SECONDS):
                reply = await self._client.execute_command(
                    "XREAD", "COUNT", _BATCH_ITEMS, "BLOCK", wait_ms, "STREAMS", *self._partitions, *ids
                )
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise BucketUnavailable(f"feed in Redis: {type(error).__name__}: {describe(error)}") from error
        try:
            return [
                decode_item(self._partitions[key], stream_id, fields)
                for key, entries in streams_of(reply)
                for stream_id, fields in entries
            ]
        except (ValueError, LookupError) as error:
            raise BucketUnavailable(f"the feed holds what the scripts did not write: {error}") from error
