"""The event log on Redis Streams: the embedded default, one stream a partition.

Ids are the positions themselves, `i-k` in decimal: an automatic id would use history again after Redis has lost some.
So ids only grow, which fences off an older incarnation, and a stream epoch with lower LSNs needs streams made anew.

XREAD passes silently over what was trimmed, deleted or lost in a fail-over. Therefore each entry names the id of its
predecessor (`after`), and a reader takes an entry only if that is where it stands. A place is the id of the last entry
that was read, and reading goes on behind it.

Beside the streams a hash holds the identity of the log and its number of partitions. All keys are in one hash slot.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from services.shared.eventlog.log import LogAbsent, LogGap, LogRecord, LogUnavailable, LogUnsuitable
from services.shared.eventlog.outbox import Outbox, Outgoing
from services.shared.eventlog.redis_log import Entry, RedisLog, follow, translated
from services.shared.lsn import Lsn
from services.shared.memory_policy import policy_trouble
from services.shared.position import Position, parse_stream_id
from services.shared.redis_client import Part, connect, memory_policy

COMMAND_TIMEOUT = 5.0  # seconds; longer than an fsync on a busy disk, much shorter than a person's patience
DEFAULT_MAX_LENGTH = 200_000
"""Entries that a stream keeps, approximately: about 75 MB, and minutes of a reader's absence under a heavy load.

The log shares Redis's memory with the cache, and a reader that falls further behind only begins with an empty cache.
"""
_BATCH_RECORDS = 512  # a round of this size holds Redis up for about a millisecond
_BATCH_BYTES = 1 << 20
_READ_RECORDS = 512  # a partition
_CHECK_SECONDS = 1.0  # how long a silent partition may be lost unnoticed while others are read

_CREATE = """
local head, identity, partition_count = KEYS[1], ARGV[1], ARGV[2]
redis.call('DEL', unpack(KEYS))
redis.call('HSET', head, 'identity', identity, 'partitions', partition_count)
for index = 2, #KEYS do
    redis.call('XGROUP', 'CREATE', KEYS[index], 'setup', '0', 'MKSTREAM')
    redis.call('XGROUP', 'DESTROY', KEYS[index], 'setup')
end
"""
"""Make the log anew, with empty streams: XADD with NOMKSTREAM then tells a stream that has vanished."""

_APPEND_FIRST = """
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local last_id
for index = 1, #info, 2 do
    if info[index] == 'last-generated-id' then last_id = info[index + 1] end
end
return redis.call('XADD', KEYS[1], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[1], ARGV[2], 'event', ARGV[3], 'after', last_id)
"""
"""Append an incarnation's first entry. Only now is its predecessor known: an older writer may just have written."""


class RedisStreamWriter(RedisLog):
    """`EventLogWriter` on Redis Streams."""

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        partition_count: int,
        timeout: float = COMMAND_TIMEOUT,
        max_length: int = DEFAULT_MAX_LENGTH,
    ) -> None:
        """Prepare a writer.

        Args:
            redis_url: Where Redis is.
            prefix: What the cache's keys begin with.
            partition_count: Number of partitions.
            timeout: How long Redis may take for anything, in seconds.
            max_length: About how many entries each stream keeps. A reader that falls further behind finds a gap.
        """
        super().__init__(redis_url, prefix, partition_count, timeout, Part.CDC)
        self._max_length = max_length
        self._outbox = Outbox()
        self._last: dict[int, Position] = {}  # partition -> what this writer has appended to it last
        self._sending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `EventLog.open`."""
        try:
            await self._prepare()
        except BaseException:
            await self.close()
            raise
        self._sending = asyncio.create_task(self._send_rounds(), name="event log sender")

    async def _prepare(self) -> None:
        """Make the log unless it is there."""
        await self.check_shape()
        with translated():
            trouble = policy_trouble(await memory_policy(self._redis))
        if trouble:
            raise LogUnsuitable(trouble)
        with translated():
            whole = await self._redis.exists(self._head, *self._keys) == 1 + self._partition_count
        if not whole:
            await self._create()

    async def close(self) -> None:
        """See `EventLog.close`."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        self._outbox.close()
        await self._redis.aclose()

    async def begin_epoch(self, incarnation: Lsn) -> str:
        """See `EventLogWriter.begin_epoch`."""
        last_ids = [await self._last_id(partition) for partition in range(self._partition_count)]
        if any(parse_stream_id(last_id) >= Position(incarnation, 0) for last_id in last_ids):
            await self._create()
        return await self.identity()

    def append(self, partition: int, position: Position, key: bytes, value: bytes) -> "asyncio.Future[None]":
        """See `EventLogWriter.append`."""
        return self._outbox.put(partition, position, key, value)

    async def flush(self) -> None:
        """See `EventLogWriter.flush`."""
        await self._outbox.flush()

    async def _create(self) -> None:
        """Make the log anew under another identity."""
        with translated():
            await cast(
                Any,
                self._redis.eval(
                    _CREATE,
                    1 + self._partition_count,
                    self._head,
                    *self._keys,
                    secrets.token_hex(8),
                    self._partition_count,
                ),
            )

    async def _send_rounds(self) -> None:
        """Send until a failure, which is final."""
        try:
            while True:
                await self._send(await self._outbox.take(_BATCH_RECORDS, _BATCH_BYTES))
                self._outbox.settle()
        except (LogGap, LogUnavailable) as failure:
            self._outbox.fail(failure)
        finally:
            self._outbox.close()

    async def _send(self, batch: Sequence[Outgoing]) -> None:
        """Append a batch in one MULTI: Redis without memory refuses all of it, and no entry follows a lost one."""
        pipeline = self._redis.pipeline(transaction=True)
        for outgoing in batch:
            self._add(pipeline, outgoing)
        with translated():
            try:
                replies = await pipeline.execute()
            except ResponseError as error:
                if "no such key" in str(error):
                    raise LogGap("a stream of the event log has vanished from Redis") from error
                raise
        if None in replies:
            raise LogGap("a stream of the event log has vanished from Redis")

    def _add(self, pipeline: "Pipeline", outgoing: Outgoing) -> None:
        """Add a record to a batch. Ids fence off older writers once an incarnation has its first entry."""
        key, position = self._keys[outgoing.partition], outgoing.position
        last = self._last.get(outgoing.partition)
        if last is None or last.incarnation != position.incarnation:
            pipeline.eval(_APPEND_FIRST, 1, key, self._max_length, position.stream_id, outgoing.value)
        else:
            entry: dict[Any, Any] = {"event": outgoing.value, "after": last.stream_id}
            pipeline.xadd(key, entry, id=position.stream_id, maxlen=self._max_length, approximate=True, nomkstream=True)
        self._last[outgoing.partition] = position


class RedisStreamReader(RedisLog):
    """`EventLogReader` on Redis Streams. Waiting reads have a connection of their own."""

    def __init__(self, redis_url: str, prefix: str, partition_count: int, timeout: float = COMMAND_TIMEOUT) -> None:
        """Prepare a reader; see `RedisStreamWriter` for the arguments."""
        super().__init__(redis_url, prefix, partition_count, timeout)
        self._waiting_redis = connect(redis_url, prefix, timeout, None)
        self._identity: str | None = None  # of the log that the places belong to; none: of the one that is there
        self._checked_at = 0.0

    async def open(self) -> None:
        """See `EventLog.open`."""
        try:
            await self.check_shape()
            await self.identity()
        except LogGap as error:
            await self.close()
            raise LogAbsent("the event log does not exist yet in Redis") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See `EventLog.close`."""
        await self._waiting_redis.aclose()
        await self._redis.aclose()

    async def identity(self) -> str:
        """See `EventLog.identity`; whoever asks takes places of this log from now on."""
        self._identity = await super().identity()
        return self._identity

    async def read(self, places: Mapping[int, str], wait_seconds: float) -> Sequence[LogRecord]:
        """See `EventLogReader.read`."""
        try:
            records = await self._read_new(places, wait_seconds)
            if not records or time.monotonic() - self._checked_at >= _CHECK_SECONDS:
                seen = {record.partition for record in records}
                await self._check({partition: place for partition, place in places.items() if partition not in seen})
                self._checked_at = time.monotonic()
        except LogGap:
            self._identity = None  # the gap has been told; the next places belong to the log that is there now
            raise
        return records

    async def _read_new(self, places: Mapping[int, str], wait_seconds: float) -> list[LogRecord]:
        """Read what follows the places, waiting for a first entry."""
        for place in places.values():
            _check_place(place)
        partitions = {self._keys[partition].encode(): partition for partition in places}
        streams = cast(Any, {self._keys[partition]: place for partition, place in places.items()})
        block_ms = int(wait_seconds * 1000) or None
        with translated():
            async with asyncio.timeout(wait_seconds + self._timeout):
                reply = await self._waiting_redis.xread(streams, count=_READ_RECORDS, block=block_ms)
        records: list[LogRecord] = []
        for key, entries in cast("list[tuple[bytes, list[Entry]]]", reply):
            partition = partitions[key]
            records += follow(partition, places[partition], entries)
        return records

    async def _check(self, silent: Mapping[int, str]) -> None:
        """Make sure that the log is the same, and that partitions without new entries end where they were read to."""
        before = self._identity
        if before not in (None, await self.identity()):
            raise LogGap("the event log was made anew")
        for partition, place in silent.items():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xinfo_stream(self._keys[partition])
            pipeline.xread(cast(Any, {self._keys[partition]: place}), count=1)
            with translated():
                info, following = await pipeline.execute(raise_on_error=False)
                if isinstance(info, ResponseError):
                    raise LogGap("a stream of the event log has vanished from Redis") from info
                if isinstance(info, RedisError):
                    raise info
            last_id = str(info["last-generated-id"], "ascii")
            if not following and last_id != place:
                raise LogGap(f"the event log ends at {last_id}, and {place} was read last")


def _check_place(place: str) -> None:
    try:
        parse_stream_id(place)
    except ValueError as error:
        raise LogGap(f"{place!r} is no place in a stream: it was read from another log") from error
