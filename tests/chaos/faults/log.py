"""The event log is damaged by hand: the topic in Kafka or the stream in Redis. What nobody has read is gone."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete  # type: ignore[import-untyped]  # as above
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]  # as above

from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.faults.processes import REANNOUNCED_SECONDS
from tests.chaos.stack import STREAM, TOPIC, Plan, Stack
from tests.servers.processes import ServerError, wait_until

_UNREAD_SECONDS = 2.0  # that the invalidator is stopped, so that there is something that it has not read
_RETENTION_SECONDS = 5.0
_REPLIED = 0

Administer = Callable[[AIOKafkaAdminClient], Awaitable[object]]


class _LogDamaged(Fault):
    """The damage is done while the invalidator is stopped, or while it reads."""

    expected = "a gap, found by the log or by the chain: a new epoch, the cache begins cold"
    recovery_seconds = REANNOUNCED_SECONDS

    def __init__(self, what: str, *, unread: bool, vanishes: bool = False) -> None:
        """Prepare.

        Args:
            what: What is done.
            unread: Whether the invalidator is stopped meanwhile, so that it finds records gone.
            vanishes: Whether nothing is left that could be read on from, whoever has read what.
        """
        self._unread = unread
        self._leaves_gap = unread or vanishes
        self.name = what + (" before the invalidator has read it" if unread else "")

    @abstractmethod
    def damage(self, scene: Scene) -> None:
        """Do it."""

    def strike(self, scene: Scene) -> None:
        """Stop the invalidator, or do not, and damage the log."""
        invalidator = scene.stack.services["invalidator"]
        epochs = invalidator.metric("tidegate_invalidator_epochs_total")
        scene.strike()
        if self._unread:
            invalidator.pause()
        try:
            if self._unread:
                scene.let_pass(_UNREAD_SECONDS)
            self.damage(scene)
        finally:
            invalidator.resume()
        scene.mend()
        if self._leaves_gap:
            began = lambda: invalidator.metric("tidegate_invalidator_epochs_total") > epochs  # noqa: E731 - named for the wait
            wait_until(began, "a new epoch", 30)
        wait_services(scene.stack)


class TopicDamaged(_LogDamaged):
    """Something is done to the topic by Kafka's own means."""

    def __init__(self, what: str, *steps: Administer, unread: bool = False, vanishes: bool = False) -> None:
        super().__init__(f"topic {what}", unread=unread, vanishes=vanishes)
        self._steps = steps

    def damage(self, scene: Scene) -> None:
        """Do it as an operator would."""
        for step in self._steps:
            asyncio.run(_administered(scene.stack, step))


class RetentionOverrun(TopicDamaged):
    """The topic keeps records for a second, and the invalidator is away for longer."""

    def __init__(self) -> None:
        super().__init__("with a retention of 1 s", _retention("1000", "500"), unread=True)

    def damage(self, scene: Scene) -> None:
        """Shorten the retention, and wait until it has deleted something."""
        before = asyncio.run(_oldest(scene.stack))
        super().damage(scene)
        grown = lambda: asyncio.run(_oldest(scene.stack)) > before  # noqa: E731 - named for the wait
        wait_until(grown, "Kafka to delete what is older than a second", 30)

    def clean(self, stack: Stack) -> None:
        """Keep records for a day again."""
        asyncio.run(_administered(stack, _retention("86400000", "604800000")))


class StreamDamaged(_LogDamaged):
    """Something is done to the stream in Redis."""

    plan = replace(Plan(), kafka=False)

    def __init__(self, what: str, *command: str, unread: bool = False, vanishes: bool = False) -> None:
        super().__init__(f"stream {what}", unread=unread, vanishes=vanishes)
        self._command = command

    def damage(self, scene: Scene) -> None:
        """Do it."""
        with scene.stack.redis_client() as client:
            assert client.execute_command(*self._command)


async def _administered(stack: Stack, step: Administer) -> object:
    assert stack.kafka is not None
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.bootstrap)
    await admin.start()
    try:
        return await step(admin)
    finally:
        await admin.close()


async def _delete_records(admin: AIOKafkaAdminClient) -> None:
    await admin.delete_records({TopicPartition(TOPIC, 0): RecordsToDelete(-1)})  # up to the end


async def _oldest(stack: Stack) -> int:
    """Return the offset from which the topic goes on."""
    assert stack.kafka is not None
    consumer, partition = AIOKafkaConsumer(bootstrap_servers=stack.kafka.bootstrap), TopicPartition(TOPIC, 0)
    await consumer.start()
    try:
        return int((await consumer.beginning_offsets([partition]))[partition])
    finally:
        await consumer.stop()


async def _delete_topic(admin: AIOKafkaAdminClient) -> None:
    response = await admin.delete_topics([TOPIC])
    [(_, code)] = response.topic_error_codes
    if code != _REPLIED:
        raise ServerError(f"the topic cannot be deleted: error {code} of Kafka")


async def _create_topic(admin: AIOKafkaAdminClient) -> None:
    """Make it again by hand, until it is there: by us, or by the CDC service if it was faster."""
    for _ in range(100):
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
        if TOPIC in await admin.list_topics():
            return
        await asyncio.sleep(0.02)
    raise ServerError("the topic cannot be made again")


def _retention(retention_ms: str, segment_ms: str) -> Administer:
    async def alter(admin: AIOKafkaAdminClient) -> None:
        settings = {"retention.ms": retention_ms, "segment.ms": segment_ms}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs=settings)])

    return alter


FAULTS: list[Callable[[], Fault]] = [
    lambda: TopicDamaged("truncated", _delete_records),
    lambda: TopicDamaged("truncated", _delete_records, unread=True),
    lambda: TopicDamaged("deleted", _delete_topic, vanishes=True),
    lambda: TopicDamaged("deleted and made again by hand", _delete_topic, _create_topic, unread=True),
    RetentionOverrun,
    lambda: StreamDamaged("deleted", "DEL", STREAM, vanishes=True),
    lambda: StreamDamaged("deleted", "DEL", STREAM, unread=True),
    lambda: StreamDamaged("trimmed", "XTRIM", STREAM, "MAXLEN", "0"),
    lambda: StreamDamaged("trimmed", "XTRIM", STREAM, "MAXLEN", "0", unread=True),
]
