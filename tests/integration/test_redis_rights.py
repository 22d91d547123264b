"""The stack as a user of Redis who may do what is documented and nothing else; and one who may not do all of it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from services.installation.store_check import redis_findings
from services.shared.keyspace.scripts import Bucket, BucketUnavailable
from services.shared.redis_client import connect
from services.shared.redis_rights import acl_rule, triable
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings
from tests.integration.proxied_postgres import proxied_postgres
from tests.servers.certificates import Authority
from tests.servers.processes import free_port, wait_until
from tests.servers.redis import FLAVOURS, RedisServer

_PREFIX = "tidegate:{default}:"
_PASSWORD = "let me in/@:&"
_QUOTED = "let%20me%20in%2F%40%3A%26"


def _allow(server: RedisServer, rule: str, *more: str) -> None:
    """Have the server know the user `tidegate`, who may do this and nothing else."""
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "tidegate", "reset", "on", f">{_PASSWORD}", *rule.split(), *more)


def _settings(server: RedisServer) -> CacheSettings:
    url = f"redis://tidegate:{_QUOTED}@127.0.0.1:{server.port}/0"
    return CacheSettings(name="default", database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=url)


def _check(server: RedisServer) -> list[Finding]:
    return asyncio.run(redis_findings(_settings(server), None))


@pytest.fixture(scope="module", params=FLAVOURS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server whose users are this module's."""
    with RedisServer(request.param) as started:
        yield started


def test_the_documented_rule_is_all_that_check_asks_for(server: RedisServer) -> None:
    _allow(server, acl_rule(_PREFIX, cluster=False))

    assert [finding.level for finding in _check(server)] == [Level.OK]


def test_every_right_that_is_missing_is_named(server: RedisServer) -> None:
    for right in triable(cluster=False):
        _allow(server, acl_rule(_PREFIX, cluster=False), f"-{right.command.replace(' ', '|')}")
        (finding,) = _check(server)
        assert finding.level is Level.FAIL
        assert f"lacks rights to: {right.command}" in finding.text
        assert "ACL SETUSER" in finding.remedy
        assert acl_rule(_PREFIX, cluster=False) in finding.remedy


@pytest.mark.parametrize(
    ("rule", "named"),
    [("resetkeys", f"the keys {_PREFIX}*"), ("resetchannels", f"the channel {_PREFIX}cancel"), ("-multi", "multi")],
)
def test_keys_and_channel_that_are_missing_are_named(server: RedisServer, rule: str, named: str) -> None:
    _allow(server, acl_rule(_PREFIX, cluster=False), rule)

    (finding,) = _check(server)
    assert f"lacks rights to: {named}" in finding.text
    with redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 0  # trying has left nothing


def test_a_service_names_what_it_may_not_do(server: RedisServer) -> None:
    _allow(server, acl_rule(_PREFIX, cluster=False), "-hgetall")

    async def look() -> str:
        client = connect(_settings(server).redis_url.get_secret_value(), _PREFIX, 2.0, 2.0)
        try:
            with pytest.raises(BucketUnavailable) as refusal:
                await Bucket(client, "default", 1).state()
        finally:
            await client.aclose()
        return str(refusal.value)

    said = asyncio.run(look())
    assert "'hgetall'" in said
    assert "docs/redis.md" in said


def test_the_stack_runs_with_the_documented_rule_by_tls() -> None:
    """Every service, a read, its eviction, what is kept in Redis, and the end; Redis has refused nothing meanwhile."""
    authority = Authority()
    own, us = authority.issue("localhost"), authority.issue(common_name="tidegate")
    port = free_port()
    files = {"tls_cert_file": own.certificate, "tls_key_file": own.key, "tls_ca_cert_file": authority.certificate}
    with RedisServer("redis", tls_port=port, **{name: str(path) for name, path in files.items()}) as server:
        _allow(server, acl_rule(_PREFIX, cluster=False))
        url = (
            f"rediss://tidegate:{_QUOTED}@localhost:{port}/0?ssl_ca_certs={authority.certificate}"
            f"&ssl_certfile={us.certificate}&ssl_keyfile={us.key}"
        )
        sql = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)"
        with (
            redis.Redis.from_url(server.url) as client,
            proxied_postgres(sql=sql, environ={"TIDEGATE_REDIS_URL": url}) as cached,
            cached.connect() as connection,
        ):
            read = lambda: connection.execute("SELECT v FROM t WHERE id = 1").fetchone()  # noqa: E731 - used thrice
            cached.wait_cached(read)
            wait_until(lambda: any(client.scan_iter(f"{_PREFIX}1:e:*")), "an answer in Redis", 10)
            cached.server.execute("UPDATE t SET v = 2")
            wait_until(lambda: read() == (2,), "the eviction", 10)
            cached.wait_cached(read)
            assert "let me in" not in cached.stack.process.log()
        with redis.Redis.from_url(server.url) as client:
            log: Any = client  # not typed
            refused = {entry["object"] for entry in log.acl_log()}
    assert refused <= {"config|get"}  # which check asks for as well, and can do without
