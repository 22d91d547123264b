"""A log on Kafka loses, repeats and shuffles records, and is damaged by hand; two partitions, the real invalidator.

What has to be: no loss passes unnoticed. As soon as the next record of the partition is read, a new bucket epoch has
begun; the position never moves on in the old one. A record that comes twice changes nothing.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete  # type: ignore[import-untyped]  # it ships no types
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]  # as above

from services.shared.eventlog.log import EventLogWriter
from services.shared.keyspace.scripts import BucketState
from services.shared.lsn import Lsn
from services.shared.position import Position, partition_of
from tests.integration.bucket_driver import until
from tests.integration.invalidator_stage import ALL, Stage, fill_everything, has_other_epoch, play
from tests.integration.log_author import ITEMS, ORDERS, insert
from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer

_PARTITIONS = 2
_ROUNDS = 8
_RELATIONS = {partition_of(relation, _PARTITIONS): relation for relation in (ORDERS, ITEMS)}


class Meddler:
    """Stands between the author and the log, as a proxy that loses, repeats and shuffles what goes through it.

    Attributes:
        fate: What becomes of a partition's next record: `drop`, `repeat`, or `late` (behind the one that follows).
    """

    def __init__(self, writer: EventLogWriter) -> None:
        self._writer = writer
        self._late: dict[int, tuple[Position, bytes, bytes]] = {}
        self.fate: dict[int, str] = {}

    async def begin_epoch(self, incarnation: Lsn) -> str:
        """See `EventLogWriter.begin_epoch`."""
        return await self._writer.begin_epoch(incarnation)

    async def flush(self) -> None:
        """See `EventLogWriter.flush`."""
        await self._writer.flush()

    async def close(self) -> None:
        """See `EventLog.close`."""
        await self._writer.close()

    def append(self, partition: int, position: Position, key: bytes, value: bytes) -> "asyncio.Future[None]":
        """Append a record, or do to it what is its fate."""
        fate, late = self.fate.pop(partition, ""), self._late.pop(partition, None)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        match fate:
            case "drop":
                pass
            case "late":
                self._late[partition] = (position, key, value)
            case _:
                acknowledged = self._writer.append(partition, position, key, value)
                if fate == "repeat":
                    self._writer.append(partition, position, key, value)
        if late is not None:
            self._writer.append(partition, *late)
        return acknowledged


def _meddled(stage: Stage) -> Meddler:
    meddler = Meddler(stage.author.writer)
    stage.author.writer = meddler  # type: ignore[assignment]  # the author needs no more than it has
    return meddler


async def _moved(stage: Stage, before: BucketState) -> None:
    """Write until the bucket has moved in every partition; it may not have moved on in its old epoch.

    The records that are read behind a loss belong to a new epoch: with nothing else changed, positions that moved in
    the old one would mean that something was passed over.
    """
    for partition in range(_PARTITIONS):
        await stage.author.change(insert(90, 90), relation=_RELATIONS[partition])
    await stage.author.watermark()

    async def moved() -> bool:
        state = await stage.bucket.state()
        if state.bucket_epoch == before.bucket_epoch:
            assert any(now == then for now, then in zip(state.positions, before.positions, strict=True))
            return False
        return bool(state.bucket_epoch)

    await until(moved)


@pytest.mark.parametrize("fate", ["drop", "late"])
def test_every_record_that_is_lost_or_late_is_a_gap(valkey: RedisServer, kafka_server: KafkaServer, fate: str) -> None:
    chance = random.Random(fate)

    async def scenario(stage: Stage) -> None:
        meddler = _meddled(stage)
        await stage.begin()
        stage.start()
        for count in range(1, _ROUNDS + 1):
            before = await stage.covered()
            await fill_everything(stage)
            for _ in range(chance.randrange(3)):
                await stage.author.change(insert(1, 7), relation=chance.choice((ORDERS, ITEMS)))
            meddler.fate[partition := count % _PARTITIONS] = fate
            await stage.author.change(insert(1, 7), relation=_RELATIONS[partition])
            await stage.author.watermark()
            await until(partial(has_other_epoch, stage, before.bucket_epoch))
            assert await stage.hits(*ALL) == set()

    play(valkey, scenario, partitions=_PARTITIONS, event_log=_fresh_log(kafka_server))


def test_a_record_that_comes_twice_changes_nothing(valkey: RedisServer, kafka_server: KafkaServer) -> None:
    async def scenario(stage: Stage) -> None:
        meddler = _meddled(stage)
        await stage.begin()
        invalidator = stage.start()
        first = await stage.covered()
        for partition in itertools.islice(itertools.cycle(range(_PARTITIONS)), _ROUNDS):
            await fill_everything(stage)
            meddler.fate[partition] = "repeat"
            await stage.author.change(insert(1, 7), relation=_RELATIONS[partition])
            meddler.fate = dict.fromkeys(range(_PARTITIONS), "repeat")
            after = await stage.covered()
            assert after.bucket_epoch == first.bucket_epoch
            left = {"order 2", "customer 8"} if _RELATIONS[partition] == ORDERS else ALL
            assert await stage.hits(*ALL) == left
        assert sum(invalidator.statistics.epochs.values()) == 1

    play(valkey, scenario, partitions=_PARTITIONS, event_log=_fresh_log(kafka_server))


async def _truncate(stage: Stage, server: KafkaServer, partition: int) -> None:
    await _administered(
        server,
        lambda admin: admin.delete_records({TopicPartition(stage.settings.topic, partition): RecordsToDelete(-1)}),
    )


async def _delete(stage: Stage, server: KafkaServer, partition: int) -> None:
    await _administered(server, lambda admin: admin.delete_topics([stage.settings.topic]))
    await stage.new_writer()  # which makes it again
    await stage.author.begin_epoch()
    await stage.author.follow()
    for _ in range(10 * partition):  # beyond the offsets of the old one, or not
        await stage.author.watermark()


Damage = Callable[[Stage, KafkaServer, int], Awaitable[None]]


@pytest.mark.parametrize("damage", [_truncate, _delete])
@pytest.mark.parametrize("partition", range(_PARTITIONS))
def test_damage_to_one_of_two_partitions_is_found_at_the_next_record(
    valkey: RedisServer, kafka_server: KafkaServer, damage: Damage, partition: int
) -> None:
    """The invalidator is away meanwhile: it finds the place gone, the topic another, or the chain broken."""

    async def scenario(stage: Stage) -> None:
        await stage.begin()
        invalidator = stage.start()
        before = await stage.covered()
        await fill_everything(stage)
        await invalidator.stop()
        for relation in _RELATIONS.values():
            await stage.author.change(insert(1, 7), relation=relation)
        await damage(stage, kafka_server, partition)
        stage.start()
        await _moved(stage, before)
        assert await stage.hits(*ALL) == set()

    play(valkey, scenario, partitions=_PARTITIONS, event_log=_fresh_log(kafka_server))


async def _administered(server: KafkaServer, step: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
    await admin.start()
    try:
        await step(admin)
    finally:
        await admin.close()


def _fresh_log(server: KafkaServer) -> str:
    """Return the setting, once no earlier test's topic is there."""

    async def forget() -> None:
        async def all_topics(admin: AIOKafkaAdminClient) -> None:
            await admin.delete_topics([name for name in await admin.list_topics() if name.startswith("tidegate.shop.")])

        await _administered(server, all_topics)

    asyncio.run(forget())
    return f"kafka://{server.bootstrap}"
