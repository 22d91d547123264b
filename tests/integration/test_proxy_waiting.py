"""Sessions that wait for another session's query: they are no worse off than with a query of their own."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from psycopg import errors

from tests.integration.proxied_postgres import Connection, ProxiedPostgres
from tests.servers.processes import wait_until

_READ = "SELECT count(*) FROM orders WHERE id > {}"


@contextmanager
def _locked(cached: ProxiedPostgres) -> Iterator[None]:
    """Have every read of `orders` wait."""
    with cached.server.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        yield


def _active(cached: ProxiedPostgres, sql: str) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"
    with cached.server.connect() as connection:
        row = connection.execute(query, [sql]).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def _led(cached: ProxiedPostgres, sql: str) -> Iterator[None]:
    """Have another session run a read that waits for a lock, so that this one's equal read joins it."""
    with cached.connect() as leader, ThreadPoolExecutor(1) as pool:
        found: Future[object]
        with _locked(cached):
            found = pool.submit(lambda: leader.execute(sql).fetchone())
            wait_until(lambda: _active(cached, sql) == 1, "the leader's query to wait")
            yield
        assert found.result(20) is not None


@pytest.mark.parametrize("in_block", [False, True])
def test_a_follower_has_its_own_statement_timeout(cached: ProxiedPostgres, in_block: bool) -> None:
    sql = _READ.format(2 + in_block)
    with cached.connect() as follower:
        follower.execute("SET statement_timeout = '500ms'")
        with _led(cached, sql):
            if in_block:
                follower.execute("BEGIN")
            started = time.monotonic()
            with pytest.raises(errors.QueryCanceled, match="canceling statement due to statement timeout"):
                follower.execute(sql)
            assert 0.4 < time.monotonic() - started < 5
            assert _active(cached, sql) == 1  # the follower asked Postgres for nothing
            if in_block:
                with pytest.raises(errors.InFailedSqlTransaction):
                    follower.execute("SELECT 1")
                follower.execute("ROLLBACK")
            assert follower.execute("SELECT 1").fetchone() == (1,)
        assert _reads(follower, sql)


def _reads(connection: Connection, sql: str) -> bool:
    return connection.execute(sql).fetchone() is not None
