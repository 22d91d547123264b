"""What Redis may lose, refuse or forget, and that none of it leaves a stale answer. Consistency contract, section 6."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.shared.keyspace.feed import Feed, FeedKind
from services.shared.keyspace.scripts import (
    Bucket,
    BucketUnavailable,
    EntryHit,
    Outcome,
    ReadMiss,
    Refusal,
    StoredEntry,
)
from services.shared.keyspace.state import absent_bucket
from services.shared.lsn import Lsn
from services.shared.position import START
from services.shared.relation import Shape, ShapeColumn, relation_tag
from tests.integration.bucket_driver import CACHE, INCARNATION, RELATION, BucketDriver, at, driven_bucket, until
from tests.servers.processes import free_port
from tests.servers.redis import FLAVOURS, RedisServer

TAG = relation_tag(RELATION)
KEY = b"key"
FILL_STREAM = "for k = ARGV[2], ARGV[3] do redis.call('XADD', KEYS[1], ARGV[1] .. '-' .. k, 'x', 'y') end"


@pytest.fixture(params=FLAVOURS)
def own_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    with RedisServer(request.param) as server:
        yield server


def drive(server: RedisServer, scenario: Callable[[BucketDriver], Awaitable[None]]) -> None:
    async def run() -> None:
        async with driven_bucket(server.url) as driver:
            await scenario(driver)

    asyncio.run(run())


async def fill(driver: BucketDriver) -> Refusal:
    q0 = (await driver.bucket.state()).positions
    stored = StoredEntry(q0, (TAG,), (RELATION,), (), b"body")
    return await driver.bucket.fill(driver.epoch, q0, KEY, stored)


async def blocked_readers(driver: BucketDriver) -> int:
    return int((await driver.client.info("clients"))["blocked_clients"])


async def restore(driver: BucketDriver, server: RedisServer) -> None:
    """Lose everything since the last snapshot."""
    server.kill()
    server.start()
    await driver.client.connection_pool.disconnect()


def test_a_lost_suffix_is_noticed_and_applied_again(own_server: RedisServer) -> None:
    """An old snapshot brings the entry back together with the position at which it was right."""

    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        assert await fill(driver) is Refusal.NONE
        kept = await driver.bucket.state()
        await driver.client.save()
        await driver.evict(TAG)
        await driver.watermark(900)
        assert isinstance(await driver.bucket.read(KEY), ReadMiss)

        await restore(driver, own_server)
        assert await driver.bucket.state() == kept  # so nothing is covered beyond the old watermark
        assert isinstance(await driver.bucket.read(KEY), EntryHit)
        assert await driver.watermark(901) is Outcome.REWIND

        driver.applied = list(kept.positions)
        assert await driver.evict(TAG) is Outcome.APPLIED
        assert await driver.watermark(900) is Outcome.APPLIED
        assert isinstance(await driver.bucket.read(KEY), ReadMiss)

    drive(own_server, scenario)


def test_an_answer_from_beyond_a_lost_suffix_is_refused(own_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        await driver.client.save()
        await driver.watermark(900)
        asked = (await driver.bucket.state()).positions
        await restore(driver, own_server)
        stored = StoredEntry(asked, (TAG,), (RELATION,), (), b"body")
        assert await driver.bucket.fill(driver.epoch, asked, KEY, stored) is Refusal.BEYOND_BUCKET

    drive(own_server, scenario)


def test_a_lost_registration_makes_evictions_reload(own_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        await driver.client.save()
        shape = Shape(RELATION, (ShapeColumn("id", 23),))
        driver.version = (await driver.bucket.register(driver.epoch, [shape])).version
        await restore(driver, own_server)
        assert await driver.evict(TAG) is Outcome.RELOAD
        driver.version = (await driver.bucket.register(driver.epoch, [shape])).version  # never the lost one's again
        driver.applied = list((await driver.bucket.state()).positions)
        assert await driver.evict(TAG) is Outcome.APPLIED

    drive(own_server, scenario)


def test_after_everything_was_deleted_nothing_is_served_or_applied(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        await fill(driver)
        redis_server.flush()  # scripts as well
        assert await driver.bucket.state() == absent_bucket(1)
        reply = await driver.bucket.read(KEY)
        assert reply == ReadMiss(Refusal.NO_BUCKET, "", (), "")
        assert await fill(driver) is Refusal.NO_BUCKET
        assert await driver.evict(TAG) is Outcome.OTHER_EPOCH
        assert await driver.watermark(999) is Outcome.OTHER_EPOCH
        registry = await driver.bucket.register(driver.epoch, [Shape(RELATION)])
        assert (registry.state, registry.shapes) == (absent_bucket(1), {})

    drive(redis_server, scenario)


def test_forgotten_scripts_are_loaded_again_without_a_step_lost_or_doubled(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        before = (await driver.begin_warm()).positions
        await driver.client.script_flush()
        assert await driver.evict(TAG) is Outcome.APPLIED
        await driver.client.script_flush()
        assert await fill(driver) is Refusal.NONE
        await driver.client.script_flush()
        assert isinstance(await driver.bucket.read(KEY), EntryHit)
        assert [item.kind for item in await driver.items(before)] == [FeedKind.EVICT]

    drive(redis_server, scenario)


def test_without_memory_evictions_go_on_and_fills_stop(own_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        assert await fill(driver) is Refusal.NONE
        await driver.client.hset(driver.keys.meta, "rotated", 0)
        await driver.client.config_set("maxmemory-policy", "noeviction")
        await driver.client.config_set("maxmemory", 1)
        assert await fill(driver) is Refusal.OUT_OF_MEMORY
        assert isinstance(await driver.bucket.read(KEY), EntryHit)
        assert await driver.evict(TAG, relations=[RELATION]) is Outcome.APPLIED
        assert await driver.watermark(777) is Outcome.APPLIED
        assert await driver.follow(RELATION) is Outcome.APPLIED
        assert isinstance(await driver.bucket.read(KEY), ReadMiss)
        assert await driver.bucket.rotate(driver.epoch) is Outcome.APPLIED
        assert (await driver.bucket.register(driver.epoch, [Shape(RELATION)])).shapes
        await driver.begin()
        state = await driver.bucket.state()
        assert (state.bucket_epoch, state.watermark) == (driver.epoch, 0)

    drive(own_server, scenario)


def test_an_unreachable_redis_is_said_to_be_so() -> None:
    async def run() -> None:
        client = redis.asyncio.Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
        bucket, feed = Bucket(client, CACHE, 1), Feed(client, CACHE, 1)
        calls: list[Awaitable[object]] = [bucket.state(), bucket.ping(), bucket.read(KEY), feed.read([START], 0.01)]
        for call in calls:
            with pytest.raises(BucketUnavailable):
                await call
        await client.aclose()

    asyncio.run(run())


def test_what_somebody_else_wrote_is_said_to_be_so(redis_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver) -> None:
        await driver.begin()
        await driver.client.xadd(driver.keys.feed(0), {"kind": "rubbish"}, id=driver.milestone().position.stream_id)
        with pytest.raises(BucketUnavailable):
            await driver.items([START])
        await driver.client.hdel(driver.keys.meta, "owner")
        with pytest.raises(BucketUnavailable):
            await driver.bucket.state()
        await driver.client.set(driver.keys.meta, "rubbish")
        with pytest.raises(BucketUnavailable):
            await driver.bucket.read(KEY)

    drive(redis_server, scenario)


def test_a_client_that_decodes_replies_is_refused() -> None:
    async def run() -> None:
        async with redis.asyncio.Redis(decode_responses=True) as client:
            with pytest.raises(ValueError, match="decode_responses"):
                Bucket(client, CACHE, 1)

    asyncio.run(run())


class TestFeed:
    @pytest.mark.parametrize("protocol", [2, 3])
    def test_is_read_whatever_the_protocol(self, redis_server: RedisServer, protocol: int) -> None:
        async def scenario(driver: BucketDriver) -> None:
            before = (await driver.begin_warm()).positions
            await driver.evict(TAG, end=64)
            await driver.watermark(2_001, c=1_992)
            async with redis.asyncio.Redis.from_url(redis_server.url, protocol=protocol) as client:
                feed = Feed(client, CACHE, 1)
                first, second = await feed.read(before, 0.01)
                assert await feed.read([second.position], 0.01) == []
                assert await Bucket(client, CACHE, 1).state() == await driver.bucket.state()
            assert (first.kind, first.tags, first.end_lsn) == (FeedKind.EVICT, (TAG,), 64)
            assert (second.kind, second.prev, second.watermark, second.settled) == (
                FeedKind.WATERMARK,
                first.position,
                2_001,
                1_992,
            )

        drive(redis_server, scenario)

    def test_waits_for_the_next_item(self, redis_server: RedisServer) -> None:
        async def scenario(driver: BucketDriver) -> None:
            after = (await driver.begin_warm()).positions
            waiting = asyncio.create_task(driver.feed.read(after, 5.0))
            await until(lambda: blocked_readers(driver))
            await driver.watermark(2_001)
            (item,) = await asyncio.wait_for(waiting, 5.0)
            assert item.watermark == Lsn(2_001)

        drive(redis_server, scenario)

    def test_is_trimmed(self, redis_server: RedisServer) -> None:
        """Trimming is approximate, in whole nodes: what counts is that the stream does not grow for ever."""

        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            source = driver.keys.feed(0)
            first = driver.applied[0].k + 1
            await driver.client.eval(FILL_STREAM, 1, source, str(INCARNATION), first, first + 100_999)
            driver.applied = [at(driver.applied[0].k + 101_000)]
            await driver.client.hset(driver.keys.meta, "positions", str(driver.applied[0]))
            assert await driver.watermark(5_000) is Outcome.APPLIED
            assert 100_000 <= await driver.client.xlen(source) < 100_500

        drive(redis_server, scenario)
