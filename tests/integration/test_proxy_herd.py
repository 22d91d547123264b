"""Two hundred clients ask the same at once: whatever the cache can or cannot do, Postgres is asked once."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from redis import Redis

from services.shared.keyspace.keys import Keys
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import Answer, WireClient, error, rows
from tests.servers.processes import wait_until

_CLIENTS = 200
_CAPTURE_BYTES = 8 * 1024 * 1024
_ENVIRON = {"TIDEGATE_CATALOG_POLL": "200ms", "TIDEGATE_CAPTURE_BYTES": f"{_CAPTURE_BYTES}"}
_SQL = """
CREATE TABLE things (id int PRIMARY KEY, name text);
INSERT INTO things SELECT i, 'thing ' || i FROM generate_series(1, 5000) i;
CREATE TABLE late (id int PRIMARY KEY);
"""
_READ = "SELECT name FROM things WHERE id = 1"
_RUNNING = "SELECT pid FROM pg_stat_activity WHERE query = %s AND state = 'active'"
_SECONDS = 15.0


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    """A Postgres that writes down each statement."""
    with proxied_postgres(sql=_SQL, environ=_ENVIRON, max_connections=300, log_statement="all") as started:
        yield started


@pytest.fixture(scope="module")
def crowd(proxied: ProxiedPostgres) -> Iterator["_Crowd"]:
    with ExitStack() as stack:
        yield _Crowd(proxied, [stack.enter_context(proxied.wire()) for _ in range(_CLIENTS)])


class _Crowd:
    """The clients."""

    def __init__(self, proxied: ProxiedPostgres, clients: list[WireClient]) -> None:
        self.clients = clients
        self._proxied = proxied

    def ask(self, sql: str, *, but: int = 0) -> None:
        """Have all of them ask, but for so many."""
        for client in self.clients[but:]:
            client.send(Query(sql.encode()))

    def wait_joined(self, count: int) -> None:
        """Wait until so many of them wait for another one's query."""
        waiting = "tidegate_proxy_joined_waiting"
        wait_until(lambda: self._proxied.stack.counter(waiting) == count, f"{count} to have joined", _SECONDS)

    def answers(self, *, but: int = 0) -> list[list[Answer]]:
        """Take the answers of all, but for so many."""
        return [client.read_until("Z") for client in self.clients[but:]]


def _values(answers: list[list[Answer]]) -> set[bytes | None]:
    return {rows(answer)[0][0] for answer in answers}


def _runs(proxied: ProxiedPostgres, sql: str) -> int:
    """Return how often Postgres was asked: by name of the column a statement is a test's own."""
    log = proxied.server.log()
    return log.count(f"statement: {sql}") + log.count(f"execute <unnamed>: {sql}")


@contextmanager
def _locked(proxied: ProxiedPostgres) -> Iterator[None]:
    """Have every read of `things` wait."""
    with proxied.server.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def _frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _wait_ready(proxied: ProxiedPostgres, client: WireClient) -> None:
    proxied.wait_cached(lambda: client.query(_READ))


@contextmanager
def _nothing_wrong(proxied: ProxiedPostgres, client: WireClient) -> Iterator[str]:
    yield "SELECT count(*) AS cold FROM things"


@contextmanager
def _redis_away(proxied: ProxiedPostgres, client: WireClient) -> Iterator[str]:
    with _frozen(proxied.stack.processes["redis"]):
        proxied.server.execute("INSERT INTO late VALUES (-1)")  # on an idle server the last proof holds on
        _wait_forwarded(proxied, client, "not_fresh")
        yield "SELECT count(*) AS away FROM things"


@contextmanager
def _bucket_gone(proxied: ProxiedPostgres, client: WireClient) -> Iterator[str]:
    with _frozen(proxied.stack.processes["invalidator"]), Redis.from_url(proxied.stack.redis_url) as redis:
        redis.delete(Keys("default").meta)
        _wait_forwarded(proxied, client, "no_bucket")
        yield "SELECT count(*) AS gone FROM things"


def _wait_forwarded(proxied: ProxiedPostgres, client: WireClient, reason: str) -> None:
    before = proxied.forwarded(reason)
    wait_until(lambda: client.query(_READ) and proxied.forwarded(reason) > before, f"to be {reason}", _SECONDS)


@pytest.mark.parametrize("state", [_nothing_wrong, _redis_away, _bucket_gone])
def test_a_herd_is_one_query(proxied: ProxiedPostgres, crowd: _Crowd, state: object) -> None:
    assert callable(state)
    _wait_ready(proxied, crowd.clients[0])
    with state(proxied, crowd.clients[0]) as sql:
        with _locked(proxied):
            crowd.ask(sql)
            crowd.wait_joined(_CLIENTS - 1)
        assert len(_values(crowd.answers())) == 1
        assert _runs(proxied, sql) == 1


@pytest.mark.parametrize("way", ["cancelled", "terminated", "gone", "failed"])
def test_where_the_one_that_all_wait_for_fails_one_other_asks_again(
    proxied: ProxiedPostgres, crowd: _Crowd, way: str
) -> None:
    sql = f"SELECT count(*) AS leader_{way} FROM things"
    _wait_ready(proxied, crowd.clients[0])
    with proxied.wire() as leader:
        if way == "failed":
            leader.query("SET statement_timeout = '500ms'")
        with _locked(proxied):
            leader.send(Query(sql.encode()))
            ((pid,),) = wait_until(lambda: proxied.server.execute(_RUNNING, [sql]), "the query to run")
            crowd.ask(sql)
            crowd.wait_joined(_CLIENTS if way != "failed" else _CLIENTS - 1)
            if way == "gone":
                leader.socket.shutdown(socket.SHUT_RDWR)
            elif way != "failed":
                proxied.server.execute(f"SELECT pg_{way.removesuffix('led').removesuffix('d')}_backend(%s)", [pid])
            crowd.wait_joined(_CLIENTS - 1)
        if way in ("cancelled", "failed"):
            assert error(leader.read_until("Z"))["C"] == "57014"
    assert _values(crowd.answers()) == {b"5000"}
    assert _runs(proxied, sql) == 2


def test_a_read_in_a_pipeline_joins_instead_of_going_along(proxied: ProxiedPostgres, crowd: _Crowd) -> None:
    """Behind a read of one's own, which has to go to Postgres."""
    common = "SELECT count(*) AS piped FROM things"
    _wait_ready(proxied, crowd.clients[0])
    with _locked(proxied):
        for number, client in enumerate(crowd.clients[:20]):
            client.send(*_read(f"SELECT name FROM things WHERE id = {1000 + number}"), *_read(common), Sync())
            own = f"SELECT name FROM things WHERE id = {1000 + number}"
            wait_until(lambda own=own: proxied.server.execute(_RUNNING, [own]), "its own to run", _SECONDS)  # type: ignore[misc]
    for client in crowd.clients[:20]:
        assert rows(client.read_until("Z"))[1] == [b"5000"]
    assert _runs(proxied, common) == 1


def _read(sql: str) -> list[FrontendMessage]:
    return [Parse(b"", sql.encode()), Bind(b"", b"", (), (), ()), Execute(b"")]


def test_nobody_waits_for_a_client_that_reads_slowly(proxied: ProxiedPostgres, crowd: _Crowd) -> None:
    """The one that all wait for takes nothing of its answer, which is far more than the sockets between hold."""
    sql = "SELECT repeat('y', 100000) AS slowly FROM things WHERE id <= 60"
    few = _CLIENTS - 4
    _wait_ready(proxied, crowd.clients[0])
    with proxied.wire() as leader:
        with _locked(proxied):
            leader.send(Query(sql.encode()))
            wait_until(lambda: proxied.server.execute(_RUNNING, [sql]), "the query to run")
            crowd.ask(sql, but=few)
            crowd.wait_joined(4)
        assert {len(rows(answer)) for answer in crowd.answers(but=few)} == {60}
        assert _runs(proxied, sql) == 1
        assert len(rows(leader.read_until("Z"))) == 60


def test_nobody_waits_for_an_answer_that_is_too_large_to_share(proxied: ProxiedPostgres, crowd: _Crowd) -> None:
    """Those who joined the first one are told as soon as it has outgrown what is shared; and then nobody joins."""
    sql = "SELECT repeat('x', 100000) AS large FROM things WHERE id <= 90"
    few = _CLIENTS - 4
    _wait_ready(proxied, crowd.clients[0])
    with _locked(proxied):
        crowd.ask(sql, but=few)
        crowd.wait_joined(3)
    assert {len(rows(answer)) for answer in crowd.answers(but=few)} == {90}
    assert _runs(proxied, sql) == 4
    joined = proxied.stack.counter("tidegate_proxy_hits_joined_total")
    with _locked(proxied):
        crowd.ask(sql, but=few)
        wait_until(lambda: len(proxied.server.execute(_RUNNING, [sql])) == 4, "all to ask for themselves", _SECONDS)
    assert {len(rows(answer)) for answer in crowd.answers(but=few)} == {90}
    assert proxied.stack.counter("tidegate_proxy_hits_joined_total") == joined


def test_who_wrote_meanwhile_asks_again_and_once_for_all_who_did(proxied: ProxiedPostgres, crowd: _Crowd) -> None:
    sql = "SELECT count(*) AS wrote FROM things"
    writers, others = crowd.clients[:5], crowd.clients[5:]
    _wait_ready(proxied, crowd.clients[0])
    with _locked(proxied):
        crowd.ask(sql, but=len(writers))
        crowd.wait_joined(len(others) - 1)
        for number, writer in enumerate(writers):
            writer.query(f"INSERT INTO late VALUES ({number})")
        for writer in writers:
            writer.send(Query(sql.encode()))
        crowd.wait_joined(len(writers) - 1)  # of the newer query; the older one has no others
    assert _values(crowd.answers()) == {b"5000"}
    assert _runs(proxied, sql) == 2


def test_an_eviction_in_the_middle_of_a_herd_leaves_nothing_old_behind(proxied: ProxiedPostgres, crowd: _Crowd) -> None:
    """What they wait for was sent before the change: it is theirs, and is not kept."""
    sql = "SELECT max(a.name) AS slow FROM things a, things b WHERE a.id % 7 + b.id % 11 > 1 AND a.id < 1000"
    change = "UPDATE things SET name = 'zzz' WHERE id = 1"
    _wait_ready(proxied, crowd.clients[0])
    crowd.ask(sql)
    crowd.wait_joined(_CLIENTS - 1)
    with proxied.wire() as watcher:
        proxied.server.execute(change)
        evicted = wait_until(lambda: rows(watcher.query(_READ)) == [[b"zzz"]], "it")
    assert evicted
    assert len(_values(crowd.answers())) == 1
    crowd.ask(sql)
    assert _values(crowd.answers()) == {b"zzz"}
    assert _runs(proxied, sql) == 2
