"""The stack as a user of Redis who may do what is documented and nothing else; and one who may not do all of it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from services.installation.store_check import redis_findings
from services.shared.keyspace.scripts import Bucket, BucketUnavailable
from services.shared.redis_client import connect
from services.shared.redis_rights import acl_rule, triable
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
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


@dataclass(frozen=True, slots=True)
class _Stage:
    """The stack on a Redis that it reaches by TLS, as the user with the least rights.

    Attributes:
        cached: Postgres and the stack.
        client: The administrator of that Redis.
    """

    cached: ProxiedPostgres
    client: Any  # not typed

    def refused(self) -> set[str]:
        """Return what Redis has refused our user so far."""
        return {entry["object"] for entry in self.client.acl_log()}

    def holds_answers(self) -> bool:
        """Tell whether an answer is in Redis."""
        return bool(self.client.keys(f"{_PREFIX}1:e:*"))

    def is_forwarded(self, reason: str, read: Callable[[], object]) -> bool:
        """Read, and tell whether Postgres was asked for this reason."""
        before = self.cached.forwarded(reason)
        read()
        return self.cached.forwarded(reason) > before


@pytest.fixture(scope="module")
def stage() -> Iterator[_Stage]:
    """A stack with a table `t` of one row."""
    authority, port = Authority(), free_port()
    own, us = authority.issue("localhost"), authority.issue(common_name="tidegate")
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
        ):
            yield _Stage(cached, client)
            assert "let me in" not in cached.stack.process.log()


def test_the_stack_runs_with_the_documented_rule_by_tls(stage: _Stage) -> None:
    """Every service, a read, its eviction, what is kept in Redis; Redis refuses nothing meanwhile."""
    cached = stage.cached
    with cached.connect() as connection:
        read = lambda: connection.execute("SELECT v FROM t WHERE id = 1").fetchone()  # noqa: E731 - used thrice
        cached.wait_cached(read)
        wait_until(stage.holds_answers, "an answer in Redis", 10)
        cached.server.execute("UPDATE t SET v = 2")
        wait_until(lambda: connection.execute("SELECT v FROM t WHERE id = 1").fetchone() == (2,), "the eviction", 10)
        cached.wait_cached(read)
    assert stage.refused() <= {"config|get"}  # which check asks for as well, and can do without


def test_a_policy_that_becomes_unsound_stops_the_cache_by_its_name_until_it_is_mended(stage: _Stage) -> None:
    """Our user may not see CONFIG: INFO says it too."""
    cached = stage.cached
    with cached.connect() as connection:
        read = lambda: connection.execute("SELECT v FROM t WHERE id = 1").fetchone()  # noqa: E731 - used thrice
        cached.wait_cached(read)
        stage.client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            wait_until(lambda: stage.is_forwarded("memory_policy", read), "reads to be forwarded", 10)
            assert not cached.is_hit(read)
            log = cached.stack.process.log
            wait_until(lambda: "set it to volatile-lru" in log(), "the services to say what to set", 10)
        finally:
            stage.client.config_set("maxmemory-policy", "volatile-lru")
        cached.wait_cached(read)
    assert stage.refused() <= {"config|get"}


def test_what_must_stay_has_no_time_to_live(stage: _Stage) -> None:
    """Under a volatile-* policy Redis deletes only what has one: answers and the indexes of tags."""
    cached = stage.cached
    with cached.connect() as connection:
        cached.wait_cached(lambda: connection.execute("SELECT v FROM t WHERE id = 1").fetchone())
        wait_until(stage.holds_answers, "an answer in Redis", 10)
    mortal = {key.decode() for key in stage.client.scan_iter("*") if stage.client.ttl(key) != -1}

    assert mortal == {key.decode() for kind in "ei" for key in stage.client.scan_iter(f"{_PREFIX}1:{kind}:*")}
    for name in ("1:m", "1:l0", "1:l1", "1:g", "1:r", "1:t", "1:f:0", "log", "log:0"):
        assert stage.client.exists(f"{_PREFIX}{name}"), name
