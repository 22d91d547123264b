"""What the conformance suite of the event logs needs of each log beyond the seam: to be damaged on purpose."""

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import redis.asyncio
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete  # type: ignore[import-untyped]  # it ships no types
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]  # as above

from services.shared.eventlog.kafka import KafkaReader, KafkaWriter
from services.shared.eventlog.kafka_access import KafkaAccess
from services.shared.eventlog.log import EventLogReader, EventLogWriter, LogRecord
from services.shared.eventlog.redis_streams import RedisStreamReader, RedisStreamWriter
from services.shared.lsn import Lsn
from services.shared.position import Position
from services.shared.runtime.kafka_url import KafkaUrl
from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer

T = TypeVar("T")
TIMEOUT = 1.0  # seconds that the logs wait for their server
_numbers = itertools.count(1)


class Backend(ABC):
    """One log on a real server."""

    partition_count = 2

    @abstractmethod
    def writer(self) -> EventLogWriter:
        """Return a new writer."""

    @abstractmethod
    def reader(self) -> EventLogReader:
        """Return a new reader."""

    @abstractmethod
    async def delete_log(self) -> None:
        """Delete all of it, as an operator might."""

    @abstractmethod
    async def truncate(self, before: str) -> None:
        """Delete what stands before a place in partition 0."""

    @property
    @abstractmethod
    def server(self) -> RedisServer | KafkaServer:
        """Where it runs."""


class RedisBackend(Backend):
    """Redis Streams."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._prefix = f"tidegate:{{log{next(_numbers)}}}:"

    def writer(self) -> RedisStreamWriter:
        """Return a new writer."""
        return RedisStreamWriter(self._server.url, self._prefix, self.partition_count, timeout=TIMEOUT)

    def reader(self) -> RedisStreamReader:
        """Return a new reader."""
        return RedisStreamReader(self._server.url, self._prefix, self.partition_count, timeout=TIMEOUT)

    async def delete_log(self) -> None:
        """FLUSHALL."""
        async with redis.asyncio.Redis.from_url(self._server.url) as client:
            await client.flushall()

    async def truncate(self, before: str) -> None:
        """XTRIM, exactly; a place is the id of the record before it."""
        async with redis.asyncio.Redis.from_url(self._server.url) as client:
            incarnation, _, k = before.partition("-")
            await client.xtrim(f"{self._prefix}log:0", minid=f"{incarnation}-{int(k) + 1}", approximate=False)

    @property
    def server(self) -> RedisServer:
        """Where it runs."""
        return self._server


class KafkaBackend(Backend):
    """Kafka."""

    def __init__(self, server: KafkaServer) -> None:
        self._server = server
        self.topic = f"tidegate.log{next(_numbers)}.changes"

    def writer(self) -> KafkaWriter:
        """Return a new writer."""
        return KafkaWriter(
            access(self._server), self.topic, self.partition_count, timeout=TIMEOUT, delivery_timeout=TIMEOUT
        )

    def reader(self) -> KafkaReader:
        """Return a new reader."""
        return KafkaReader(access(self._server), self.topic, self.partition_count, timeout=TIMEOUT)

    async def delete_log(self) -> None:
        """Delete the topic."""
        admin = await self.admin()
        try:
            await admin.delete_topics([self.topic])
        finally:
            await admin.close()

    async def truncate(self, before: str) -> None:
        """Raise the log start offset, as retention does."""
        admin = await self.admin()
        try:
            await admin.delete_records({TopicPartition(self.topic, 0): RecordsToDelete(int(before))})
        finally:
            await admin.close()

    async def admin(self) -> AIOKafkaAdminClient:
        """Return a started admin client."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._server.bootstrap)
        await admin.start()
        return admin

    @property
    def server(self) -> KafkaServer:
        """Where it runs."""
        return self._server


def access(server: KafkaServer) -> KafkaAccess:
    """How to come into a broker that lets everybody in."""
    return KafkaAccess(KafkaUrl((server.bootstrap,)))


def at(k: int, incarnation: int = 100) -> Position:
    """A position of the first incarnation of the tests, or of another."""
    return Position(Lsn(incarnation), k)


async def write(log: EventLogWriter, count: int, first: int = 0, partition: int = 0, incarnation: int = 100) -> None:
    """Append records numbered from `first`, and wait until they are acknowledged."""
    for k in range(first, first + count):
        log.append(partition, at(k, incarnation), b"public.orders", value(k))
    await log.flush()


def value(k: int) -> bytes:
    """The value of a numbered record."""
    return b'{"k":%d}' % k


async def read_all(log: EventLogReader, places: Mapping[int, str], count: int) -> list[LogRecord]:
    """Read on from some places until so many records have come, or five seconds have passed."""
    current = dict(places)
    records: list[LogRecord] = []
    async with asyncio.timeout(5):
        while len(records) < count:
            fresh = await log.read(current, 0.5)
            current |= {record.partition: record.next_place for record in fresh}
            records += fresh
    return records


async def eventually(action: Callable[[], Awaitable[T]], expected: type[Exception], seconds: float = 20.0) -> Exception:
    """Repeat an action until it raises what is expected; return that."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await action()
            except expected as error:
                return error


async def recovered(action: Callable[[], Awaitable[T]], passing: type[Exception], seconds: float = 20.0) -> T:
    """Repeat an action until it raises no more; return its result."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await action()
            except passing:
                await asyncio.sleep(0.05)
