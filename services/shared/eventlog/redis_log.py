"""What a log on Redis Streams consists of, and the questions that both of its ends ask; see `redis_streams.py`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from redis.exceptions import RedisError, ResponseError

from services.shared.eventlog.log import (
    TAIL_BYTES,
    LogGap,
    LogRecord,
    LogUnavailable,
    LogUnsuitable,
    within_tail,
)
from services.shared.redis_client import Part, connect
from services.shared.redis_errors import describe

_TAIL_ENTRIES = 64  # in one reply; at most 256 KB each

Entry = tuple[bytes, dict[bytes, bytes]]
"""An entry of a stream as the client gives it: its id and its fields."""


class RedisLog:
    """The keys of one log and what both ends ask of them."""

    def __init__(
        self, redis_url: str, prefix: str, partition_count: int, timeout: float, part: Part | None = None
    ) -> None:
        self._partition_count = partition_count
        self._timeout = timeout
        self._head = f"{prefix}log"
        self._keys = [f"{prefix}log:{partition}" for partition in range(partition_count)]
        self._redis = connect(redis_url, prefix, timeout, timeout, part)

    @property
    def partition_count(self) -> int:
        """See `EventLog.partition_count`."""
        return self._partition_count

    async def identity(self) -> str:
        """See `EventLog.identity`."""
        with translated():
            identity = await cast(Any, self._redis.hget(self._head, "identity"))
        if identity is None:
            raise LogGap("the event log has vanished from Redis")
        return str(identity, "ascii")

    async def oldest(self, partition: int) -> str:
        """See `EventLog.oldest`."""
        with translated():
            entries = cast("list[Entry]", await self._redis.xrange(self._keys[partition], count=1))
        return _record(partition, entries[0]).place if entries else await self._last_id(partition)

    async def tail(self, partition: int, limit: int) -> list[LogRecord]:
        """See `EventLog.tail`."""
        newest_first: list[LogRecord] = []
        before = "+"
        while len(newest_first) < limit:
            count = min(_TAIL_ENTRIES, limit - len(newest_first))
            with translated():
                entries = cast("list[Entry]", await self._redis.xrevrange(self._keys[partition], before, count=count))
            newest_first += [_record(partition, entry) for entry in entries]
            if len(entries) < count or sum(len(record.value) for record in newest_first) > TAIL_BYTES:
                break
            before = f"({newest_first[-1].next_place}"
        if not newest_first:
            await self._last_id(partition)
        return within_tail(newest_first[::-1], limit)

    async def check_shape(self) -> None:
        """Refuse a log with another number of partitions: relations would move between them."""
        with translated():
            count = await cast(Any, self._redis.hget(self._head, "partitions"))
        if count is not None and int(count) != self._partition_count:
            raise LogUnsuitable(
                f"the event log {self._head} has {int(count)} partitions and the settings say {self._partition_count}: "
                f"set partitions to {int(count)}, or stop the services and delete the keys {self._head}*"
            )

    async def _last_id(self, partition: int) -> str:
        """Return the id of the newest entry that ever was in a stream."""
        with translated():
            try:
                info = await self._redis.xinfo_stream(self._keys[partition])
            except ResponseError as error:
                if "no such key" in str(error):
                    raise LogGap("a stream of the event log has vanished from Redis") from error
                raise
        return str(info["last-generated-id"], "ascii")


def _record(partition: int, entry: Entry) -> LogRecord:
    entry_id, fields = entry
    return LogRecord(partition, str(fields[b"after"], "ascii"), str(entry_id, "ascii"), fields[b"event"])


def follow(partition: int, place: str, entries: Sequence[Entry]) -> list[LogRecord]:
    """Turn entries into records.

    Raises:
        LogGap: One of them does not follow the one before it, or the first does not stand at the place.
    """
    records = []
    for entry in entries:
        record = _record(partition, entry)
        if record.place != place:
            raise LogGap(f"the event log goes on after {record.place}, and {place} was read last")
        place = record.next_place
        records.append(record)
    return records


@contextmanager
def translated() -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise LogUnavailable(f"event log on Redis: {describe(error)}") from error
