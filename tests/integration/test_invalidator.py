"""The invalidator on a real log and a real bucket: what it evicts, and that nothing it loses leaves a stale answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from services.invalidator.reasons import EpochReason
from services.shared.eventlog.redis_streams import RedisStreamWriter
from services.shared.keyspace.feed import FeedKind
from services.shared.keyspace.scripts import Refusal
from services.shared.position import START, Position
from services.shared.relation import relation_tag
from services.shared.runtime.lifecycle import Refusal as ServiceRefusal
from tests.integration.bucket_driver import until
from tests.integration.invalidator_stage import BY_CUSTOMER, BY_ID, Stage, staged
from tests.integration.log_author import CACHE, ORDERS, LogAuthor, delete, insert, update
from tests.servers.redis import FLAVOURS, RedisServer


@pytest.fixture(params=FLAVOURS)
def own_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    with RedisServer(request.param) as server:
        yield server


def play(server: RedisServer, scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), staged(server) as stage:
            await scenario(stage)

    asyncio.run(run())


ALL = ("order 1", "order 2", "customer 7", "customer 8", "everything")


async def fill_everything(stage: Stage) -> None:
    await stage.fill_value("order 1", BY_ID, 1)
    await stage.fill_value("order 2", BY_ID, 2)
    await stage.fill_value("customer 7", BY_CUSTOMER, 7)
    await stage.fill_value("customer 8", BY_CUSTOMER, 8)
    await stage.fill_all("everything")
    assert await stage.hits(*ALL) == set(ALL)


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
            (lambda author: author.change(insert(3, 7), relation=ORDERS + 1), set(ALL)),
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
            assert await stage.hits(*ALL) == set(ALL)  # right: the watermark has not moved
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


class TestLoss:
    def test_of_everything_begins_anew(self, redis_server: RedisServer) -> None:
        """With the log in the same Redis that is gone as well, and the CDC service begins an epoch in a new one."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await stage.fill_all("everything")
            await stage.client.flushall()
            assert await stage.hits("everything") == set()
            writer = RedisStreamWriter(redis_server.url, f"tidegate:{{{CACHE}}}:", 1)
            await writer.open()
            stage.author.writer = writer
            await stage.begin()
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            await stage.fill_all("everything")
            assert await stage.hits("everything") == {"everything"}
            assert invalidator.statistics.epochs[EpochReason.NO_BUCKET] == 2
            await writer.close()

        play(redis_server, scenario)

    def test_of_the_bucket_alone_begins_at_the_last_watermark(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            stage.start()
            before = await stage.covered()
            await stage.fill_all("everything")
            keys = [key async for key in stage.client.scan_iter(match=f"{stage.bucket.keys.prefix}*")]
            await stage.client.delete(*keys)
            await stage.author.change(insert(1, 1))
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            assert await stage.hits("everything") == set()
            await stage.fill_all("everything")

        play(redis_server, scenario)

    def test_of_a_suffix_is_caught_up(self, own_server: RedisServer) -> None:
        """The bucket goes back to an old snapshot, the log (as if it were elsewhere) does not."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await fill_everything(stage)
            prefix = stage.bucket.keys.prefix
            kept = {key: await stage.client.dump(key) async for key in stage.client.scan_iter(match=f"{prefix}*")}
            await stage.author.change(insert(1, 7))
            await stage.covered()
            assert await stage.hits(*ALL) == {"order 2", "customer 8"}
            pipeline = stage.client.pipeline(transaction=True)
            for key in [key async for key in stage.client.scan_iter(match=f"{prefix}*")]:
                pipeline.delete(key)
            for key, value in kept.items():
                pipeline.restore(key, 0, value or b"")
            await pipeline.execute()
            assert await stage.hits(*ALL) == set(ALL)  # right: position and watermark went back as well
            after = await stage.covered()
            assert after.bucket_epoch == before.bucket_epoch
            assert await stage.hits(*ALL) == {"order 2", "customer 8"}
            assert invalidator.statistics.rewinds == 1

        play(own_server, scenario)

    def test_of_a_suffix_of_bucket_and_log_together_is_caught_up(self, own_server: RedisServer) -> None:
        """A real snapshot; the CDC service, whose records are gone, resumes from what it had confirmed."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            stage.start()
            before = await stage.covered()
            confirmed = stage.author.lsn
            await fill_everything(stage)
            await stage.client.save()
            await stage.author.change(insert(1, 7))
            await stage.covered()
            own_server.kill()
            own_server.start()
            await stage.client.connection_pool.disconnect()
            assert await stage.hits(*ALL) == set(ALL)
            writer = RedisStreamWriter(own_server.url, f"tidegate:{{{CACHE}}}:", 1)
            await writer.open()
            stage.author.writer = writer
            await stage.author.resume(confirmed)
            await stage.author.change(insert(1, 7))
            after = await stage.covered()
            assert after.bucket_epoch == before.bucket_epoch
            assert await stage.hits(*ALL) == {"order 2", "customer 8"}
            await writer.close()

        play(own_server, scenario)

    @pytest.mark.parametrize("which", ["tag_evictions", "relation_evictions"])
    def test_of_a_record_of_evictions_begins_an_epoch(self, redis_server: RedisServer, which: str) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await stage.fill_all("everything")
            keys = stage.bucket.keys
            await stage.client.delete(keys.tag_evictions(0) if which == "tag_evictions" else keys.relation_evictions)
            assert await stage.hits("everything") == set()
            await until(lambda: _has_other_epoch(stage, before.bucket_epoch))
            await stage.covered()
            assert invalidator.statistics.epochs[EpochReason.EVICTIONS_LOST] == 1
            await stage.fill_all("everything")

        play(redis_server, scenario)


async def _has_other_epoch(stage: Stage, epoch: str) -> bool:
    return (await stage.bucket.state()).bucket_epoch not in ("", epoch)


class TestGap:
    def test_in_the_chain_begins_an_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await stage.fill_all("everything")
            stage.author.skip()
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            assert after.stream_epoch == before.stream_epoch
            assert invalidator.statistics.epochs == {EpochReason.NO_BUCKET: 1, EpochReason.CHAIN_GAP: 1}
            assert await stage.hits("everything") == set()
            await stage.fill_all("everything")  # the watermark behind the gap was applied, the relation is followed

        play(redis_server, scenario)

    @pytest.mark.parametrize(("beyond", "survives"), [(0, True), (1, False)])
    def test_between_incarnations_is_judged_by_what_was_settled(
        self, redis_server: RedisServer, beyond: int, survives: bool
    ) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            stage.start()
            before = await stage.covered()
            await stage.author.resume(before.settled[0] + beyond)
            after = await stage.covered()
            assert (after.bucket_epoch == before.bucket_epoch) is survives

        play(redis_server, scenario)

    def test_in_the_log_begins_an_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            running = stage.start()
            before = await stage.covered()
            await running.stop()
            for number in range(10):
                await stage.author.change(insert(number, 1))
            await stage.author.watermark()
            await stage.client.xtrim(f"tidegate:{{{CACHE}}}:log:0", maxlen=2, approximate=False)
            again = stage.start()
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            assert again.statistics.epochs == {EpochReason.LOG_GAP: 1}

        play(redis_server, scenario)

    def test_of_an_unreadable_record_begins_an_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            k = before.positions[0].k + 1
            stage.author.skip()
            position = Position(before.positions[0].incarnation, k)
            await stage.author.writer.append(0, position, b"", b'{"kind":"from the future"}')
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            assert invalidator.statistics.undecodable == 1

        play(redis_server, scenario)


class TestStreamEpoch:
    def test_that_is_new_begins_a_bucket_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            await stage.covered()
            await stage.fill_value("order 1", BY_ID, 1)
            await stage.author.begin_epoch(canary="c2")
            await stage.author.follow()
            after = await stage.covered()
            assert after.stream_epoch == stage.author.epoch
            assert await stage.hits("order 1") == set()
            assert (await stage.bucket.registry()).shapes == {}
            assert invalidator.statistics.epochs == {EpochReason.NO_BUCKET: 1, EpochReason.STREAM_EPOCH: 1}

        play(redis_server, scenario)

    def test_with_lower_positions_after_a_failover_is_followed(self, redis_server: RedisServer) -> None:
        """The log was made anew for it: ids of a stream cannot go down."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            stage.start()
            before = await stage.covered()
            stage.author.lsn = 0x100
            await stage.author.begin_epoch(timeline=2)
            await stage.author.follow()
            w = await stage.author.watermark()
            await until(lambda: _has_other_epoch(stage, before.bucket_epoch))
            after = await stage.covered(w)
            assert after.stream_epoch == stage.author.epoch
            assert after.positions < before.positions
            await stage.fill_all("everything")

        play(redis_server, scenario)

    def test_that_was_left_is_ignored(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            await stage.covered()
            old, zombie = stage.author.epoch, LogAuthor(stage.author.writer)
            zombie.lsn = 0x100_0000
            await stage.author.begin_epoch(canary="c2")
            before = await stage.covered()
            zombie.epoch = old
            await zombie.resume(0)
            await zombie.change(insert(1, 1))
            stage.author.lsn = 0x200_0000
            await stage.author.resume(before.settled[0])
            after = await stage.covered()
            assert invalidator.statistics.ignored >= 1
            assert after.bucket_epoch == before.bucket_epoch

        play(redis_server, scenario)


class TestRedis:
    def test_that_is_away_is_waited_for(self, own_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await stage.client.save()
            own_server.kill()
            await until(lambda: _is_true(bool(invalidator.statistics.trouble)))
            own_server.start()
            await stage.client.connection_pool.disconnect()
            await until(lambda: _is_true(not invalidator.statistics.trouble))
            writer = RedisStreamWriter(own_server.url, f"tidegate:{{{CACHE}}}:", 1)
            await writer.open()
            stage.author.writer = writer
            after = await stage.covered()
            assert after.bucket_epoch == before.bucket_epoch
            await writer.close()

        play(own_server, scenario)

    def test_that_may_delete_what_must_stay_is_refused(self, own_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.client.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(ServiceRefusal, match="volatile-lru"):
                await stage.start().task

        play(own_server, scenario)

    def test_without_memory_still_evicts(self, own_server: RedisServer) -> None:
        """As with a log elsewhere: what the CDC service can still append is another matter."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            running = stage.start()
            await stage.covered()
            await stage.fill_all("everything")
            await running.stop()
            await stage.author.change(insert(1, 1))
            w = await stage.author.watermark()
            await stage.client.config_set("maxmemory-policy", "noeviction")
            await stage.client.config_set("maxmemory", 1)
            stage.start()
            await stage.covered(w)
            assert await stage.hits("everything") == set()

        play(own_server, scenario)


async def _is_true(value: bool) -> bool:
    return value


def test_nothing_is_begun_without_a_log(redis_server: RedisServer) -> None:
    async def scenario(stage: Stage) -> None:
        invalidator = stage.start()
        await until(lambda: _is_true("no stream epoch" in invalidator.statistics.trouble))
        assert (await stage.bucket.state()).positions == (START,)
        await stage.begin()
        await stage.covered()

    play(redis_server, scenario)
