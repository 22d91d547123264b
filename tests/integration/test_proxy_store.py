"""L2 under a burst: however many look-ups and fills there are, Redis sees few connections and every one is answered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from services.proxy.cache.store import Store
from services.shared.keyspace.scripts import Bucket, EntryHit, Fill, StoredEntry
from services.shared.redis_client import Part, connect
from services.shared.relation import relation_tag
from tests.chaos.network import Network
from tests.integration.bucket_driver import CACHE, RELATION, BucketDriver, driven_bucket, until
from tests.servers.redis import RedisServer

_BURST = 3_000
_FEW_CONNECTIONS = 8
_PATIENT_SECONDS = 5.0
"""Longer than a burst takes on a busy machine: the tests below are about connections, not about time."""


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server whose connections are only the test's."""
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def _running(driver: BucketDriver) -> AsyncIterator[Store]:
    store = Store(driver.bucket, _PATIENT_SECONDS)
    running = asyncio.create_task(store.run())
    try:
        yield store
    finally:
        running.cancel()


def _drive(server: RedisServer, scenario: Callable[[BucketDriver, Store], Awaitable[None]]) -> None:
    async def run() -> None:
        async with driven_bucket(server.url) as driver:
            await driver.begin_warm()
            async with _running(driver) as store:
                await scenario(driver, store)

    asyncio.run(run())


def _fill(driver: BucketDriver, number: int, size: int = 20) -> Fill:
    q0 = tuple(driver.applied)
    body = str(number).encode().ljust(size, b".")
    return Fill(driver.epoch, q0, _key(number), StoredEntry(q0, (relation_tag(RELATION),), (RELATION,), (), body))


def _key(number: int) -> bytes:
    return b"key %d" % number


async def _connections(driver: BucketDriver) -> int:
    return int((await driver.client.info("clients"))["connected_clients"])


def test_a_burst_of_fills_is_stored_over_few_connections(own_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver, store: Store) -> None:
        for number in range(_BURST):
            store.put(_fill(driver, number))

        async def all_stored() -> bool:
            assert store.available
            assert await _connections(driver) < _FEW_CONNECTIONS
            return store.stored == _BURST

        await until(all_stored, _PATIENT_SECONDS)
        assert store.refused == {}
        found = await store.get(_key(_BURST - 1))
        assert found is not None
        assert found.entry.body.startswith(b"%d." % (_BURST - 1))

    _drive(own_server, scenario)


def test_a_burst_of_look_ups_is_answered_over_few_connections(own_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver, store: Store) -> None:
        await driver.bucket.fill_all([_fill(driver, number) for number in range(100)])

        found = await asyncio.gather(*(store.get(_key(number)) for number in range(_BURST)))

        assert [each is not None for each in found] == [number < 100 for number in range(_BURST)]
        bodies = [each.entry.body.rstrip(b".") for each in found if isinstance(each, EntryHit)]
        assert bodies == [str(number).encode() for number in range(100)]
        assert store.available
        assert await _connections(driver) < _FEW_CONNECTIONS

    _drive(own_server, scenario)


def test_large_answers_go_out_in_small_rounds_and_none_is_lost(own_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver, store: Store) -> None:
        for number in range(10):
            store.put(_fill(driver, number, size=700_000))

        async def all_stored() -> bool:
            return store.stored == 10

        await until(all_stored, _PATIENT_SECONDS)

    _drive(own_server, scenario)


def test_fills_that_find_no_memory_are_counted_and_look_ups_go_on(own_server: RedisServer) -> None:
    async def scenario(driver: BucketDriver, store: Store) -> None:
        store.put(_fill(driver, 1))
        await until(lambda: _is(lambda: store.stored == 1))
        await driver.client.config_set("maxmemory-policy", "noeviction")
        await driver.client.config_set("maxmemory", "1mb")
        for number in range(2, 80):
            store.put(_fill(driver, number, size=50_000))

        await until(lambda: _is(lambda: store.stored + store.refused.get("out_of_memory", 0) == 79))

        assert store.refused["out_of_memory"] > 0
        assert store.available
        assert await store.get(_key(1)) is not None

    _drive(own_server, scenario)


def test_a_redis_that_takes_long_to_connect_to_and_not_to_answer_is_used(own_server: RedisServer) -> None:
    """Connecting takes several round trips, with TLS and Sentinels many, and may take longer than a look-up."""

    async def run(network: Network) -> None:
        async with driven_bucket(own_server.url) as driver:
            await driver.bucket.load()  # as the invalidator does
        link = network.link(own_server.port)
        link.slow(0.15)
        client = connect(f"redis://127.0.0.1:{link.port}/0", "tidegate:{shop}:", 1.0, None, Part.PROXY)
        store = Store(Bucket(client, CACHE, 1), time_out=0.45)
        running = asyncio.create_task(store.run())
        try:
            assert await store.get(_key(1)) is None
            assert not store.available
            await until(lambda: _is(lambda: store.available))
            await store.get(_key(1))
            assert store.available
        finally:
            running.cancel()
            await asyncio.wait({running})
            await client.aclose()

    with Network() as network:
        asyncio.run(run(network))


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()
