"""Every part is stopped, or killed, and started again: what was cached stays so if nothing was missed, and is said."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest
from redis import Redis

from tests.integration.proxied_postgres import DURABLE
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.redis import RedisServer
from tests.servers.stack import RunningStack, running_stack

_SQL = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 20) i"
_READ = "SELECT v FROM t WHERE id = %s"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(**DURABLE) as server:
        server.execute(_SQL)
        yield server


@contextmanager
def _stack(server: PostgresServer, redis: RedisServer, **settings: str) -> Iterator[RunningStack]:
    environ = {f"TIDEGATE_{name.upper()}": value for name, value in settings.items()}
    with running_stack(server.url(), "--workers", "1", environ={"TIDEGATE_REDIS_URL": redis.url, **environ}) as stack:
        yield stack


def _read_all(stack: RunningStack) -> list[int]:
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        rows = [connection.execute(_READ, [number]).fetchone() for number in range(1, 21)]
    return [row[0] for row in rows if row is not None]


def _from_redis(stack: RunningStack) -> float:
    return stack.counter("tidegate_proxy_hits_l2_total")


def _fill(stack: RunningStack, redis: RedisServer) -> None:
    """Have all rows in Redis: an answer is handed on once the catalog has confirmed it."""

    def stored() -> bool:
        before = stack.counter("tidegate_proxy_hits_total")
        _read_all(stack)
        return stack.counter("tidegate_proxy_hits_total") - before == 20

    wait_until(stored, "all rows to be cached", 20)
    with Redis.from_url(redis.url) as client:
        wait_until(lambda: len(client.keys("*:e:*")) >= 20, "all rows to be in redis", 20)


def _come_back(stack: RunningStack, server: PostgresServer) -> None:
    """Read as soon as something is served, and see that it is right."""
    expected = [value for (value,) in server.execute("SELECT v FROM t ORDER BY id")]

    def serves() -> bool:
        assert _read_all(stack) == expected
        return _from_redis(stack) > 0 or stack.counter("tidegate_proxy_hits_total") > 0

    wait_until(serves, "something to be served", 20)


def test_after_a_clean_stop_the_cache_is_warm(server: PostgresServer, valkey: RedisServer) -> None:
    with _stack(server, valkey, keep="true") as stack:
        _fill(stack, valkey)
    server.execute("UPDATE t SET v = v + 1 WHERE id <= 5")
    with _stack(server, valkey, keep="true") as stack:
        _come_back(stack, server)
        assert _from_redis(stack) >= 10
        log = stack.process.log()
        assert "nothing was missed" in log
        assert "the cache is cold" not in log


def test_after_every_part_was_killed_the_cache_is_warm(server: PostgresServer, valkey: RedisServer) -> None:
    with _stack(server, valkey) as stack:
        _fill(stack, valkey)
        before = stack.processes
        for name in before:
            os.kill(before[name], signal.SIGKILL)
        server.execute("UPDATE t SET v = v + 1 WHERE id <= 5")
        wait_until(lambda: set(stack.processes.values()).isdisjoint(before.values()), "new processes", 30)
        wait_until(partial(_answers, stack), "the proxy", 30)
        _come_back(stack, server)
        assert _from_redis(stack) >= 10
        assert "the cache is cold" not in stack.process.log().partition("killed")[2]


def _answers(stack: RunningStack) -> bool:
    try:
        psycopg.connect(stack.database_url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def test_after_a_history_without_us_the_cache_is_cold_and_says_why(server: PostgresServer, valkey: RedisServer) -> None:
    """Without `keep` the slot goes with a clean stop: what was written meanwhile is on no stream."""
    with _stack(server, valkey) as stack:
        _fill(stack, valkey)
    server.execute("UPDATE t SET v = v + 1 WHERE id <= 5")
    with _stack(server, valkey) as stack:
        _come_back(stack, server)
        assert _from_redis(stack) == 0
        assert "the cache is cold" in stack.process.log()
