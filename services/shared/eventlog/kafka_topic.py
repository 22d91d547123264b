"""The topic behind a Kafka event log: made with settings that keep events, refused with settings that lose them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]  # as above
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # as above
from aiokafka.errors import for_code  # type: ignore[import-untyped]  # as above

from services.shared.eventlog.kafka_errors import translated
from services.shared.eventlog.kafka_metadata import Topic, describe_topic
from services.shared.eventlog.log import LogError, LogGap, LogUnavailable, LogUnsuitable

MAX_RECORD_BYTES = 4 << 20  # a row of the most columns that Postgres allows, old and new, stays well below
MAX_BATCH_BYTES = 1 << 19  # of values; with keys and overhead it stays below the least that a topic must take
_LEAST_RECORD_BYTES = 1 << 20  # Kafka's own default for a topic is a little more
_RETENTION_MS = 24 * 60 * 60 * 1000  # a reader that is away for longer begins with an empty cache
_REPLICAS = 3
_POLL_SECONDS = 0.05
_UNKNOWN_TOPIC = 3
_TOPIC_EXISTS = 36

_log = structlog.get_logger(__name__)


class KafkaTopic:
    """One topic, asked about over a connection of its own. A topic of another shape is refused wherever it turns up."""

    def __init__(self, bootstrap: Sequence[str], name: str, partition_count: int, timeout: float) -> None:
        self.name = name
        self.partition_count = partition_count
        self._bootstrap = list(bootstrap)
        self._timeout = timeout
        self._client: AIOKafkaClient | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            LogUnavailable: No broker answers.
        """
        client = AIOKafkaClient(bootstrap_servers=self._bootstrap, request_timeout_ms=int(self._timeout * 1000))
        try:
            async with translated(self._timeout):
                await client.bootstrap()
        except LogError:
            await client.close()
            raise
        self._client = client

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
            LogUnsuitable: It was made anew with another number of partitions, or the broker is too old.
        """
        topic = await self._describe()
        if topic is None:
            raise LogGap(f"topic {self.name} does not exist")
        return topic.identity

    async def ensure(self) -> None:
        """Make the topic when it is missing, and check its settings when it is not.

        Raises:
            LogUnavailable: No broker answers, or the new topic does not get leaders in time.
            LogUnsuitable: It would lose events, or has another number of partitions.
        """
        topic = await self._describe()
        async with self._administrating() as admin:
            if topic is None:
                await self._create(admin)
            _check_settings(self.name, await _settings(admin, self.name))

    async def check(self) -> None:
        """Check the settings of a topic that exists.

        Raises:
            LogUnavailable: No broker answers.
            LogUnsuitable: It would lose events.
        """
        async with self._administrating() as admin:
            _check_settings(self.name, await _settings(admin, self.name))

    async def delete(self) -> None:
        """Delete the topic, if it is there.

        Raises:
            LogUnavailable: No broker answers, or they do not let us.
        """
        async with self._administrating() as admin:
            response = await admin.delete_topics([self.name])
        [(_, code)] = response.topic_error_codes
        if code not in (0, _UNKNOWN_TOPIC):
            raise LogUnavailable(f"topic {self.name} cannot be deleted: {for_code(code).__name__}")

    @asynccontextmanager
    async def _administrating(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=int(self._timeout * 1000))
        try:
            async with translated(self._timeout):
                await admin.start()
                yield admin
        finally:
            await admin.close()

    async def _create(self, admin: AIOKafkaAdminClient) -> None:
        """Make the topic and wait until it can be used."""
        broker_count = len(self._connected().cluster.brokers())
        replicas = min(_REPLICAS, broker_count)
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(_RETENTION_MS),
            "retention.bytes": "-1",
            "min.insync.replicas": "2" if replicas >= _REPLICAS else "1",
            "unclean.leader.election.enable": "false",
            "max.message.bytes": str(MAX_RECORD_BYTES),
        }
        topic = NewTopic(self.name, self.partition_count, replicas, topic_configs=settings)
        response = await admin.create_topics([topic])
        [(_, code, message)] = response.topic_errors
        if code not in (0, _TOPIC_EXISTS):
            raise LogUnavailable(f"topic {self.name} cannot be made: {for_code(code).__name__}: {message}")
        while (topic := await self._describe()) is None or not topic.has_leaders:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(_POLL_SECONDS)

    async def _describe(self) -> Topic | None:
        async with translated(self._timeout):
            try:
                topic = await describe_topic(self._connected(), self.name)
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


def _check_settings(name: str, settings: Mapping[str, str]) -> None:
    """Refuse what would lose events in silence or could not hold them; warn of what only makes a gap likelier."""
    advice = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config"
    if "compact" in settings["cleanup.policy"]:
        raise LogUnsuitable(
            f"topic {name} is compacted, which deletes events that are still needed: {advice} cleanup.policy=delete"
        )
    if int(settings["max.message.bytes"]) < _LEAST_RECORD_BYTES:
        raise LogUnsuitable(
            f"topic {name} takes records of {settings['max.message.bytes']} bytes at most: "
            f"{advice} max.message.bytes={MAX_RECORD_BYTES}"
        )
    if 0 <= int(settings["retention.ms"]) < _RETENTION_MS:
        _log.warning(
            "the topic keeps events for less than a day; a reader that is away for longer begins with an empty cache",
            topic=name,
            retention_ms=int(settings["retention.ms"]),
        )
