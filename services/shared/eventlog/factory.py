"""Which event log the settings mean. Kafka's client is loaded only where it is used: it is slow to import."""

from services.shared.eventlog.log import EventLogReader, EventLogWriter
from services.shared.eventlog.redis_streams import RedisStreamReader, RedisStreamWriter
from services.shared.runtime.settings import CacheSettings


def open_writer(settings: CacheSettings) -> EventLogWriter:
    """Return the writer of a cache's event log, still to be opened with its `open`."""
    if settings.kafka is not None:
        from services.shared.eventlog.kafka import KafkaWriter
        from services.shared.eventlog.kafka_access import KafkaAccess

        return KafkaWriter(KafkaAccess(settings.kafka), settings.topic, settings.partitions)
    return RedisStreamWriter(settings.redis_url.get_secret_value(), settings.prefix, settings.partitions)


def open_reader(settings: CacheSettings) -> EventLogReader:
    """Return a reader of a cache's event log, still to be opened with its `open`."""
    if settings.kafka is not None:
        from services.shared.eventlog.kafka import KafkaReader
        from services.shared.eventlog.kafka_access import KafkaAccess

        return KafkaReader(KafkaAccess(settings.kafka), settings.topic, settings.partitions)
    return RedisStreamReader(settings.redis_url.get_secret_value(), settings.prefix, settings.partitions)
