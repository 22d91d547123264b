"""A cancel request finds its query: on another worker, in Postgres, and where it waits in the proxy itself."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
import redis

from services.shared.keyspace.keys import Keys
from services.shared.pgwire.frontend import Bind, Describe, Execute, FrontendMessage, Parse, Query, Sync, Target
from services.shared.pgwire.startup import VERSION_3_0, VERSION_3_2, CancelRequest, ProtocolVersion
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.proxy_workers import on_other_worker, on_worker, worker_of
from tests.integration.wire_client import Answer, WireClient, error, rows
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things SELECT i, i FROM generate_series(1, 1000) i
"""
_SLEEP = b"SELECT pg_sleep(60)"
_CANCELLED = ("57014", "canceling statement due to user request")
_SOON_SECONDS = 1.5  # a cancel takes milliseconds; a machine under load adds to that
_REDIS_TIMEOUT_SECONDS = 5.0
_ATTEMPTS = 5  # to have two sessions share a query


_Find = Callable[[ProxiedPostgres, str, ExitStack], WireClient]


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    """Two workers on one port; a query waits long for Redis, so that it can be cancelled meanwhile."""
    environ = {"TIDEGATE_REDIS_TIMEOUT": f"{_REDIS_TIMEOUT_SECONDS}s"}
    with proxied_postgres(workers=2, sql=_SQL, environ=environ) as started:
        yield started


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _backend_key(client: WireClient) -> bytes:
    (answer,) = [answer for answer in client.greeting if answer.kind == "K"]
    return answer.body


def _cancel_packet(backend_key: bytes) -> bytes:
    return CancelRequest(int.from_bytes(backend_key[:4], "big"), backend_key[4:]).encode()


def _cancel(canceller: WireClient, client: WireClient) -> None:
    """Send a request, and wait until it has been served."""
    canceller.send(_cancel_packet(_backend_key(client)))
    assert canceller.read_to_end() == []


def _is_cancelled(answers: Sequence[Answer]) -> bool:
    fields = error(answers)
    return (fields["S"], fields["C"], fields["M"]) == ("ERROR", *_CANCELLED) and answers[-1].raw == b"Z\0\0\0\x05I"


class _Lock:
    """While it is held, a query of the table waits in Postgres."""

    def __init__(self, proxied: ProxiedPostgres, cleanup: ExitStack, table: str = "things") -> None:
        self._connection = cleanup.enter_context(proxied.server.connect())
        self._connection.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")

    def release(self) -> None:
        self._connection.execute("COMMIT")


def _wait_running(proxied: ProxiedPostgres, text: str) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE %s AND state = 'active' AND pid != pg_backend_pid()"
    wait_until(lambda: proxied.server.execute(running, [f"%{text}%"]), "the query to run")


def _running(proxied: ProxiedPostgres, text: str) -> int:
    counted = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND state = 'active' AND pid != pg_backend_pid()"
    )
    return int(proxied.server.execute(counted, [f"%{text}%"])[0][0])


def _interrupted(proxied: ProxiedPostgres) -> float:
    return proxied.stack.counter("tidegate_proxy_interrupted_total")


def test_a_query_in_postgres_is_cancelled_through_another_worker(proxied: ProxiedPostgres, cleanup: ExitStack) -> None:
    client = cleanup.enter_context(proxied.wire())
    canceller = on_other_worker(proxied, worker_of(proxied, client), cleanup)
    client.send(Query(_SLEEP))
    _wait_running(proxied, "pg_sleep(60)")

    _cancel(canceller, client)

    assert _is_cancelled(client.read_until("Z"))
    assert rows(client.query("SELECT 1")) == [[b"1"]]


Turn = Callable[[int], list[FrontendMessage]]
_WARM_ROW = 900
_next_row = itertools.count(1)  # each test reads one of its own, which is not cached yet


def _read(row: int) -> bytes:
    return f"SELECT name FROM things WHERE id = {row}".encode()


def _simple(row: int) -> list[FrontendMessage]:
    return [Query(_read(row))]


def _extended(row: int) -> list[FrontendMessage]:
    portal = (Bind(b"", b"", (), (), ()), Describe(Target.PORTAL, b""), Execute(b""))
    return [Parse(b"", _read(row)), *portal, Sync()]


def _named(row: int) -> list[FrontendMessage]:
    return [Parse(b"named", _read(row)), Bind(b"", b"named", (), (), ()), Execute(b""), Sync()]


@pytest.mark.parametrize(
    ("before", "turn", "status"),
    [("", _simple, b"I"), ("", _extended, b"I"), ("BEGIN; SELECT FROM things LIMIT 0", _named, b"E")],
)
def test_a_query_that_waits_for_a_question_of_the_proxys_own_is_cancelled(
    proxied: ProxiedPostgres, cleanup: ExitStack, before: str, turn: Turn, status: bytes
) -> None:
    """Behind a SET, Postgres is asked for the session's state, which here waits for a lock."""
    client = cleanup.enter_context(proxied.wire())
    canceller = on_worker(proxied, worker_of(proxied, client), cleanup)
    if before:
        client.query(before)
    client.query("SET DateStyle = German")
    lock = _Lock(proxied, cleanup, "tidegate.canary")
    client.socket.settimeout(_SOON_SECONDS)
    client.send(*turn(next(_next_row)))
    _wait_running(proxied, "pg_my_temp_schema")

    _cancel(canceller, client)

    answers = client.read_until("Z")
    assert [answer.kind for answer in answers if answer.kind != "S"] == ["E", "Z"]
    assert (error(answers)["C"], error(answers)["M"]) == _CANCELLED
    assert answers[-1].body == status
    lock.release()
    client.query("ROLLBACK")
    proxied.wait_cached(lambda: client.query(_read(_WARM_ROW).decode()))


class _Follower:
    """Two sessions on one worker that ask the same: the first in Postgres, the second waiting for its answer.

    Attributes:
        leader, client: The first and the second.
        worker: Where both are.
        lock: What keeps the first one's query from being answered.
    """

    def __init__(
        self,
        proxied: ProxiedPostgres,
        cleanup: ExitStack,
        turn: Turn,
        version: ProtocolVersion = VERSION_3_0,
    ) -> None:
        self.leader = cleanup.enter_context(proxied.wire())
        self.worker = worker_of(proxied, self.leader)
        self.client = on_worker(proxied, self.worker, cleanup).start(version)
        third = on_worker(proxied, self.worker, cleanup).start()
        for _ in range(_ATTEMPTS):
            if self._is_shared(proxied, cleanup, turn, third):
                break
            self.lock.release()  # a new epoch, or a machine under load, came between: nothing may be shared then
            for client in (self.leader, self.client):
                client.read_until("Z")
        self.assert_shared(proxied)
        self.client.socket.settimeout(_SOON_SECONDS)

    def _is_shared(self, proxied: ProxiedPostgres, cleanup: ExitStack, turn: Turn, third: WireClient) -> bool:
        for client in (self.leader, self.client):
            proxied.wait_cached(partial(client.turns, *turn(_WARM_ROW)))
        self._row = next(_next_row)
        self.lock = _Lock(proxied, cleanup)
        self.leader.send(*turn(self._row))
        _wait_running(proxied, "things WHERE")
        self.client.send(*turn(self._row))
        third.query("SELECT 1")  # it came later and is answered, so the worker has seen the one before
        return _running(proxied, "things WHERE") == 1

    @property
    def answer(self) -> bytes:
        return str(self._row).encode()

    def assert_shared(self, proxied: ProxiedPostgres) -> None:
        """See that Postgres has the first one's query alone."""
        assert _running(proxied, "things WHERE") == 1

    def finish(self) -> None:
        """Let the first one have its answer, and see that nothing of it comes to the second."""
        self.lock.release()
        assert rows(self.leader.read_until("Z")) == [[self.answer]]
        assert rows(self.client.query("SELECT 'next'")) == [[b"next"]]


@pytest.mark.parametrize("turn", [_simple, _extended])
@pytest.mark.parametrize("find", [on_worker, on_other_worker])
def test_a_query_that_waits_for_another_sessions_answer_is_cancelled(
    proxied: ProxiedPostgres, cleanup: ExitStack, turn: Turn, find: _Find
) -> None:
    follower = _Follower(proxied, cleanup, turn)
    before = _interrupted(proxied)

    _cancel(find(proxied, follower.worker, cleanup), follower.client)

    assert _is_cancelled(follower.client.read_until("Z"))
    assert _interrupted(proxied) == before + 1
    follower.assert_shared(proxied)  # the first one goes on
    assert rows(follower.client.query("SELECT 'next'")) == [[b"next"]]
    follower.finish()


def test_the_long_keys_of_protocol_3_2_work_too(proxied: ProxiedPostgres, cleanup: ExitStack) -> None:
    follower = _Follower(proxied, cleanup, _simple, VERSION_3_2)
    assert len(_backend_key(follower.client)) > 8

    _cancel(on_other_worker(proxied, follower.worker, cleanup), follower.client)

    assert _is_cancelled(follower.client.read_until("Z"))
    follower.finish()

    follower.client.send(Query(_SLEEP))
    _wait_running(proxied, "pg_sleep(60)")
    _cancel(on_other_worker(proxied, follower.worker, cleanup), follower.client)
    assert _is_cancelled(follower.client.read_until("Z"))


@pytest.mark.parametrize("find", [on_worker, on_other_worker])
def test_a_wrong_key_cancels_nothing_that_waits(proxied: ProxiedPostgres, cleanup: ExitStack, find: _Find) -> None:
    follower = _Follower(proxied, cleanup, _simple)
    key = _backend_key(follower.client)
    before = _interrupted(proxied)
    for wrong in (key[:4] + bytes(4), key[:4] + key[4:] + b"\0", bytes(4) + key[4:]):
        canceller = find(proxied, follower.worker, cleanup)
        canceller.send(_cancel_packet(wrong))
        assert canceller.read_to_end() == []

    follower.lock.release()
    assert rows(follower.client.read_until("Z")) == [[follower.answer]]
    assert rows(follower.leader.read_until("Z")) == [[follower.answer]]
    assert _interrupted(proxied) == before


def test_other_workers_are_told_a_digest_and_not_the_key(proxied: ProxiedPostgres, cleanup: ExitStack) -> None:
    channel = cleanup.enter_context(_redis(proxied)).pubsub()
    channel.subscribe(Keys("default").cancel_channel)
    assert channel.get_message(timeout=5)
    client = cleanup.enter_context(proxied.wire())

    _cancel(on_other_worker(proxied, worker_of(proxied, client), cleanup), client)
    message = channel.get_message(timeout=5)

    assert message is not None
    told, key = bytes(message["data"]), _backend_key(client)
    assert len(told) == 16
    assert key[4:] not in told
    assert key[4:].hex().encode() not in told
    channel.close()


def _redis(proxied: ProxiedPostgres) -> "redis.Redis":
    return redis.Redis.from_url(proxied.stack.redis_url)


@contextmanager
def _frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_with_redis_frozen_a_query_in_postgres_is_cancelled_as_fast(
    proxied: ProxiedPostgres, cleanup: ExitStack
) -> None:
    client = cleanup.enter_context(proxied.wire())
    canceller = on_other_worker(proxied, worker_of(proxied, client), cleanup)
    client.send(Query(_SLEEP))
    _wait_running(proxied, "pg_sleep(60)")
    client.socket.settimeout(_SOON_SECONDS)
    with _frozen(proxied.stack.processes["redis"]):
        _cancel(canceller, client)
        assert _is_cancelled(client.read_until("Z"))


def test_a_query_that_waits_for_redis_is_cancelled(proxied: ProxiedPostgres, cleanup: ExitStack) -> None:
    client = cleanup.enter_context(proxied.wire())
    canceller = on_worker(proxied, worker_of(proxied, client), cleanup)
    proxied.wait_cached(lambda: client.turns(*_simple(_WARM_ROW)))
    with _frozen(proxied.stack.processes["redis"]):
        client.send(*_simple(next(_next_row)))  # known in shape, and not in L1
        client.socket.settimeout(_SOON_SECONDS)
        _cancel(canceller, client)
        assert _is_cancelled(client.read_until("Z"))
        assert rows(client.query("SELECT 'next'")) == [[b"next"]]


def test_the_channel_is_found_again_when_redis_was_away(proxied: ProxiedPostgres, cleanup: ExitStack) -> None:
    pid = proxied.stack.processes["redis"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: proxied.stack.processes["redis"] != pid, "another Redis", 30)
    with _redis(proxied) as client:
        wait_until(lambda: _subscribers(client) == 2, "both workers to listen", 30)

    def read_anew() -> None:
        with proxied.connect() as connection:
            connection.execute(_read(_WARM_ROW))

    proxied.wait_all_cached(read_anew, 8)  # both workers follow again, and have read the catalog again
    follower = _Follower(proxied, cleanup, _simple)

    _cancel(on_other_worker(proxied, follower.worker, cleanup), follower.client)

    assert _is_cancelled(follower.client.read_until("Z"))
    follower.finish()


def _subscribers(client: "redis.Redis") -> int:
    channel = Keys("default").cancel_channel
    try:
        ((_, count),) = client.pubsub_numsub(channel)
    except redis.ConnectionError:  # it is starting
        return 0
    return int(count)
