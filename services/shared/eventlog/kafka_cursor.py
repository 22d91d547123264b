"""Reading a topic from given offsets: a consumer without a group, whose position is whatever the caller says.

Nothing is committed to Kafka: how far a reader has come is stored in Redis, with the effect of what it read.
"""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # aiokafka ships no types

from services.shared.eventlog.kafka_access import KafkaAccess
from services.shared.eventlog.kafka_advice import MAX_RECORD_BYTES
from services.shared.eventlog.kafka_errors import is_cancelled, translated
from services.shared.eventlog.log import LogError, LogGap, LogRecord, within_tail

_FETCH_WAIT_MS = 200  # how long a broker holds an empty answer back, and a rewind may wait for the one under way
_READ_RECORDS = 2000


class KafkaCursor:
    """A consumer and the offsets that it stands at. It stays away from the broker until it is first used."""

    def __init__(self, access: KafkaAccess, topic: str, timeout: float) -> None:
        self._access = access
        self._topic = topic
        self._timeout = timeout
        self._consumer: AIOKafkaConsumer | None = None
        self._offsets: dict[int, int] = {}  # partition -> offset that the consumer gives next

    async def close(self) -> None:
        """Give up the connections."""
        consumer, self._consumer, self._offsets = self._consumer, None, {}
        if consumer is not None:
            await _stop(consumer)

    async def read(self, offsets: Mapping[int, int], wait_seconds: float) -> list[LogRecord]:
        """Return records from these offsets on; see `EventLogReader.read`."""
        records = await self._read(offsets, wait_seconds)
        expected = dict(offsets)
        for record in records:
            if int(record.place) != expected[record.partition]:
                self._offsets = {}
                raise LogGap(f"the topic goes on at offset {record.place} and not at {expected[record.partition]}")
            expected[record.partition] = int(record.next_place)
        return records

    async def _read(self, offsets: Mapping[int, int], wait_seconds: float) -> list[LogRecord]:
        """Return what stands at and after these offsets, whether or not some are missing."""
        consumer = await self._connected()
        try:
            self._move(consumer, offsets)
            async with translated(wait_seconds + self._timeout):
                found = await consumer.getmany(timeout_ms=int(wait_seconds * 1000), max_records=_READ_RECORDS)
            records: list[LogRecord] = []
            for partition, messages in found.items():
                records += self._records(partition.partition, messages)
        except LogGap:
            await self.close()  # its fetcher tries again, and would give the same error to whoever reads next
            raise
        except BaseException:
            self._offsets = {}  # the consumer may have moved on, and what it gave is lost: it is moved back by the next
            raise
        return records

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the offset of the oldest record that is still there, and that of the next one to come."""
        consumer = await self._connected()
        at = TopicPartition(self._topic, partition)
        async with translated(self._timeout):
            oldest = await consumer.beginning_offsets([at])
            newest = await consumer.end_offsets([at])
        return oldest[at], newest[at]

    async def tail(self, partition: int, limit: int) -> list[LogRecord]:
        """Return the newest records; see `EventLog.tail`."""
        oldest, end = await self.bounds(partition)
        place = max(oldest, end - limit)
        records: list[LogRecord] = []
        try:
            async with translated(self._timeout):
                while place < end:
                    records += await self._read({partition: place}, self._timeout)
                    place = int(records[-1].next_place) if records else place
                    records = within_tail([record for record in records if int(record.place) < end], limit)
        finally:
            self._stand_still()
        return records

    def _move(self, consumer: AIOKafkaConsumer, offsets: Mapping[int, int]) -> None:
        """Make the consumer go on at these offsets, where it does not anyway. No await: nothing is fetched between."""
        if offsets.keys() != self._offsets.keys():
            consumer.assign([TopicPartition(self._topic, partition) for partition in offsets])
            self._offsets = {}
        for partition, offset in offsets.items():
            if self._offsets.get(partition) != offset:
                consumer.seek(TopicPartition(self._topic, partition), offset)
                self._offsets[partition] = offset

    def _records(self, partition: int, messages: Sequence[object]) -> list[LogRecord]:
        """Turn messages into records, and note where the consumer stands now."""
        records = []
        for message in messages:
            offset: int = message.offset  # type: ignore[attr-defined]  # a ConsumerRecord, which is untyped
            value: bytes = message.value  # type: ignore[attr-defined]  # as above
            records.append(LogRecord(partition, str(offset), str(offset + 1), value))
            self._offsets[partition] = offset + 1
        return records

    def _stand_still(self) -> None:
        """Stop fetching ahead."""
        if self._consumer is not None:
            self._consumer.unsubscribe()
        self._offsets = {}

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=_FETCH_WAIT_MS,
                max_partition_fetch_bytes=MAX_RECORD_BYTES,
                request_timeout_ms=int(self._timeout * 1000),
                **self._access.options,
            )
            try:
                async with translated(self._timeout):
                    await consumer.start()
            except LogError:
                await _stop(consumer)
                raise
            self._consumer = consumer
        return self._consumer


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer.

    Its fetcher awaits requests that it has cancelled, and lets the cancellation of one that was waiting for a dead
    broker through: our task would end for nobody's asking, and the connections would stay open.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await consumer._client.close()
        if is_cancelled():
            raise
