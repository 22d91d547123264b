"""What is lost, missing, left or refused under the invalidator, and that none of it leaves a stale answer."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from services.invalidator.events import owner_of
from services.invalidator.reasons import EpochReason
from services.shared.keyspace.dead_letter import KEPT_LETTERS, DeadLetter
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.scripts import BucketState, EpochBegin
from services.shared.position import START, Position
from services.shared.runtime.lifecycle import Refusal as ServiceRefusal
from tests.integration.bucket_driver import until
from tests.integration.invalidator_stage import (
    ALL,
    BY_ID,
    Invalidator,
    Stage,
    fill_everything,
    has_other_epoch,
    is_true,
    play,
)
from tests.integration.log_author import CACHE, WHEN, LogAuthor, insert
from tests.servers.redis import FLAVOURS, RedisServer

_UNREADABLE = b'{"kind":"from the future","secret":"hunter2"}'


async def _lose_a_record(stage: Stage, before: BucketState) -> None:
    """Write a record of ours that nobody can read."""
    stage.author.skip()
    position = Position(before.positions[0].incarnation, before.positions[0].k + 1)
    await stage.author.writer.append(0, position, b"", _UNREADABLE)


def _letters(stage: Stage) -> DeadLetters:
    return DeadLetters(stage.client, CACHE, 5.0)


async def _until_told(invalidator: Invalidator) -> None:
    await until(lambda: is_true(invalidator.statistics.dead_letters == 1))


async def _stop_all(stage: Stage) -> None:
    for invalidator in stage.invalidators:
        await invalidator.stop()


@pytest.fixture(params=FLAVOURS)
def own_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    with RedisServer(request.param) as server:
        yield server


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
            await stage.new_writer()
            await stage.begin()
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            await stage.fill_all("everything")
            assert await stage.hits("everything") == {"everything"}
            assert invalidator.statistics.epochs[EpochReason.NO_BUCKET] == 2

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
            assert await stage.hits(*ALL) == ALL  # right: position and watermark went back as well
            after = await stage.covered()
            assert after.bucket_epoch == before.bucket_epoch
            assert await stage.hits(*ALL) == {"order 2", "customer 8"}
            assert invalidator.statistics.rewinds == 1

        play(own_server, scenario)

    def test_of_a_suffix_is_caught_up_although_the_log_is_silent(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            stage.start()
            await stage.covered()
            await fill_everything(stage)
            prefix = stage.bucket.keys.prefix
            kept = {key: await stage.client.dump(key) async for key in stage.client.scan_iter(match=f"{prefix}*")}
            await stage.author.change(insert(1, 7))
            newest = await stage.covered()
            for key, value in kept.items():
                await stage.client.restore(key, 0, value or b"", replace=True)
            assert (await stage.bucket.state()).watermark < newest.watermark
            after = await stage.covered(newest.watermark)
            assert after.positions == newest.positions
            assert await stage.hits(*ALL) == {"order 2", "customer 8"}

        play(redis_server, scenario)

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
            assert await stage.hits(*ALL) == ALL
            await stage.new_writer()
            await stage.author.resume(confirmed)
            await stage.author.change(insert(1, 7))
            after = await stage.covered()
            assert after.bucket_epoch == before.bucket_epoch
            assert await stage.hits(*ALL) == {"order 2", "customer 8"}

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
            await until(lambda: has_other_epoch(stage, before.bucket_epoch))
            await stage.covered()
            assert invalidator.statistics.epochs[EpochReason.EVICTIONS_LOST] == 1
            await stage.fill_all("everything")

        play(redis_server, scenario)

    def test_of_the_registrations_begins_an_epoch(self, redis_server: RedisServer) -> None:
        """Else an invalidator that starts then would match changes with no shape, under the version that all know."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            running = stage.start()
            before = await stage.covered()
            await fill_everything(stage)
            await running.stop()
            await stage.client.delete(stage.bucket.keys.shapes)
            again = stage.start()
            await stage.author.change(insert(1, 7))
            await until(lambda: has_other_epoch(stage, before.bucket_epoch))
            await stage.covered()
            assert again.statistics.epochs == {EpochReason.EVICTIONS_LOST: 1}
            assert await stage.hits(*ALL) == set()

        play(redis_server, scenario)


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

    def test_of_an_unreadable_record_begins_an_epoch_and_is_told(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await _lose_a_record(stage, before)
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            assert invalidator.statistics.undecodable == 1
            await _until_told(invalidator)
            (letter,) = await _letters(stage).last_day()
            assert (letter.partition, letter.length) == (0, len(_UNREADABLE))
            assert letter.sha256 == sha256(_UNREADABLE).hexdigest()
            assert letter.error == "not an event: event: union_tag_invalid"
            client: Any = stage.client  # its replies are typed for every protocol at once
            (record,) = await client.xrange(f"tidegate:{{{CACHE}}}:log:0", f"({letter.place}", "+", count=1)
            assert record[1][b"event"] == _UNREADABLE
            assert b"hunter2" not in (await stage.client.dump(stage.bucket.keys.dead_letters) or b"")

        play(redis_server, scenario)

    def test_of_an_unreadable_record_begins_an_epoch_though_it_cannot_be_told(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await stage.client.set(stage.bucket.keys.dead_letters, "no stream")
            await _lose_a_record(stage, before)
            after = await stage.covered()
            assert after.bucket_epoch != before.bucket_epoch
            await until(lambda: is_true(invalidator.statistics.dead_letters_lost == 1))
            assert invalidator.statistics.epochs == {EpochReason.NO_BUCKET: 1, EpochReason.CHAIN_GAP: 1}

        play(redis_server, scenario)


class TestDeadLetters:
    def test_of_twins_and_of_a_restart_are_about_one_record(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            stage.start()
            before = await stage.covered()
            await _stop_all(stage)
            await _lose_a_record(stage, before)
            for _ in range(2):
                for twin in (stage.start(), stage.start()):
                    await _until_told(twin)
                await _stop_all(stage)
            assert await stage.client.xlen(stage.bucket.keys.dead_letters) == 4
            assert len(await _letters(stage).last_day()) == 1

        play(redis_server, scenario)

    def test_are_bounded_and_of_a_day(self, redis_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            client: Any = stage.client  # as above
            letters, key = _letters(stage), stage.bucket.keys.dead_letters
            await letters.keep(DeadLetter(WHEN, 0, "0", 1, "0", "of now"))
            ((_, fields),) = await client.xrange(key)
            await client.delete(key)
            two_days_ago = (await client.time())[0] - 2 * 24 * 60 * 60
            await client.xadd(key, fields, id=f"{two_days_ago * 1000}-0")
            assert await letters.last_day() == []
            pipeline = client.pipeline(transaction=False)
            for _ in range(KEPT_LETTERS):
                pipeline.xadd(key, fields)
            await pipeline.execute()
            await letters.keep(DeadLetter(WHEN, 0, "1", 1, "1", "one more"))
            assert await stage.client.xlen(key) == KEPT_LETTERS
            assert [letter.error for letter in await letters.last_day()] == ["of now", "one more"]

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
            await until(lambda: has_other_epoch(stage, before.bucket_epoch))
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

    def test_that_is_the_last_of_two_is_reached_by_an_invalidator_that_knows_nothing_of_the_first(
        self, redis_server: RedisServer
    ) -> None:
        """The one before it had read both beginnings in one partition, and died before it had in the other."""

        async def scenario(stage: Stage) -> None:
            await stage.begin()
            stage.start()
            before = await stage.covered()
            await _stop_all(stage)
            await stage.author.begin_epoch(canary="c2")
            await stage.author.begin_epoch(canary="c3")
            begun = Position(stage.author.incarnation, 0)
            await stage.bucket.new_epoch(
                before,
                EpochBegin(
                    stream_epoch=stage.author.epoch,
                    owner=owner_of(stage.author.epoch),
                    positions=(begun, START),
                    places=(begun.stream_id, before.places[1]),
                    reason="test",
                ),
            )
            invalidator = stage.start()
            after = await stage.covered()
            assert after.stream_epoch == stage.author.epoch
            assert invalidator.statistics.epochs == {}

        play(redis_server, scenario, partitions=2)


class TestRedis:
    def test_that_is_away_is_waited_for(self, own_server: RedisServer) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.begin()
            invalidator = stage.start()
            before = await stage.covered()
            await stage.client.save()
            own_server.kill()
            await until(lambda: is_true(bool(invalidator.statistics.trouble)))
            own_server.start()
            await stage.client.connection_pool.disconnect()
            await until(lambda: is_true(not invalidator.statistics.trouble))
            await stage.new_writer()
            after = await stage.covered()
            assert after.bucket_epoch == before.bucket_epoch

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


def test_nothing_is_begun_without_a_log(redis_server: RedisServer) -> None:
    async def scenario(stage: Stage) -> None:
        invalidator = stage.start()
        await until(lambda: is_true("no stream epoch" in invalidator.statistics.trouble))
        assert (await stage.bucket.state()).positions == (START,)
        await stage.begin()
        await stage.covered()

    play(redis_server, scenario)
