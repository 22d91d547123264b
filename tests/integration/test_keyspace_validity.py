"""The rule of validity in FILL and READ: each clause, alone, refuses. Consistency contract, section 6."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.shared.keyspace.scripts import EntryHit, Fill, Outcome, ReadMiss, Refusal, StoredEntry
from services.shared.keyspace.tags import occurrence_tags
from services.shared.lsn import Lsn
from services.shared.position import Position
from services.shared.relation import Shape, ShapeColumn, relation_tag
from tests.integration.bucket_driver import INCARNATION, RELATION, BucketDriver, at, driven_bucket
from tests.servers.redis import RedisServer

SHAPE = Shape(RELATION, (ShapeColumn("id", 23),))
TAGS = occurrence_tags(SHAPE, [b"7"])
OTHER_TAGS = occurrence_tags(SHAPE, [b"8"])
KEY = bytes(range(16))
BODY = b"D\x00\xff\r\n\x00body"


def entry(q0: tuple[Position, ...], tags: tuple[str, ...] = TAGS, relation: int = RELATION) -> StoredEntry:
    shapes = (SHAPE.id,) if tags in (TAGS, OTHER_TAGS) else ()
    return StoredEntry(q0, tags, (relation,), shapes, BODY, filled_at=1.5)


def drive(
    server: RedisServer, scenario: Callable[[BucketDriver], Awaitable[None]], partitions: int = 1, age: float = 600.0
) -> None:
    async def run() -> None:
        async with driven_bucket(server.url, partitions, age) as driver:
            await scenario(driver)

    asyncio.run(run())


async def warm(driver: BucketDriver) -> tuple[Position, ...]:
    """Make a bucket in which the entry may be stored, and return a q0 for it."""
    await driver.begin_warm()
    registry = await driver.bucket.register(driver.epoch, [SHAPE])
    driver.version = registry.version
    return registry.state.positions


async def fill(driver: BucketDriver, stored: StoredEntry, epoch: str | None = None) -> Refusal:
    return await driver.bucket.fill(driver.epoch if epoch is None else epoch, stored.q0, KEY, stored)


async def why_missed(driver: BucketDriver, key: bytes = KEY) -> Refusal:
    reply = await driver.bucket.read(key)
    return reply.reason if isinstance(reply, ReadMiss) else Refusal.NONE


def test_what_was_stored_is_read_byte_for_byte(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        q0 = await warm(driver)
        assert await fill(driver, entry(q0)) is Refusal.NONE
        reply = await driver.bucket.read(KEY)
        assert isinstance(reply, EntryHit)
        assert reply.entry == entry(q0)
        assert (reply.bucket_epoch, reply.positions) == (driver.epoch, q0)
        assert reply.registry_version == driver.version
        assert reply.matched_from == {SHAPE.id: q0}

    drive(redis_server, scenario)


def test_an_entry_without_shapes_needs_no_registration(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        state = await driver.begin_warm()
        whole = Shape(RELATION)
        stored = StoredEntry(state.positions, (relation_tag(RELATION),), (RELATION,), (whole.id,), BODY)
        assert await fill(driver, stored) is Refusal.NONE
        assert isinstance(await driver.bucket.read(KEY), EntryHit)

    drive(redis_server, scenario)


def test_an_entry_lives_no_longer_than_the_maximum_age(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        assert await fill(driver, entry(await warm(driver))) is Refusal.NONE
        for key in (driver.keys.entry(KEY), *map(driver.keys.index, TAGS)):
            assert 0 < await driver.client.pttl(key) <= 30_000

    drive(redis_server, scenario, age=30.0)


def test_an_entry_may_live_for_less_and_leaves_its_indexes_to_others(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        q0 = await warm(driver)
        fills = [Fill(driver.epoch, q0, KEY, entry(q0), seconds) for seconds in (None, 5.0, 3_600.0)]
        for given, most_ms in zip(fills, (30_000, 5_000, 30_000), strict=True):
            assert await driver.bucket.fill_all([given]) == [Refusal.NONE]
            assert most_ms - 5_000 < await driver.client.pttl(driver.keys.entry(KEY)) <= most_ms
            for tag in TAGS:
                assert await driver.client.pttl(driver.keys.index(tag)) > 25_000

    drive(redis_server, scenario, age=30.0)


class TestFillIsRefused:
    def test_without_a_bucket(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            assert await fill(driver, entry((at(1),)), "some#epoch") is Refusal.NO_BUCKET

        drive(redis_server, scenario)

    def test_in_another_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            q0 = await warm(driver)
            assert await fill(driver, entry(q0), driver.epoch + "x") is Refusal.OTHER_EPOCH

        drive(redis_server, scenario)

    def test_with_another_number_of_partitions(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await warm(driver)
            async with driven_bucket(redis_server.url, partition_count=2) as other:
                other.epoch = driver.epoch
                assert await fill(other, entry((at(1), at(1)))) is Refusal.OTHER_FORMAT
                assert await why_missed(other) is Refusal.OTHER_FORMAT

        drive(redis_server, scenario)

    def test_before_the_first_watermark(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin()
            await driver.follow(RELATION)
            driver.version = (await driver.bucket.register(driver.epoch, [SHAPE])).version
            assert await fill(driver, entry(tuple(driver.applied))) is Refusal.NO_WATERMARK

        drive(redis_server, scenario)

    def test_when_asked_for_before_the_first_watermark(self, redis_server: RedisServer) -> None:
        """The query may have missed a commit that is never streamed (H47), even if the answer arrives later."""

        async def scenario(driver: BucketDriver) -> None:
            await driver.begin()
            await driver.follow(RELATION)
            driver.version = (await driver.bucket.register(driver.epoch, [SHAPE])).version
            asked = tuple(driver.applied)
            await driver.watermark(101)
            assert await fill(driver, entry(asked)) is Refusal.BELOW_FLOOR
            assert await fill(driver, entry(tuple(driver.applied))) is Refusal.NONE

        drive(redis_server, scenario)

    def test_from_beyond_the_bucket(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            (q0,) = await warm(driver)
            assert await fill(driver, entry((Position(q0.incarnation, q0.k + 1),))) is Refusal.BEYOND_BUCKET

        drive(redis_server, scenario)

    def test_for_a_relation_that_is_not_followed(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            q0 = await warm(driver)
            other = RELATION + 1
            stored = StoredEntry(q0, (*TAGS, relation_tag(other)), (RELATION, other), (SHAPE.id,), BODY)
            assert await fill(driver, stored) is Refusal.NOT_FOLLOWED

        drive(redis_server, scenario)

    def test_with_a_shape_that_is_not_registered(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            state = await driver.begin_warm()
            assert await fill(driver, entry(state.positions)) is Refusal.SHAPE_NOT_REGISTERED

        drive(redis_server, scenario)

    def test_with_a_shape_registered_after_the_question(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            asked = (await driver.begin_warm()).positions
            await driver.watermark(102)
            driver.version = (await driver.bucket.register(driver.epoch, [SHAPE])).version
            assert await fill(driver, entry(asked)) is Refusal.SHAPE_REGISTERED_LATER
            assert await fill(driver, entry(tuple(driver.applied))) is Refusal.NONE

        drive(redis_server, scenario)

    @pytest.mark.parametrize("which", [0, 1])
    def test_when_a_tag_was_evicted_meanwhile(self, redis_server: RedisServer, which: int) -> None:
        async def scenario(driver: BucketDriver) -> None:
            q0 = await warm(driver)
            assert await driver.evict(TAGS[which]) is Outcome.APPLIED
            assert await fill(driver, entry(q0)) is Refusal.EVICTED
            assert await fill(driver, entry(q0, OTHER_TAGS)) is (Refusal.EVICTED if which else Refusal.NONE)
            assert await fill(driver, entry(tuple(driver.applied))) is Refusal.NONE

        drive(redis_server, scenario)

    def test_when_the_eviction_is_in_the_older_generation(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            q0 = await warm(driver)
            await driver.evict(TAGS[0])
            await driver.client.hset(driver.keys.meta, "rotated", 0)
            assert await driver.bucket.rotate(driver.epoch) is Outcome.APPLIED
            assert await fill(driver, entry(q0)) is Refusal.EVICTED

        drive(redis_server, scenario)

    def test_when_the_relation_was_evicted_as_a_whole(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            q0 = await warm(driver)
            assert await driver.evict(relations=[RELATION]) is Outcome.APPLIED
            assert await fill(driver, entry(q0)) is Refusal.EVICTED
            assert await fill(driver, entry(tuple(driver.applied))) is Refusal.NONE

        drive(redis_server, scenario)

    @pytest.mark.parametrize("generation", [0, 1, None])
    def test_when_a_record_of_evictions_is_lost(self, redis_server: RedisServer, generation: int | None) -> None:
        async def scenario(driver: BucketDriver) -> None:
            q0 = await warm(driver)
            keys = driver.keys
            await driver.client.delete(
                keys.relation_evictions if generation is None else keys.tag_evictions(generation)
            )
            assert await fill(driver, entry(q0)) is Refusal.EVICTIONS_LOST
            outcome = await driver.evict(TAGS[0], relations=[RELATION])
            assert outcome is (Outcome.APPLIED if generation == 1 else Outcome.EVICTIONS_LOST)
            assert await fill(driver, entry((await driver.bucket.state()).positions)) is Refusal.EVICTIONS_LOST
            assert await driver.bucket.rotate(driver.epoch) is Outcome.EVICTIONS_LOST

        drive(redis_server, scenario)

    def test_below_the_floor(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            asked = await warm(driver)
            for _ in range(2):
                await driver.watermark(200)
                await driver.client.hset(driver.keys.meta, "rotated", 0)
                assert await driver.bucket.rotate(driver.epoch) is Outcome.APPLIED
            assert await fill(driver, entry(asked)) is Refusal.BELOW_FLOOR

        drive(redis_server, scenario)


class TestReadMisses:
    """The same clauses at READ: what was valid when it was stored must not outlive it."""

    def test_what_is_absent(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            assert await why_missed(driver) is Refusal.NO_BUCKET
            q0 = await warm(driver)
            reply = await driver.bucket.read(KEY)
            assert reply == ReadMiss(Refusal.ABSENT, driver.epoch, q0, driver.version)

        drive(redis_server, scenario)

    def test_what_is_of_another_epoch(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await fill(driver, entry(await warm(driver)))
            await driver.begin()
            assert await why_missed(driver) is Refusal.OTHER_EPOCH

        drive(redis_server, scenario)

    def test_what_is_of_another_format(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await fill(driver, entry(await warm(driver)))
            await driver.client.hset(driver.keys.entry(KEY), "format", "0/1")
            assert await why_missed(driver) is Refusal.OTHER_FORMAT

        drive(redis_server, scenario)

    @pytest.mark.parametrize("wide", [False, True])
    def test_what_was_evicted_even_if_it_was_not_deleted(self, redis_server: RedisServer, wide: bool) -> None:
        async def scenario(driver: BucketDriver) -> None:
            q0 = await warm(driver)
            await fill(driver, entry(q0))
            await fill(driver, entry(q0))
            await driver.client.delete(*map(driver.keys.index, TAGS))  # the index is lost: positions decide alone
            await driver.evict(*([] if wide else TAGS[:1]), relations=[RELATION] if wide else [])
            assert await driver.client.exists(driver.keys.entry(KEY))
            assert await why_missed(driver) is Refusal.EVICTED

        drive(redis_server, scenario)

    def test_what_rests_on_a_lost_registration(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await fill(driver, entry(await warm(driver)))
            await driver.client.delete(driver.keys.shapes)
            assert await why_missed(driver) is Refusal.SHAPE_NOT_REGISTERED
            await driver.watermark(300)
            await driver.bucket.register(driver.epoch, [SHAPE])
            assert await why_missed(driver) is Refusal.SHAPE_REGISTERED_LATER

        drive(redis_server, scenario)

    def test_what_is_below_the_floor(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await fill(driver, entry(await warm(driver)))
            for _ in range(2):
                await driver.watermark(200)
                await driver.client.hset(driver.keys.meta, "rotated", 0)
                await driver.bucket.rotate(driver.epoch)
            assert await why_missed(driver) is Refusal.BELOW_FLOOR

        drive(redis_server, scenario)

    def test_all_after_a_record_of_evictions_is_lost(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await fill(driver, entry(await warm(driver)))
            await driver.client.delete(driver.keys.tag_evictions(1))
            assert await why_missed(driver) is Refusal.EVICTIONS_LOST

        drive(redis_server, scenario)


def test_each_relation_is_compared_in_its_own_partition(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        relations = [RELATION, RELATION + 1, RELATION + 2]  # one in each of three partitions
        assert sorted(relation % 3 for relation in relations) == [0, 1, 2]
        await driver.begin_warm(*relations)
        q0 = tuple(driver.applied)
        for number, relation in enumerate(relations):
            stored = StoredEntry(q0, (relation_tag(relation),), (relation,), (), BODY)
            assert await driver.bucket.fill(driver.epoch, q0, bytes([number]), stored) is Refusal.NONE
        await driver.client.delete(*(driver.keys.index(relation_tag(relation)) for relation in relations))
        middle = relations[1]
        for _ in range(3):  # its position rises above those of the other partitions
            await driver.evict(relation_tag(middle), partition=middle % 3)
        found = [await why_missed(driver, bytes([number])) for number in range(3)]
        assert found == [Refusal.NONE, Refusal.EVICTED, Refusal.NONE]
        assert Position(INCARNATION, 0) < q0[0]

    drive(redis_server, scenario, partitions=3)


def test_lsns_above_what_a_double_holds_are_compared_exactly(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        driver.applied = [Position(Lsn(2**63 + 8), 2**60)]
        q0 = await warm(driver)
        await driver.evict(TAGS[0])
        assert await fill(driver, entry(q0)) is Refusal.EVICTED
        assert await fill(driver, entry(tuple(driver.applied))) is Refusal.NONE
        await driver.watermark(2**63 + 9)
        await driver.watermark(2**63 + 8)
        assert (await driver.bucket.state()).watermark == 2**63 + 9

    drive(redis_server, scenario)
