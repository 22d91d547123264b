"""From a commit to its eviction at a steady rate of writes, beside a bare round trip through Kafka at the same rate.

Both are open loops: a write is due when it is due, however slow the ones before it are.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]  # no types

from benchmarks.stream_services import TABLE, Site, bucket_of, shape_by_id
from services.shared.keyspace.canonical import canonical_text
from services.shared.keyspace.feed import Feed
from services.shared.relation import value_tag

_CONNECTIONS = 16
_DRAIN_SECONDS = 15.0  # for what is under way when the last write has been made
_RECORD_BYTES = 480  # as much as a change of one row of our table takes
_TOPIC = "bare"


async def commit_to_evicted(site: Site, rate: int, seconds: float) -> list[float]:
    """Update one row after the other, and watch the feed.

    Returns:
        Seconds from each commit's acknowledgement to its eviction's being read from Redis; 0 where it was read first.
    """
    shape = shape_by_id(site)
    count = int(rate * seconds)
    writes = {value_tag(shape, [canonical_text(23, str(row)) or b""]): row for row in range(1, count + 1)}
    committed: dict[int, float] = {}
    evicted: dict[int, float] = {}
    async with bucket_of(site) as (bucket, client):
        positions = (await bucket.state()).positions
        feed = Feed(client, site.settings.name, site.settings.partitions)

        async def watch() -> None:
            here = list(positions)
            while len(evicted) < count:
                for item in await feed.read(here, 0.5):
                    now = time.perf_counter()
                    here[item.partition] = item.position
                    evicted.update((writes[tag], now) for tag in item.tags if tag in writes)

        pool = [await asyncpg.connect(site.postgres.url()) for _ in range(_CONNECTIONS)]
        idle: asyncio.Queue[asyncpg.connect_utils.Any] = asyncio.Queue()  # type: ignore[name-defined]
        for connection in pool:
            idle.put_nowait(await connection.prepare(f"UPDATE {TABLE} SET price = price + 1 WHERE id = $1"))

        async def write(number: int) -> None:
            statement = await idle.get()
            await statement.fetch(number + 1)
            committed[number + 1] = time.perf_counter()
            idle.put_nowait(statement)

        watching = asyncio.create_task(watch())
        await _at_rate(write, rate, count)
        async with asyncio.timeout(_DRAIN_SECONDS):
            await watching
        for connection in pool:
            await connection.close()
    return [max(0.0, evicted[row] - committed[row]) for row in committed]


async def produce_to_consume(site: Site, rate: int, seconds: float) -> list[float]:
    """Send records through a topic of one partition.

    Returns:
        Seconds from when each was given to the producer to when the consumer gave it.
    """
    count = int(rate * seconds)
    bootstrap = site.kafka.bootstrap
    await _make_topic(bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="latest")
    await producer.start()
    await consumer.start()
    partition = TopicPartition(_TOPIC, 0)
    consumer.assign([partition])
    consumer.seek(partition, (await consumer.end_offsets([partition]))[partition])
    sent: dict[int, float] = {}
    received: dict[int, float] = {}
    padding = b"x" * (_RECORD_BYTES - 8)

    async def watch() -> None:
        while len(received) < count:
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                now = time.perf_counter()
                received.update((int.from_bytes(message.value[:8]), now) for message in messages)

    async def send(number: int) -> None:
        sent[number] = time.perf_counter()
        await producer.send(_TOPIC, number.to_bytes(8) + padding, partition=0)

    try:
        watching = asyncio.create_task(watch())
        await _at_rate(send, rate, count)
        async with asyncio.timeout(_DRAIN_SECONDS):
            await watching
    finally:
        await consumer.stop()
        await producer.stop()
    return [received[number] - at for number, at in sent.items()]


async def _make_topic(bootstrap: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # it ships no types
    from aiokafka.errors import TopicAlreadyExistsError  # type: ignore[import-untyped]  # as above

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        if _TOPIC not in await admin.list_topics():
            with suppress(TopicAlreadyExistsError):
                await admin.create_topics([NewTopic(_TOPIC, 1, 1)])
    finally:
        await admin.close()


async def _at_rate(action: Callable[[int], Awaitable[None]], rate: int, count: int) -> None:
    """Begin an action whenever one is due, and wait for all of them."""
    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(count):
            wait = began + number / rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(_as_coroutine(action(number)))


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
