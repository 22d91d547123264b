"""The invalidator's steps: in order or not at all, each with one feed item. Consistency contract, sections 6 and 7."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from services.shared.keyspace.feed import FeedKind
from services.shared.keyspace.scripts import BucketUnavailable, EpochBegin, Outcome, ReadMiss, Refusal, StoredEntry
from services.shared.keyspace.state import Followed
from services.shared.keyspace.steps import Advance, Evict, Follow, Milestone, MoveWatermark, Step
from services.shared.lsn import Lsn
from services.shared.position import START, Position
from services.shared.relation import Shape, ShapeColumn, relation_tag
from tests.integration.bucket_driver import INCARNATION, RELATION, STREAM, BucketDriver, at, driven_bucket
from tests.servers.redis import RedisServer

TAG = relation_tag(RELATION)
SHAPE = Shape(RELATION, (ShapeColumn("id", 23),))


def drive(
    server: RedisServer, scenario: Callable[[BucketDriver], Awaitable[None]], partitions: int = 1, age: float = 600.0
) -> None:
    async def run() -> None:
        async with driven_bucket(server.url, partitions, age) as driver:
            await scenario(driver)

    asyncio.run(run())


def steps_at(milestone: Milestone, version: str) -> list[Step]:
    return [
        Evict(milestone, version, (TAG,), (RELATION,), Lsn(8)),
        MoveWatermark(milestone, Lsn(8), Lsn(8)),
        Advance(milestone),
        Follow(milestone, RELATION, Followed(1, "d")),
    ]


async def fill_some(driver: BucketDriver, count: int, tag: str = TAG) -> None:
    q0 = (await driver.bucket.state()).positions
    for number in range(count):
        stored = StoredEntry(q0, (tag,), (RELATION,), (), b"body")
        assert not await driver.bucket.fill(driver.epoch, q0, number.to_bytes(4, "big"), stored)


async def sweep_all(driver: BucketDriver) -> int:
    """Sweep from the first index to the last, and return how many members were removed."""
    removed, cursor = 0, 0
    while True:
        sweep = await driver.bucket.sweep(cursor)
        removed, cursor = removed + sweep.removed, sweep.cursor
        if not cursor:
            return removed


async def entry_count(driver: BucketDriver) -> int:
    return len([key async for key in driver.client.scan_iter(match=f"{driver.keys.prefix}e:*", count=1000)])


@pytest.mark.parametrize("kind", range(4))
class TestEveryStep:
    def test_applies_once(self, redis_server: RedisServer, kind: int) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            before = list(driver.applied)
            step = steps_at(driver.milestone(), driver.version)[kind]
            assert await driver.take(step) == [Outcome.APPLIED]
            after = await driver.bucket.state()
            assert await driver.take(step, step) == [Outcome.DUPLICATE] * 2
            assert await driver.bucket.state() == after
            assert (after.positions, after.places) == ((step.at.position,), (step.at.next_place,))
            (item,) = await driver.items(before)
            assert (item.position, item.prev, item.epoch) == (step.at.position, before[0], driver.epoch)
            assert item.registry_version == driver.version

        drive(redis_server, scenario)

    def test_is_refused_when_the_bucket_is_behind(self, redis_server: RedisServer, kind: int) -> None:
        async def scenario(driver: BucketDriver) -> None:
            before = await driver.begin_warm()
            driver.milestone()  # a record that never reached the bucket
            step = steps_at(driver.milestone(), driver.version)[kind]
            assert await driver.take(step) == [Outcome.REWIND]
            assert await driver.bucket.state() == before
            assert await driver.items(before.positions) == []

        drive(redis_server, scenario)

    def test_is_refused_in_another_epoch(self, redis_server: RedisServer, kind: int) -> None:
        async def scenario(driver: BucketDriver) -> None:
            step = steps_at(driver.milestone(), driver.version)[kind]
            driver.epoch = "some#epoch"
            assert await driver.take(step) == [Outcome.OTHER_EPOCH]
            driver.applied = [at(0)]
            await driver.begin_warm()
            driver.epoch += "x"
            assert await driver.take(step) == [Outcome.OTHER_EPOCH]

        drive(redis_server, scenario)

    def test_is_refused_after_one_that_was_refused(self, redis_server: RedisServer, kind: int) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            refused = Evict(driver.milestone(), "another version", (TAG,), (), Lsn(8))
            step = steps_at(driver.milestone(), driver.version)[kind]
            assert await driver.take(refused, step) == [Outcome.RELOAD, Outcome.REWIND]

        drive(redis_server, scenario)


def test_where_a_script_fails_the_records_before_are_applied_and_stay_so(redis_server: RedisServer) -> None:
    """Redis takes nothing back that a script did before an error, so each record's position is stored with it."""

    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        before = (await driver.bucket.state()).positions
        feed = driver.keys.feed(1)
        await driver.client.rename(feed, "elsewhere")
        await driver.client.set(feed, "no stream")
        steps = [MoveWatermark(driver.milestone(partition), Lsn(900), Lsn(899)) for partition in (0, 1)]
        with pytest.raises(BucketUnavailable):
            await driver.take(*steps)
        state = await driver.bucket.state()
        assert state.positions == (steps[0].at.position, before[1])
        assert state.watermarks == (900, 101)
        await driver.client.rename("elsewhere", feed)
        assert await driver.take(*steps) == [Outcome.DUPLICATE, Outcome.APPLIED]
        assert [item.position for item in await driver.items(before)] == [step.at.position for step in steps]

    drive(redis_server, scenario, partitions=2)


def test_a_watermark_is_the_least_over_the_partitions_and_never_goes_back(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        await driver.begin()
        seen = []
        for partition, w in [(0, 500), (1, 300), (1, 700), (0, 400), (0, 600)]:
            await driver.watermark(w, c=w - 3, partition=partition)
            seen.append((await driver.bucket.state()).watermark)
        assert seen == [0, 300, 500, 500, 600]
        state = await driver.bucket.state()
        assert (state.watermarks, state.settled) == ((600, 700), (597, 697))

    drive(redis_server, scenario, partitions=2)


def test_the_highest_commit_only_rises(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        for end in (900, 1_000, 800):
            await driver.evict(TAG, end=end)
        assert (await driver.bucket.state()).highest_commit == 1_000

    drive(redis_server, scenario)


class TestResume:
    @pytest.mark.parametrize(("resume_from", "outcome"), [(100, Outcome.APPLIED), (101, Outcome.GAP)])
    def test_is_accepted_by_c_and_not_by_w(self, redis_server: RedisServer, resume_from: int, outcome: Outcome) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin()
            await driver.watermark(5_001, c=100)
            resumed = Position(Lsn(INCARNATION + 800), 0)
            milestone = Milestone(0, driver.applied[0], resumed, resumed.stream_id)
            assert await driver.take(Advance(milestone, Lsn(resume_from))) == [outcome]

        drive(redis_server, scenario)


class TestEviction:
    def test_with_other_shapes_than_the_registered_is_refused(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            state = await driver.begin_warm()
            await driver.bucket.register(driver.epoch, [SHAPE])
            assert await driver.evict(TAG) is Outcome.RELOAD
            assert (await driver.bucket.state()).positions == state.positions

        drive(redis_server, scenario)

    def test_unlinks_at_most_500_entries_a_call(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            await fill_some(driver, 700)
            assert await driver.evict(TAG) is Outcome.APPLIED
            assert await entry_count(driver) == 200
            assert await sweep_all(driver) == 200  # what is dead by the rule is swept
            assert await entry_count(driver) == 0

        drive(redis_server, scenario)

    def test_tells_the_feed_what_it_evicted(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            before = (await driver.begin_warm()).positions
            await driver.evict(TAG, "16401:ab", relations=[RELATION, 5], end=4_096)
            await driver.evict()
            first, second = await driver.items(before)
            assert (first.kind, first.tags, first.relations) == (FeedKind.EVICT, (TAG, "16401:ab"), (RELATION, 5))
            assert first.end_lsn == 4_096
            assert (second.tags, second.relations) == ((), ())

        drive(redis_server, scenario)


class TestSweep:
    def test_keeps_what_is_alive_and_forgets_what_is_gone(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            await fill_some(driver, 3)
            q0 = tuple(driver.applied)
            moved = StoredEntry(q0, (f"{RELATION}:ab",), (RELATION,), (), b"body")  # carries other tags by now
            await driver.bucket.fill(driver.epoch, q0, (0).to_bytes(4, "big"), moved)
            await driver.client.delete(driver.keys.entry((1).to_bytes(4, "big")))  # ran out
            assert await sweep_all(driver) == 2
            assert await driver.client.smembers(driver.keys.index(TAG)) == {(2).to_bytes(4, "big").hex().encode()}
            assert await entry_count(driver) == 2

        drive(redis_server, scenario)

    def test_goes_through_all_indexes_and_all_of_each(self, redis_server: RedisServer) -> None:
        """Each step takes 20 of them at once, and 200 members of each."""

        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            tags = [f"{RELATION}:{number:02x}" for number in range(50)]
            for tag in tags:
                await driver.client.sadd(driver.keys.index(tag), *(b"%08x" % number for number in range(3)))
            await driver.client.sadd(driver.keys.index(tags[7]), *(b"%08x" % number for number in range(900)))
            assert await sweep_all(driver) == 49 * 3 + 900
            assert not await driver.client.exists(*(driver.keys.index(tag) for tag in tags))

        drive(redis_server, scenario)


class TestFollow:
    def test_says_who_is_followed(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            before = await driver.begin()
            await driver.follow(RELATION, entry=7)
            await driver.follow(5, entry=8)
            await driver.follow(5, entry=8)  # told again from time to time, which evicts nothing
            await driver.follow(RELATION, entry=None)
            assert (await driver.bucket.registry()).followed == {5: 8}
            told = [(item.relations, item.publication_entry) for item in await driver.items(before.positions)]
            assert told == [((RELATION,), 7), ((5,), 8), ((), 8), ((RELATION,), None)]

        drive(redis_server, scenario)

    @pytest.mark.parametrize(
        ("entry", "digest", "survives"), [(1, "d", True), (2, "d", False), (1, "changed", False), (None, "d", False)]
    )
    def test_evicts_the_relation_unless_nothing_changed(
        self, redis_server: RedisServer, entry: int | None, digest: str, survives: bool
    ) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            await fill_some(driver, 1)
            await driver.follow(RELATION, entry, digest)
            assert await entry_count(driver) == int(survives)
            q0 = (at(driver.applied[0].k - 1),)
            stored = StoredEntry(q0, (TAG,), (RELATION,), (), b"body")
            refusal = await driver.bucket.fill(driver.epoch, q0, b"late", stored)
            assert bool(refusal) is not survives

        drive(redis_server, scenario)


class TestRegistration:
    def test_makes_a_version_only_for_new_shapes(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            first = await driver.bucket.register(driver.epoch, [SHAPE])
            await driver.watermark(500)
            again = await driver.bucket.register(driver.epoch, [SHAPE])
            assert again.version == first.version != driver.version
            assert again.shapes == first.shapes == {SHAPE.id: first.state.positions}
            more = await driver.bucket.register(driver.epoch, [SHAPE, Shape(5)])
            assert more.version not in (first.version, driver.version)
            assert more.shapes == {**first.shapes, Shape(5).id: more.state.positions}

        drive(redis_server, scenario)

    def test_does_nothing_in_another_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin()
            registry = await driver.bucket.register("some#epoch", [SHAPE])
            assert (registry.shapes, registry.version) == ({}, driver.version)
            assert registry.state.bucket_epoch == driver.epoch

        drive(redis_server, scenario)


class TestNewEpoch:
    def test_empties_everything_but_keeps_the_registrations_of_the_same_stream_epoch(
        self, redis_server: RedisServer
    ) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            await driver.bucket.register(driver.epoch, [SHAPE])
            driver.version = (await driver.bucket.state()).registry_version
            await driver.evict(TAG, end=900)
            old = (driver.epoch, driver.version)
            await driver.begin(reason="a gap")
            registry = await driver.bucket.registry()
            state = registry.state
            assert state.bucket_epoch not in ("", old[0])
            assert (state.stream_epoch, state.reason) == (STREAM, "a gap")
            assert registry.version != old[1]
            assert (set(registry.shapes), registry.followed) == ({SHAPE.id}, {RELATION: 1})
            assert (state.watermark, state.watermarks, state.settled) == (0, (0,), (0,))
            assert state.floors == state.positions == tuple(driver.applied)
            assert await driver.items([START]) == []
            assert await driver.client.hlen(driver.keys.tag_evictions(0)) == 1  # the sentinel

        drive(redis_server, scenario)

    def test_forgets_the_registrations_of_another_stream_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            await driver.bucket.register(driver.epoch, [SHAPE])
            driver.applied = [Position(Lsn(800), 0)]  # a fail-over of Postgres: LSNs go down
            await driver.begin(stream=STREAM.replace("/00000001/", "/00000002/"))
            registry = await driver.bucket.registry()
            assert (registry.shapes, registry.followed) == ({}, {})
            await driver.watermark(801)
            assert [item.position.k for item in await driver.items([Position(Lsn(800), 0)])] == [1]

        drive(redis_server, scenario)

    def test_takes_over_what_is_known_to_be_followed(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            followed = {RELATION: Followed(7, "d"), 5: Followed(8, "e")}
            begin = EpochBegin(STREAM, "owner", (at(3), at(4)), ("a", "b"), "test", Lsn(64), followed)
            assert await driver.bucket.new_epoch(await driver.bucket.state(), begin) is Outcome.APPLIED
            registry = await driver.bucket.registry()
            assert registry.followed == {RELATION: 7, 5: 8}
            assert (registry.state.places, registry.state.highest_commit) == (("a", "b"), 64)
            assert registry.state.owner == "owner"

        drive(redis_server, scenario, partitions=2)

    @pytest.mark.parametrize("moved", ["epoch", "position"])
    def test_is_left_to_whoever_was_faster(self, redis_server: RedisServer, moved: str) -> None:
        async def scenario(driver: BucketDriver) -> None:
            seen = await driver.begin_warm()
            if moved == "epoch":
                await driver.begin()
            else:
                await driver.pass_record()
            now = await driver.bucket.state()
            begin = EpochBegin(STREAM, "owner", (at(50),), ("50",), "too late")
            assert await driver.bucket.new_epoch(seen, begin) is Outcome.OTHER_EPOCH
            absent = replace(seen, bucket_epoch="", positions=(START,))
            assert await driver.bucket.new_epoch(absent, begin) is Outcome.OTHER_EPOCH
            assert await driver.bucket.state() == now

        drive(redis_server, scenario)


class TestRotation:
    def test_waits_until_a_generation_is_as_old_as_an_entry_may_get(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            assert await driver.bucket.rotate(driver.epoch) is Outcome.TOO_EARLY
            assert await driver.bucket.rotate("some#epoch") is Outcome.OTHER_EPOCH

        drive(redis_server, scenario)

    def test_is_due_at_any_age_when_a_generation_is_too_large(self, redis_server: RedisServer) -> None:
        """So the record of evictions is bounded in memory; what it forgets is not served any more."""

        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            await fill_some(driver, 1)
            for number in range(2):
                await driver.evict(*(f"{RELATION}:{number}{tag}" for tag in range(40)))
                assert await driver.bucket.rotate(driver.epoch, most_tags=100) is Outcome.TOO_EARLY
                assert await driver.bucket.rotate(driver.epoch, most_tags=40) is Outcome.APPLIED
            missed = await driver.bucket.read((0).to_bytes(4, "big"))
            assert isinstance(missed, ReadMiss)
            assert missed.reason is Refusal.BELOW_FLOOR

        drive(redis_server, scenario)

    def test_raises_the_floor_to_the_older_generations_start(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            starts = [(await driver.begin_warm()).floors[0]]
            floors, evicted = [], []
            for _ in range(3):
                await driver.evict(TAG)
                await driver.client.hset(driver.keys.meta, "rotated", 0)
                starts.append(driver.applied[0])
                assert await driver.bucket.rotate(driver.epoch) is Outcome.APPLIED
                floors.append((await driver.bucket.state()).floors[0])
                kept = [await driver.client.hget(driver.keys.tag_evictions(n), TAG) for n in (0, 1)]
                evicted.append([position for position in kept if position])
            assert floors == [starts[0], starts[1], starts[2]]
            assert evicted == [[str(start).encode()] for start in starts[1:]]

        drive(redis_server, scenario)
