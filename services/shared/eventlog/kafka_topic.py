"""The topic behind a Kafka event log: made with settings that keep events, refused with settings that lose them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]  # as above
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # as above
from aiokafka.errors import TopicAuthorizationFailedError, for_code  # type: ignore[import-untyped]  # as above

from services.shared.eventlog.kafka_access import KafkaAccess
from services.shared.eventlog.kafka_advice import (
    BROKERS_CLOCK,
    MAX_RECORD_BYTES,
    REPLICAS,
    RETENTION_MS,
    Advice,
    unsuitable,
    weaknesses,
)
from services.shared.eventlog.kafka_errors import translated
from services.shared.eventlog.kafka_metadata import Topic, describe_topic
from services.shared.eventlog.kafka_refusals import open_client
from services.shared.eventlog.kafka_rights import TO_READ, TO_WRITE, not_allowed
from services.shared.eventlog.log import LogGap, LogUnavailable, LogUnsuitable

MAX_BATCH_BYTES = 1 << 19  # of values; with keys and overhead it stays below the least that a topic must take
_POLL_SECONDS = 0.05
_UNKNOWN_TOPIC = 3
_NOT_ALLOWED, _NOT_ALLOWED_AT_ALL = 29, 31
_TOPIC_EXISTS = 36

_log = structlog.get_logger(__name__)


class KafkaTopic:
    """One topic, asked about over a connection of its own. A topic of another shape is refused wherever it turns up."""

    def __init__(self, access: KafkaAccess, name: str, partition_count: int, timeout: float) -> None:
        self.name = name
        self.partition_count = partition_count
        self._access = access
        self._timeout = timeout
        self._client: AIOKafkaClient | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            LogUnavailable: No broker answers.
            LogUnsuitable: One does, and does not let us in.
        """
        self._client = await open_client(self._access, self._timeout)

    async def close(self) -> None:
        """Give up the connection."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def identity(self) -> str:
        """Return the topic's id.

        Raises:
            LogGap: There is no such topic.
            LogUnavailable: No broker answers.
            LogUnsuitable: It was made anew with another number of partitions, or we may not read it, or the broker is
                too old.
        """
        topic = await self._describe()
        if topic is None:
            raise LogGap(f"topic {self.name} does not exist")
        self._refuse_without(TO_READ, topic)
        return topic.identity

    async def ensure(self) -> None:
        """Make the topic when it is missing, and check its settings when it is not.

        Raises:
            LogUnavailable: No broker answers, or the new topic does not get leaders in time.
            LogUnsuitable: It would lose events, has another number of partitions, or we may not use it.
        """
        topic = await self._describe()
        async with self._administrating() as admin:
            topic = topic or await self._create(admin)
            self._refuse_without(TO_WRITE, topic)
            for weakness in await self._judge(admin, topic):
                _log.warning(weakness.text, remedy=weakness.remedy)

    async def check(self) -> list[Advice]:
        """Check the settings of a topic that exists.

        Returns:
            What had better be otherwise.

        Raises:
            LogUnavailable: No broker answers, or there is no such topic.
            LogUnsuitable: It would lose events.
        """
        topic = await self._describe()
        if topic is None:
            raise LogUnavailable(f"topic {self.name} does not exist")
        self._refuse_without(TO_WRITE, topic)
        async with self._administrating() as admin:
            return await self._judge(admin, topic)

    async def _judge(self, admin: AIOKafkaAdminClient, topic: Topic) -> list[Advice]:
        settings = await _settings(admin, self.name)
        _refuse_unsuitable(self.name, settings, topic)
        return list(weaknesses(self.name, settings, topic.replica_count, topic.broker_count))

    async def delete(self) -> None:
        """Delete the topic, if it is there.

        Raises:
            LogUnavailable: No broker answers, or they do not let us.
        """
        async with self._administrating() as admin:
            response = await admin.delete_topics([self.name])
        [(_, code)] = response.topic_error_codes
        if code == _NOT_ALLOWED:
            raise LogUnsuitable(not_allowed(self._access.url, self.name, ["Delete"]))
        if code not in (0, _UNKNOWN_TOPIC):
            raise LogUnavailable(f"topic {self.name} cannot be deleted: {for_code(code).__name__}")

    @asynccontextmanager
    async def _administrating(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(request_timeout_ms=int(self._timeout * 1000), **self._access.options)
        try:
            async with translated(self._timeout):
                await admin.start()
                yield admin
        finally:
            await admin.close()

    async def _create(self, admin: AIOKafkaAdminClient) -> Topic:
        """Make the topic and wait until it can be used."""
        broker_count = len(self._connected().cluster.brokers())
        replicas = min(REPLICAS, broker_count)
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(RETENTION_MS),
            "retention.bytes": "-1",
            "min.insync.replicas": "2" if replicas >= REPLICAS else "1",
            "unclean.leader.election.enable": "false",
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "message.timestamp.type": BROKERS_CLOCK,
        }
        wanted = NewTopic(self.name, self.partition_count, replicas, topic_configs=settings)
        response = await admin.create_topics([wanted])
        [(_, code, message)] = response.topic_errors
        if code in (_NOT_ALLOWED, _NOT_ALLOWED_AT_ALL):
            raise LogUnsuitable(not_allowed(self._access.url, self.name, ["Create", *TO_WRITE]))
        if code not in (0, _TOPIC_EXISTS):
            raise LogUnavailable(f"topic {self.name} cannot be made: {for_code(code).__name__}: {message}")
        while (topic := await self._describe()) is None or not topic.has_leaders:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(_POLL_SECONDS)
        return topic

    async def _describe(self) -> Topic | None:
        async with translated(self._timeout):
            try:
                topic = await describe_topic(self._connected(), self.name)
            except TopicAuthorizationFailedError as error:
                raise LogUnsuitable(not_allowed(self._access.url, self.name, TO_WRITE)) from error
            except NotImplementedError as error:
                raise LogUnsuitable(
                    "the event log needs Apache Kafka 3.1 or newer, which tells the ids of topics"
                ) from error
        if topic is not None and topic.partition_count != self.partition_count:
            raise LogUnsuitable(
                f"topic {self.name} has {topic.partition_count} partitions, the settings say {self.partition_count}: "
                f"set partitions to {topic.partition_count}, or stop the services and delete the topic"
            )
        return topic

    def _refuse_without(self, wanted: Sequence[str], topic: Topic) -> None:
        if missing := [right for right in wanted if right not in topic.allowed]:
            raise LogUnsuitable(not_allowed(self._access.url, self.name, missing))

    def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            raise LogUnavailable("the event log is not open")
        return self._client


async def _settings(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    """Return the settings of a topic, defaults included."""
    [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    [resource] = response.to_object()["resources"]
    if resource["error_code"] != 0:
        raise for_code(resource["error_code"])(resource["error_message"])
    return {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}


def _refuse_unsuitable(name: str, settings: Mapping[str, str], topic: Topic) -> None:
    """Refuse what would lose events in silence or could not hold them."""
    if (reason := unsuitable(name, settings, topic.replica_count)) is not None:
        raise LogUnsuitable(f"{reason.text}: {reason.remedy}")
