"""What a bucket takes in memory is bounded, and what a full Redis throws away ends in a miss, never in a stale hit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from services.shared.keyspace.scripts import EntryHit, Fill, Outcome, StoredEntry
from tests.integration.bucket_driver import RELATION, BucketDriver, driven_bucket
from tests.servers.redis import RedisServer

_BODY_BYTES = 4_000
_ANSWERS = 4_000  # of which a Redis of 8 MB holds some 1,500
_ROUND = 100


@pytest.fixture(scope="module")
def small_server() -> Iterator[RedisServer]:
    """A server with little memory."""
    with RedisServer("valkey") as server:
        yield server


def _drive(server: RedisServer, scenario: Callable[[BucketDriver], Awaitable[None]]) -> None:
    async def run() -> None:
        async with driven_bucket(server.url) as driver:
            await driver.client.config_set("maxmemory", 0)
            await driver.client.flushall()
            await scenario(driver)

    asyncio.run(run())


def _tag(number: int) -> str:
    return f"{RELATION}:{number:08x}"


def _key(number: int) -> bytes:
    return number.to_bytes(4, "big")


async def _fill(driver: BucketDriver, numbers: range, tag: Callable[[int], str] = _tag) -> int:
    """Store answers, and return how many were taken."""
    q0, taken = (await driver.bucket.state()).positions, 0
    for first in range(numbers.start, numbers.stop, _ROUND):
        fills = [
            Fill(driver.epoch, q0, _key(number), StoredEntry(q0, (tag(number),), (RELATION,), (), bytes(_BODY_BYTES)))
            for number in range(first, min(first + _ROUND, numbers.stop))
        ]
        taken += sum(not refusal for refusal in await driver.bucket.fill_all(fills))
    return taken


async def _hits(driver: BucketDriver, numbers: range) -> int:
    replies = await driver.bucket.read_all([_key(number) for number in numbers])
    return sum(isinstance(reply, EntryHit) for reply in replies)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])
def test_what_a_volatile_policy_throws_away_is_a_miss(small_server: RedisServer, policy: str) -> None:
    """Answers and indexes go, in any order; evictions are still noted, before, while and after they do."""

    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        await driver.client.config_set("maxmemory", "8mb")
        await driver.client.config_set("maxmemory-policy", policy)
        for first in range(0, _ANSWERS, 1_000):
            assert await _fill(driver, range(first, first + 1_000)) == 1_000
            assert await driver.evict(*map(_tag, range(first, first + 1_000, 2))) is Outcome.APPLIED
            assert await driver.watermark(1_000 + first) is Outcome.APPLIED
        info = await driver.client.info("stats")
        assert info["evicted_keys"] > 1_000
        assert await _hits(driver, range(0, _ANSWERS, 2)) == 0
        assert 0 < await _hits(driver, range(1, _ANSWERS, 2)) < _ANSWERS // 2
        keys = [key async for key in driver.client.scan_iter(count=1_000)]
        lasting = {key.decode() for key in keys if await driver.client.ttl(key) == -1}
        assert {f"{driver.keys.prefix}{name}" for name in ("m", "l0", "l1", "g", "r", "t", "f:0")} == lasting

    _drive(small_server, scenario)


def test_an_index_is_no_larger_than_twice_what_is_alive(small_server: RedisServer) -> None:
    """Answers of a much-read table that run out of time leave their names behind."""

    async def scenario(driver: BucketDriver) -> None:
        await driver.begin_warm()
        index = driver.keys.index(_tag(0))
        for first in range(0, 1_200, 3):
            await _fill(driver, range(first, first + 3), lambda _: _tag(0))
            await driver.client.delete(*(driver.keys.entry(_key(number)) for number in (first, first + 1)))
        assert 400 <= await driver.client.scard(index) <= 800

    _drive(small_server, scenario)
