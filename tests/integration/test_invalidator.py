"""The invalidator on a real log and a real bucket: what it evicts, how it restarts, and that twins get along."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.invalidator.budget import TagBudget
from services.invalidator.consumer import Consumer
from services.invalidator.dead_letter_box import DeadLetterBox
from services.invalidator.events import owner_of
from services.invalidator.evictor import Evictor
from services.invalidator.reasons import EpochReason, OtherOwnerError
from services.invalidator.records import RecordReader
from services.invalidator.statistics import InvalidatorStatistics
from services.shared.eventlog.factory import open_reader
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.feed import FeedKind
from services.shared.keyspace.outcome import Outcome
from services.shared.keyspace.scripts import Refusal
from services.shared.keyspace.state import EpochBegin
from services.shared.position import START
from services.shared.relation import relation_tag
from tests.integration.bucket_driver import until
from tests.integration.invalidator_stage import ALL, BY_CUSTOMER, Stage, fill_everything, has_other_epoch, play
from tests.integration.log_author import CACHE, ITEMS, ORDERS, LogAuthor, delete, insert, update
from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer


class TestEvicts:
    async def _after(self, stage: Stage, change: Callable[[LogAuthor], Awaitable[object]]) -> set[str]:
        await stage.begin()
        stage.start()
        await stage.covered()
        await fill_everything(stage)
        await change(stage.author)
        await stage.covered()
        return await stage.hits(*ALL)

    @pytest.mark.parametrize(
        ("change", "left"),
        [
            (lambda author: author.change(insert(3, 7)), {"order 1", "order 2", "customer 8"}),
            (lambda author: author.change(insert(3, 9)), {"order 1", "order 2", "customer 7", "customer 8"}),
            # Without the old row any customer's answer may have held the order; orders by id are exact.
            (lambda author: author.change(update(1, 9)), {"order 2"}),
            (lambda author: author.change(delete(1)), {"order 2"}),
            (lambda author: author.wide("truncate"), set()),
            (lambda author: author.wide("ddl"), set()),
            (lambda author: author.change(insert(3, 7), relation=ORDERS + 1), ALL),
        ],
    )
    def test_what_a_change_touches(
        self, redis_server: RedisServer, change: Callable[[LogAuthor], Awaitable[object]], left: set[str]
    ) -> None:
        async def scenario(stage: Stage) -> None:
            assert await self._after(stage, change) == left

        play(redis_server, scenario)

    def test_a_relation_that_is_no_longer_followed(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            assert await self._after(stage, lambda author: author.wide("unfollowed")) == set()
            assert await stage.fill("late", relation_tag(ORDERS)) is Refusal.NOT_FOLLOWED
            await stage.author.follow()
            await stage.covered()
            assert not await stage.fill("late", relation_tag(ORDERS))

        play(redis_server, scenario)

    def test_by_shapes_that_were_registered_while_it_runs(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            await stage.covered()
            for customer in range(5):
                await stage.fill_value("customer", BY_CUSTOMER, customer)
                await stage.author.change(insert(100 + customer, customer))
                await stage.covered()
                assert await stage.hits("customer") == set()
            assert invalidator.statistics.reloads == 1

        play(redis_server, scenario)


def test_every_record_becomes_one_item_of_the_feed(redis_server: RedisServer) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.begin()
        stage.start()
        await stage.covered()
        after = (await stage.bucket.state()).positions
        for number in range(200):  # several batches
            await stage.author.change(insert(number, 1))
        await stage.author.follow()
        await stage.covered()
        items = await stage.feed.read(after, 0.01)
        assert [item.kind for item in items] == [FeedKind.EVICT] * 200 + [FeedKind.FOLLOW, FeedKind.WATERMARK]
        assert [item.prev for item in items] == [*after, *(item.position for item in items[:-1])]
        assert [item.position.k - after[0].k for item in items] == list(range(1, 203))

    play(redis_server, scenario)


def test_an_idle_database_becomes_warm_by_the_last_watermark(redis_server: RedisServer) -> None:
    """Nothing is written to the log after the invalidator starts on an empty bucket."""

    async def scenario(stage: Stage) -> None:
        await stage.begin()
        await stage.author.change(insert(1, 1))
        w = await stage.author.watermark()
        stage.start()
        await stage.covered(w)
        await stage.fill_all("everything")
        await stage.client.delete(stage.bucket.keys.meta)
        await stage.covered(await stage.author.watermark())
        assert await stage.hits("everything") == set()
        await stage.fill_all("everything")

    play(redis_server, scenario)


class TestRestart:
    def test_resumes_exactly(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            first = stage.start()
            before = await stage.covered()
            await fill_everything(stage)
            await first.stop()
            await stage.author.change(insert(1, 7))
            w = await stage.author.watermark()
            assert await stage.hits(*ALL) == ALL  # right: the watermark has not moved
            second = stage.start()
            after = await stage.covered(w)
            assert after.bucket_epoch == before.bucket_epoch
            assert await stage.hits(*ALL) == {"order 2", "customer 8"}
            assert (second.statistics.records, second.statistics.duplicates) == (2, 0)

        play(redis_server, scenario)

    def test_in_the_middle_of_a_load_loses_and_repeats_nothing(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            running = stage.start()
            state = await stage.covered()
            statistics = [running.statistics]
            for round_number in range(10):
                for number in range(100):
                    await stage.author.change(insert(number, round_number))
                    if number == 50:  # wherever it is just now
                        await running.stop()
                        running = stage.start()
                        statistics.append(running.statistics)
            end = await stage.covered()
            assert end.bucket_epoch == state.bucket_epoch
            items, after = [], state.positions
            while batch := await stage.feed.read(after, 0.01):
                items += batch
                after = (batch[-1].position,)
            assert len(items) == 1_001
            assert [item.prev for item in items[1:]] == [item.position for item in items[:-1]]
            assert all(not counted.epochs for counted in statistics[1:])

        play(redis_server, scenario)


def test_twins_do_not_disturb_each_other(redis_server: RedisServer) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.begin()
        twins = [stage.start(), stage.start()]
        state = await stage.covered()
        for number in range(300):
            await stage.author.change(insert(number, 1))
        await stage.covered()
        await twins[0].stop()
        await stage.author.change(insert(1, 1))
        end = await stage.covered()
        assert end.bucket_epoch == state.bucket_epoch
        assert sum(sum(twin.statistics.epochs.values()) for twin in twins) == 1
        assert end.positions[0].k - state.positions[0].k == 303
        items = await stage.feed.read(state.positions, 0.01)
        assert len(items) == 303

    play(redis_server, scenario)


class TestPartitions:
    def test_are_followed_side_by_side(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            await stage.author.follow(ITEMS)
            stage.start()
            await stage.covered()
            await fill_everything(stage)
            assert not await stage.fill("items", relation_tag(ITEMS), relation=ITEMS)
            await stage.author.change(insert(1, 1), relation=ITEMS)
            await stage.covered()
            assert await stage.hits(*ALL, "items") == ALL
            await stage.author.wide()
            await stage.covered()
            assert await stage.hits(*ALL, "items") == set()

        play(redis_server, scenario, partitions=2)

    def test_begin_a_stream_epoch_one_after_the_other(self, redis_server: RedisServer) -> None:
        """The first epoch record begins the bucket epoch; the others are records like any other in it."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            await stage.covered()
            await stage.author.change(insert(1, 1), relation=ITEMS)
            await stage.author.begin_epoch(canary="c2")
            await stage.author.follow(ITEMS)
            after = await stage.covered()
            assert after.stream_epoch == stage.author.epoch
            assert invalidator.statistics.epochs == {EpochReason.NO_BUCKET: 1, EpochReason.STREAM_EPOCH: 1}
            assert not await stage.fill("items", relation_tag(ITEMS), relation=ITEMS)

        play(redis_server, scenario, partitions=2)

    def test_resume_each_for_itself(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            running = stage.start()
            before = await stage.covered()
            await running.stop()
            await stage.author.resume(before.settled[0])
            await stage.author.follow(ITEMS)
            again = stage.start()
            after = await stage.covered()
            assert after.bucket_epoch == before.bucket_epoch
            assert again.statistics.records == 5  # a resumption and a watermark in each, and the description

        play(redis_server, scenario, partitions=2)


def test_the_event_log_may_be_kafka(redis_server: RedisServer, kafka_server: KafkaServer) -> None:
    """It survives the bucket, which then begins at the log's last watermark."""

    async def scenario(stage: Stage) -> None:
        await stage.begin()
        invalidator = stage.start()
        before = await stage.covered()
        await fill_everything(stage)
        await stage.author.change(insert(1, 7))
        w = (await stage.covered()).watermark
        assert await stage.hits(*ALL) == {"order 2", "customer 8"}
        redis_server.flush()
        await until(lambda: has_other_epoch(stage, before.bucket_epoch))
        after = await stage.covered(w)  # nothing new was written
        assert after.stream_epoch == before.stream_epoch
        await fill_everything(stage)
        assert sum(invalidator.statistics.epochs.values()) == 2

    play(redis_server, scenario, event_log=f"kafka://{kafka_server.bootstrap}")


class TestOwner:
    """With a log elsewhere, two databases may have come to one name in one Redis."""

    def test_of_another_database_stops_and_says_so(self, valkey: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            theirs = "999/5/00000001/c9/tidegate_shop/other-log"
            foreign = EpochBegin(theirs, "999/5", (START,), ("0",), "theirs")
            assert await stage.bucket.new_epoch(await stage.bucket.state(), foreign) is Outcome.APPLIED
            before = await stage.bucket.state()
            with pytest.raises(OtherOwnerError, match="give this cache another name"):
                await _consume(stage)
            assert await stage.bucket.state() == before

        play(valkey, scenario)

    def test_of_the_same_database_with_an_older_log_is_ours(self, valkey: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            owner = owner_of(stage.author.epoch)
            older = stage.author.epoch.rpartition("/")[0] + "/older-log"
            foreign = EpochBegin(older, owner, (START,), ("0",), "ours")
            assert await stage.bucket.new_epoch(await stage.bucket.state(), foreign) is Outcome.APPLIED
            consuming = asyncio.create_task(_consume(stage))
            state = await stage.covered()
            assert state.stream_epoch == stage.author.epoch
            consuming.cancel()
            await asyncio.wait({consuming})

        play(valkey, scenario)


def test_too_many_tags_in_a_second_become_the_whole_relation(valkey: RedisServer) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.begin()
        statistics = InvalidatorStatistics()
        consuming = asyncio.create_task(_consume(stage, statistics, TagBudget(tags_per_second=1)))
        await stage.covered()
        await fill_everything(stage)
        await stage.author.change(insert(3, 9))  # would leave all but "everything"
        await stage.covered()
        assert await stage.hits(*ALL) == set()
        assert statistics.evicted_relations == 1
        consuming.cancel()
        await asyncio.wait({consuming})

    play(valkey, scenario)


async def _consume(
    stage: Stage, statistics: InvalidatorStatistics | None = None, budget: TagBudget | None = None
) -> None:
    """Follow the log as if it were elsewhere."""
    reader = open_reader(stage.settings)
    await reader.open()
    statistics = statistics or InvalidatorStatistics()
    evictor = Evictor(stage.bucket, statistics, budget or TagBudget())
    records = RecordReader(CACHE, statistics, DeadLetterBox(DeadLetters(stage.client, CACHE, 5.0), statistics))
    consumer = Consumer(reader, stage.bucket, evictor, statistics, records, log_beside_bucket=False)
    try:
        await consumer.run()
    finally:
        await reader.close()
