"""Whoever is the primary is found, and found again: under Sentinels, and in a Redis Cluster."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
import redis.asyncio
from redis.exceptions import RedisError

from services.installation.store_check import redis_findings
from services.shared.keyspace.scripts import BucketUnavailable, EntryHit, Outcome, Refusal, StoredEntry
from services.shared.redis_client import connect
from services.shared.redis_rights import acl_rule
from services.shared.relation import relation_tag
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings
from tests.integration.bucket_driver import CACHE, RELATION, BucketDriver, until
from tests.servers.redis import RedisServer
from tests.servers.redis_groups import SERVICE, RedisCluster, SentinelGroup

_PREFIX = f"tidegate:{{{CACHE}}}:"
_TAG = relation_tag(RELATION)
_KEY = b"key"
_NOT_NEEDED = ("l1", "t", "e", "i")  # by an eviction


@pytest.fixture(scope="module")
def group() -> Iterator[SentinelGroup]:
    """Two of Debian's Redis under Sentinels that ask for a password."""
    with SentinelGroup("redis", password="sesame") as started:
        yield started


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Valkeys."""
    with RedisCluster(_PREFIX) as started:
        yield started


@asynccontextmanager
async def _client(url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    client = connect(url, _PREFIX, 2.0, 2.0)
    try:
        yield client
    finally:
        await client.aclose()


async def _port(client: "redis.asyncio.Redis") -> int:
    """Return the port of the server that a client speaks to; 0: it speaks to none just now."""
    with suppress(RedisError, OSError):
        return int((await client.info("server"))["tcp_port"])
    return 0


async def _writes_to(client: "redis.asyncio.Redis", server: RedisServer) -> bool:
    with suppress(RedisError, OSError):
        return bool(await client.set(f"{_PREFIX}x", "1")) and await _port(client) == server.port
    return False


class TestSentinels:
    def test_the_primary_is_found_after_a_fail_over(self, group: SentinelGroup) -> None:
        async def scenario() -> None:
            async with _client(group.url) as client:
                assert await _writes_to(client, group.primary)
                await asyncio.to_thread(group.fail_over)  # which waits until another one is the primary
                # On a busy machine the Sentinels may give up that one as well, and be back where they were.
                await until(lambda: _writes_to(client, group.primary))

        asyncio.run(scenario())

    def test_a_primary_that_goes_on_after_it_was_replaced_is_left(self, group: SentinelGroup) -> None:
        """Split brain: no connection is closed, and nothing that is read fails."""

        async def scenario() -> None:
            old, new = group.primary, group.replica
            async with _client(group.url) as client:
                assert await _port(client) == old.port
                group.replace_behind_its_back()
                await until(lambda: _is(client, new))
                async with _client(old.url) as there:
                    assert (await there.role())[0] == b"master"

        asyncio.run(scenario())

    def test_what_is_wrong_is_explained(self, group: SentinelGroup) -> None:
        wrong = {
            group.url.replace(f"/{SERVICE}/", "/other/"): "do not know the service",
            group.url.replace("sesame", "guess"): "The password for Redis",
        }
        for url, sentence in wrong.items():
            cache = CacheSettings(name=CACHE, database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=url)
            (finding,) = asyncio.run(redis_findings(cache, None))
            assert sentence in finding.text
            assert "sesame" not in str(finding)
            assert "guess" not in str(finding)


async def _is(client: "redis.asyncio.Redis", server: RedisServer) -> bool:
    return await _port(client) == server.port


def _drive(cluster: RedisCluster, scenario: Callable[[BucketDriver], Awaitable[None]]) -> None:
    async def run() -> None:
        async with _client(cluster.url) as client:
            await client.flushall()
            await scenario(BucketDriver(client, 1, 600.0))

    asyncio.run(run())


async def _fill(driver: BucketDriver, key: bytes = _KEY) -> Refusal:
    q0 = (await driver.bucket.state()).positions
    return await driver.bucket.fill(driver.epoch, q0, key, StoredEntry(q0, (_TAG,), (RELATION,), (), b"body"))


async def _is_served(driver: BucketDriver) -> bool:
    return isinstance(await driver.bucket.read(_KEY), EntryHit)


class TestCluster:
    def test_the_primary_of_our_slot_is_found_after_a_fail_over(self, cluster: RedisCluster) -> None:
        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            assert await _fill(driver) is Refusal.NONE
            assert await _port(driver.client) == cluster.owner.port
            await asyncio.to_thread(cluster.fail_over)
            await until(lambda: _has_state(driver))
            assert await _is_served(driver)
            assert await driver.evict(_TAG) is Outcome.APPLIED
            assert not await _is_served(driver)
            assert await _port(driver.client) == cluster.spare.port

        _drive(cluster, scenario)

    @pytest.mark.parametrize("moved", ["m", "l0", "l1", "g", "r", "t", "f:0", "e", "i"])
    def test_while_our_slot_is_moved_nothing_is_half_done(self, cluster: RedisCluster, moved: str) -> None:
        """One key is on the other node already: what would need it there is refused, and done afterwards."""

        async def scenario(driver: BucketDriver) -> None:
            await driver.begin_warm()
            assert await _fill(driver) is Refusal.NONE
            key = {"e": driver.keys.entry(_KEY), "i": driver.keys.index(_TAG)}.get(moved, driver.keys.prefix + moved)
            target = cluster.others[0]
            evicted = []

            async def evict() -> None:
                with suppress(BucketUnavailable):
                    evicted.append(await driver.evict(_TAG))
                with suppress(BucketUnavailable):
                    await _fill(driver, b"another")
                with suppress(BucketUnavailable):
                    assert not (evicted and await _is_served(driver))

            loop = asyncio.get_running_loop()
            before = tuple(driver.applied)

            def between() -> None:
                asyncio.run_coroutine_threadsafe(evict(), loop).result()

            await asyncio.to_thread(cluster.move_slot, target, [key], between)
            await until(lambda: _has_state(driver))
            assert await _port(driver.client) == target.port
            assert evicted == ([Outcome.APPLIED] if moved in _NOT_NEEDED else [])
            if not evicted:
                driver.applied = list(before)
                assert await driver.evict(_TAG) is Outcome.APPLIED
            assert not await _is_served(driver)
            assert [item.tags for item in await driver.items(before)] == [(_TAG,)]
            assert (await driver.bucket.state()).positions == tuple(driver.applied)

        _drive(cluster, scenario)

    def test_the_documented_rule_is_all_that_check_asks_for(self, cluster: RedisCluster) -> None:
        for node in (*cluster.nodes, cluster.spare):
            with redis.Redis.from_url(node.url) as client:
                rule = acl_rule(_PREFIX, cluster=True).split()
                client.execute_command("ACL", "SETUSER", "tidegate", "reset", "on", ">p", *rule)
        url = cluster.url.replace("redis+cluster://", "redis+cluster://tidegate:p@")
        assert [finding.level for finding in _check(url)] == [Level.OK]

    def test_a_url_that_takes_it_for_one_server_is_explained(self, cluster: RedisCluster) -> None:
        for node in (cluster.others[0], cluster.owner):
            (finding,) = _check(node.url)
            assert finding.level is Level.FAIL
            assert "redis+cluster://" in finding.remedy


def _check(url: str) -> list[Finding]:
    cache = CacheSettings(name=CACHE, database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=url)
    return asyncio.run(redis_findings(cache, None))


async def _has_state(driver: BucketDriver) -> bool:
    try:
        return bool((await driver.bucket.state()).bucket_epoch)
    except BucketUnavailable:
        return False
