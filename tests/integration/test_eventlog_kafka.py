"""What only a log on Kafka can suffer, and what people see of it."""

import asyncio
import json
import time
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # as above
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]  # as above

from schemas.changes import Changes, RowChange
from schemas.encoding import encode
from services.shared.eventlog.kafka import KafkaReader
from services.shared.eventlog.log import LogGap, LogUnsuitable
from tests.integration.eventlog_backends import KafkaBackend, at, eventually, read_all, value, write
from tests.servers.kafka import KafkaServer


def test_a_new_topic_keeps_events_for_a_day_and_never_compacts(kafka_server: KafkaServer) -> None:
    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer = backend.writer()
        await writer.open()
        await writer.close()
        settings = await topic_settings(backend)
        assert settings["cleanup.policy"] == "delete"
        assert settings["retention.ms"] == "86400000"
        assert settings["retention.bytes"] == "-1"
        assert settings["min.insync.replicas"] == "1"  # there is one broker
        assert settings["unclean.leader.election.enable"] == "false"

    asyncio.run(scenario())


def test_a_clock_that_is_hours_fast_keeps_nobody_from_writing(kafka_server: KafkaServer) -> None:
    """Brokers refuse what lies more than an hour in their future, unless the topic goes by their own clock."""

    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer = backend.writer()
        await writer.open()
        await writer.close()
        fast = AIOKafkaProducer(bootstrap_servers=kafka_server.bootstrap)
        await fast.start()
        try:
            tomorrow_ms = int((time.time() + 86_400) * 1000)
            await fast.send_and_wait(backend.topic, b"early", partition=0, timestamp_ms=tomorrow_ms)
        finally:
            await fast.stop()

    asyncio.run(scenario())


async def topic_settings(backend: KafkaBackend) -> dict[str, str]:
    admin: AIOKafkaAdminClient = await backend.admin()
    try:
        [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, backend.topic)])
    finally:
        await admin.close()
    [resource] = response.to_object()["resources"]
    return {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        ({"cleanup.policy": "compact,delete"}, "cleanup.policy=delete"),
        ({"max.message.bytes": "100000"}, "max.message.bytes="),
    ],
)
def test_a_topic_that_would_lose_events_is_refused_with_advice(
    kafka_server: KafkaServer, settings: dict[str, str], advice: str
) -> None:
    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        admin = await backend.admin()
        await admin.create_topics([NewTopic(backend.topic, backend.partition_count, 1, topic_configs=settings)])
        await admin.close()
        with pytest.raises(LogUnsuitable, match=advice):
            await backend.writer().open()

    asyncio.run(scenario())


def test_an_offset_that_jumps_is_a_gap(kafka_server: KafkaServer) -> None:
    """A transaction's end takes an offset that no record stands at; so would compaction, or a broker that lost some."""

    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer, reader = backend.writer(), backend.reader()
        await writer.open()
        await reader.open()
        stranger = AIOKafkaProducer(bootstrap_servers=kafka_server.bootstrap, transactional_id="stranger")
        await stranger.start()
        try:
            start = await reader.oldest(0)
            async with stranger.transaction():
                await stranger.send_and_wait(backend.topic, b"foreign", partition=0)
            await end_reaches(backend, 2)
            await write(writer, 1)
            with pytest.raises(LogGap, match="offset 2 and not at 1"):
                await read_all(reader, {0: start}, 2)
        finally:
            await stranger.stop()
            await writer.close()
            await reader.close()

    asyncio.run(scenario())


async def end_reaches(backend: KafkaBackend, offset: int) -> None:
    """Wait until the end of partition 0 is at an offset: a transaction's mark comes after its acknowledgement."""
    consumer = AIOKafkaConsumer(bootstrap_servers=backend.server.bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(backend.topic, 0)
        async with asyncio.timeout(10):
            while (await consumer.end_offsets([partition]))[partition] < offset:  # noqa: ASYNC110 - it is elsewhere
                await asyncio.sleep(0.01)
    finally:
        await consumer.stop()


def test_a_place_beyond_the_end_is_a_gap(kafka_server: KafkaServer) -> None:
    """As after an unclean election: what had been read is not there any more."""

    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer, reader = backend.writer(), backend.reader()
        await writer.open()
        await reader.open()
        try:
            await write(writer, 3)
            await eventually(lambda: reader.read({0: "5"}, 0.1), LogGap)
            assert len(await read_all(reader, {0: "1"}, 2)) == 2
        finally:
            await writer.close()
            await reader.close()

    asyncio.run(scenario())


def test_a_gap_is_told_once_and_what_is_there_can_be_read(kafka_server: KafkaServer) -> None:
    """Kafka's client asks again by itself for the place that is gone, and keeps the error for the next read of any."""

    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer, reader = backend.writer(), backend.reader()
        await writer.open()
        await reader.open()
        try:
            await write(writer, 3)
            await write(writer, 3, partition=1)
            await eventually(lambda: reader.read({0: "5", 1: "0"}, 0.1), LogGap)
            for _ in range(50):
                await reader.oldest(0)  # time for it to ask
            for partition in (1, 0):
                assert len(await reader.tail(partition, 10)) == 3
        finally:
            await writer.close()
            await reader.close()

    asyncio.run(scenario())


def test_a_reader_reads_without_a_group_and_commits_nothing(kafka_server: KafkaServer) -> None:
    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer, reader = backend.writer(), backend.reader()
        await writer.open()
        await reader.open()
        await write(writer, 3)
        await read_all(reader, {0: "0"}, 3)
        await writer.close()
        await reader.close()
        admin = await backend.admin()
        assert await admin.list_consumer_groups() == []
        await admin.close()

    asyncio.run(scenario())


def test_a_silent_partition_does_not_hide_a_topic_made_anew(kafka_server: KafkaServer) -> None:
    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer, reader = backend.writer(), backend.reader()
        await writer.open()
        await reader.open()
        try:
            await write(writer, 5)
            places = {0: "2", 1: "0"}
            await writer.close()
            await backend.delete_log()
            writer = backend.writer()
            await writer.open()
            await write(writer, 50)  # the old place is within the new topic, and its partition busy
            await eventually(lambda: reader.read(places, 0.1), LogGap)
        finally:
            await writer.close()
            await reader.close()

    asyncio.run(scenario())


def test_a_person_with_the_stock_console_consumer_sees_what_happened(kafka_server: KafkaServer) -> None:
    event = Changes(
        schema_name="public",
        table="orders",
        commit_lsn="0/1A2C1F0",
        xid=751,
        commit_time=datetime(2025, 3, 14, 9, 26, 53, tzinfo=UTC),
        rows=[RowChange(op="update", key={"id": "42"}, changed=["status"], new={"id": "42", "status": "shipped"})],
        part=0,
        last=True,
        relation=16402,
        identity="default",
        key_columns=["id"],
        end_lsn="0/1A2C220",
        cache="shop",
        epoch="7488123456789012345/16384/00000001/canary/tidegate_shop/log",
        incarnation="0/1A2B3C8",
        k=0,
    )

    async def scenario() -> str:
        backend = KafkaBackend(kafka_server)
        writer = backend.writer()
        await writer.open()
        await writer.append(0, at(0), b"public.orders", encode(event))
        await writer.close()
        return await asyncio.to_thread(kafka_server.console_consumer, backend.topic, 1)

    shown = asyncio.run(scenario()).strip()

    assert shown.startswith(
        'public.orders\t{"kind":"changes","schema":"public","table":"orders","commit_lsn":"0/1A2C1F0","xid":751,'
        '"commit_time":"2025-03-14T09:26:53Z","rows":[{"op":"update","key":{"id":"42"},"changed":["status"],'
    )
    assert json.loads(shown.partition("\t")[2])["k"] == 0


def test_two_readers_read_the_same(kafka_server: KafkaServer) -> None:
    async def scenario() -> None:
        backend = KafkaBackend(kafka_server)
        writer = backend.writer()
        await writer.open()
        readers: list[KafkaReader] = [backend.reader(), backend.reader()]
        try:
            for reader in readers:
                await reader.open()
            await write(writer, 5)
            for reader in readers:
                assert [record.value for record in await read_all(reader, {0: "0"}, 5)] == [value(k) for k in range(5)]
        finally:
            await writer.close()
            for reader in readers:
                await reader.close()

    asyncio.run(scenario())
