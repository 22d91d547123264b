"""The event log on Apache Kafka: one topic, whose partitions are the log's.

The writer is an idempotent producer with acks=all and one batch a partition under way, so a retry of the client neither
doubles nor reorders. The reader has no consumer group. A place is an offset.

What Kafka tells of a loss becomes `LogGap`: an offset out of range (retention, truncation after an unclean election),
an offset that jumps, a topic with another id. aiokafka retries for ever inside when no broker answers; so a reader to
which nothing comes asks for the topic's id, and learns from that whether brokers are there and the topic is the same.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.errors import ProducerClosed  # type: ignore[import-untyped]  # as above

from services.shared.eventlog.kafka_access import KafkaAccess
from services.shared.eventlog.kafka_advice import MAX_RECORD_BYTES
from services.shared.eventlog.kafka_cursor import KafkaCursor
from services.shared.eventlog.kafka_errors import translated
from services.shared.eventlog.kafka_topic import MAX_BATCH_BYTES, KafkaTopic
from services.shared.eventlog.log import LogAbsent, LogError, LogGap, LogRecord, LogUnavailable
from services.shared.eventlog.outbox import Outbox, Outgoing
from services.shared.lsn import Lsn
from services.shared.position import Position

REPLY_TIMEOUT = 10.0  # seconds
DELIVERY_TIMEOUT = 30.0  # seconds; a cluster needs about ten to replace a leader that has died
_BATCH_RECORDS = 4096
_CHECK_SECONDS = 1.0  # how long a topic made anew, or a silent broker, may go unnoticed while others are read


class _KafkaLog:
    """What both ends have in common."""

    def __init__(self, access: KafkaAccess, topic: str, partition_count: int, timeout: float) -> None:
        self._topic = KafkaTopic(access, topic, partition_count, timeout)
        self._cursor = KafkaCursor(access, topic, timeout)

    @property
    def partition_count(self) -> int:
        """See `EventLog.partition_count`."""
        return self._topic.partition_count

    async def identity(self) -> str:
        """See `EventLog.identity`."""
        return await self._topic.identity()

    async def oldest(self, partition: int) -> str:
        """See `EventLog.oldest`."""
        return str((await self._cursor.bounds(partition))[0])

    async def tail(self, partition: int, limit: int) -> list[LogRecord]:
        """See `EventLog.tail`."""
        return await self._cursor.tail(partition, limit)


class KafkaWriter(_KafkaLog):
    """`EventLogWriter` on Kafka."""

    def __init__(
        self,
        access: KafkaAccess,
        topic: str,
        partition_count: int,
        timeout: float = REPLY_TIMEOUT,
        delivery_timeout: float = DELIVERY_TIMEOUT,
    ) -> None:
        """Prepare a writer.

        Args:
            access: How to come into the cluster.
            topic: Name of the topic.
            partition_count: Number of its partitions.
            timeout: How long the brokers may take to answer a question, in seconds.
            delivery_timeout: How long they may take to acknowledge a record, in seconds; then the writer has failed.
        """
        super().__init__(access, topic, partition_count, timeout)
        self._access = access
        self._timeout = timeout
        self._delivery_timeout = delivery_timeout
        self._outbox = Outbox()
        self._producer: AIOKafkaProducer | None = None
        self._sending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `EventLog.open`."""
        try:
            await self._topic.open()
            await self._topic.ensure()
            producer = await self._start_producer()
        except BaseException:
            await self.close()
            raise
        self._sending = asyncio.create_task(self._send_rounds(producer), name="event log sender")

    async def _start_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            enable_idempotence=True,
            acks="all",
            linger_ms=0,  # batches gather while the one before is under way
            max_batch_size=MAX_RECORD_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            request_timeout_ms=int(self._delivery_timeout * 1000),
            **self._access.options,
        )
        self._producer = producer
        async with translated(self._timeout):
            await producer.start()
        return producer

    async def close(self) -> None:
        """See `EventLog.close`."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        self._outbox.close()
        if self._producer is not None:
            await _abandon(self._producer)
        await self._cursor.close()
        await self._topic.close()

    async def begin_epoch(self, incarnation: Lsn) -> str:
        """See `EventLogWriter.begin_epoch`."""
        return await self._topic.identity()

    def append(self, partition: int, position: Position, key: bytes, value: bytes) -> "asyncio.Future[None]":
        """See `EventLogWriter.append`."""
        return self._outbox.put(partition, position, key, value)

    async def flush(self) -> None:
        """See `EventLogWriter.flush`."""
        await self._outbox.flush()

    async def _send_rounds(self, producer: AIOKafkaProducer) -> None:
        """Send until a failure, which is final."""
        try:
            while True:
                batch = await self._outbox.take(_BATCH_RECORDS, MAX_BATCH_BYTES)
                async with translated(self._delivery_timeout):
                    await self._send(producer, batch)
                self._outbox.settle()
        except LogError as failure:
            self._outbox.fail(failure)
        finally:
            self._outbox.close()
            await _abandon(producer)

    async def _send(self, producer: AIOKafkaProducer, batch: Sequence[Outgoing]) -> None:
        """Send one batch a partition, and wait until all are acknowledged."""
        builders = {}
        for outgoing in batch:
            if outgoing.partition not in builders:
                builders[outgoing.partition] = producer.create_batch()
            taken = builders[outgoing.partition].append(key=outgoing.key, value=outgoing.value, timestamp=None)
            if taken is None:
                raise LogUnavailable(f"a batch of {len(batch)} records does not fit into {MAX_RECORD_BYTES} bytes")
        acknowledgements: list[asyncio.Future[object]] = []
        for partition, builder in builders.items():
            acknowledgement = await producer.send_batch(builder, self._topic.name, partition=partition)
            acknowledgement.add_done_callback(_retrieve)
            acknowledgements.append(acknowledgement)
        done, _ = await asyncio.wait(acknowledgements, return_when=asyncio.FIRST_EXCEPTION)
        for acknowledgement in done:
            acknowledgement.result()


def _retrieve(acknowledgement: "asyncio.Future[object]") -> None:
    """Keep asyncio from reporting what nobody waits for any more."""
    if not acknowledgement.cancelled():
        acknowledgement.exception()


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Stop a producer at once, with whatever is under way; again is harmless.

    Its own `stop` waits for acknowledgements, and an idempotent producer repeats a batch for ever: without a broker it
    would never end, and what has failed here could still be written when the broker is back.
    """
    producer._message_accumulator.fail_all(ProducerClosed())
    if (sender := producer._sender.sender_task) is not None:
        sender.cancel()
    await producer.client.close()
    await producer.stop()


class KafkaReader(_KafkaLog):
    """`EventLogReader` on Kafka."""

    def __init__(self, access: KafkaAccess, topic: str, partition_count: int, timeout: float = REPLY_TIMEOUT) -> None:
        """Prepare a reader; see `KafkaWriter` for the arguments."""
        super().__init__(access, topic, partition_count, timeout)
        self._identity: str | None = None  # of the topic that the places belong to; none: of the one that is there
        self._checked_at = 0.0

    async def open(self) -> None:
        """See `EventLog.open`."""
        try:
            await self._topic.open()
            self._identity = await self._topic.identity()
        except LogGap as error:
            await self.close()
            raise LogAbsent(f"{error.reason} yet") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See `EventLog.close`."""
        await self._cursor.close()
        await self._topic.close()

    async def identity(self) -> str:
        """See `EventLog.identity`; whoever asks takes places of this topic from now on."""
        self._identity = await super().identity()
        return self._identity

    async def read(self, places: Mapping[int, str], wait_seconds: float) -> Sequence[LogRecord]:
        """See `EventLogReader.read`."""
        try:
            offsets = {partition: _offset(place) for partition, place in places.items()}
            records = await self._cursor.read(offsets, wait_seconds)
            if not records or time.monotonic() - self._checked_at >= _CHECK_SECONDS:
                await self._check_identity()
                self._checked_at = time.monotonic()
        except LogGap:
            self._identity = None  # the gap has been told; the next places belong to the topic that is there now
            raise
        return records

    async def _check_identity(self) -> None:
        identity = await self._topic.identity()
        if self._identity is not None and identity != self._identity:
            raise LogGap("the topic was deleted and made anew")
        self._identity = identity


def _offset(place: str) -> int:
    if not place.isdecimal():
        raise LogGap(f"{place!r} is no place in a topic: it was read from another log")
    return int(place)
