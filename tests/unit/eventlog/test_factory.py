"""The settings choose the log."""

import asyncio

from services.shared.eventlog.factory import open_reader, open_writer
from services.shared.eventlog.kafka import KafkaReader, KafkaWriter
from services.shared.eventlog.redis_streams import RedisStreamReader, RedisStreamWriter
from services.shared.runtime.settings import CacheSettings


def settings(event_log: str) -> CacheSettings:
    return CacheSettings.model_validate(
        {
            "name": "main",
            "database_url": "postgresql://me@127.0.0.1:5432/postgres",
            "event_log": event_log,
            "partitions": 3,
        }
    )


def test_redis_is_one_choice() -> None:
    async def scenario() -> None:
        writer, reader = open_writer(settings("redis")), open_reader(settings("redis"))
        assert isinstance(writer, RedisStreamWriter)
        assert isinstance(reader, RedisStreamReader)
        assert writer.partition_count == reader.partition_count == 3

    asyncio.run(scenario())


def test_kafka_is_the_other() -> None:
    kafka = settings("kafka://one:9092,two:9092")
    writer, reader = open_writer(kafka), open_reader(kafka)
    assert isinstance(writer, KafkaWriter)
    assert isinstance(reader, KafkaReader)
    assert writer.partition_count == reader.partition_count == 3
