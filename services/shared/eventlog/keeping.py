"""Looking at a cache's event log from outside, and deleting it: for the commands that people run."""

from typing import TYPE_CHECKING

from services.shared.runtime.kafka_url import KafkaUrl
from services.shared.runtime.settings import CacheSettings

if TYPE_CHECKING:
    from services.shared.eventlog.kafka_advice import Advice
    from services.shared.eventlog.kafka_topic import KafkaTopic

PATIENCE_SECONDS = 5.0


async def check_log_settings(settings: CacheSettings) -> "list[Advice]":
    """Make sure that a log that exists keeps its events.

    Returns:
        What had better be otherwise.

    Raises:
        LogUnavailable: It cannot be asked.
        LogUnsuitable: It would lose them. The text says what to change.
    """
    if settings.kafka is not None:
        topic = _topic(settings, settings.kafka)
        from services.shared.eventlog.kafka_advice import exposures

        await topic.open()
        try:
            return [*exposures(settings.kafka), *await topic.check()]
        finally:
            await topic.close()
    return []


async def delete_topic(settings: CacheSettings) -> None:
    """Delete the topic of a log on Kafka, if it is there. A log on Redis goes with the cache's keys.

    Raises:
        LogUnavailable: It cannot be deleted.
    """
    if settings.kafka is not None:
        topic = _topic(settings, settings.kafka)
        await topic.open()
        try:
            await topic.delete()
        finally:
            await topic.close()


def _topic(settings: CacheSettings, url: KafkaUrl) -> "KafkaTopic":
    from services.shared.eventlog.kafka_access import KafkaAccess
    from services.shared.eventlog.kafka_topic import KafkaTopic

    return KafkaTopic(KafkaAccess(url), settings.topic, settings.partitions, PATIENCE_SECONDS)
