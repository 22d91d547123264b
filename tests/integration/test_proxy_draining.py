"""A worker that is told to stop ends nobody in the middle of what he does, and waits for nobody for ever."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from services.shared.pgwire.frontend import Query
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import Answer, ConnectionEnded, WireClient, error, rows
from tests.servers.processes import wait_until

_SQL = "CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things VALUES (1, 'one')"
_READ = "SELECT name FROM things WHERE id = 1"
_DRAIN_SECONDS = 4.0
_AT_ONCE_SECONDS = _DRAIN_SECONDS / 2  # well before the time-out
_STILL_SECONDS = 1.0  # nothing more comes
_RECOVERY_SECONDS = 30.0
_ENDED = ("FATAL", "57P01", "terminating connection due to administrator command")


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    with proxied_postgres(sql=_SQL, environ={"TIDEGATE_DRAIN_TIMEOUT": f"{_DRAIN_SECONDS}s"}) as started:
        yield started


class _Drain:
    """A drain that was begun."""

    def __init__(self, proxied: ProxiedPostgres) -> None:
        self.process = psutil.Process(proxied.stack.processes["proxy-0"])
        self.began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def is_over(self) -> bool:
        try:
            return self.process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


@contextmanager
def _drained(proxied: ProxiedPostgres) -> Iterator[_Drain]:
    """Tell the worker to stop; in the end wait until another is there and ready."""
    drain = _Drain(proxied)
    try:
        yield drain
    finally:
        _wait_replaced(proxied, drain)


def _wait_replaced(proxied: ProxiedPostgres, drain: _Drain) -> None:
    wait_until(drain.is_over, "the worker to end", _DRAIN_SECONDS + 15)
    wait_until(lambda: proxied.stack.processes["proxy-0"] != drain.process.pid, "another worker", _RECOVERY_SECONDS)
    wait_until(lambda: _listens(proxied), "it to listen", _RECOVERY_SECONDS)


def _listens(proxied: ProxiedPostgres) -> bool:
    try:
        with WireClient(proxied.url()) as client:
            client.start()
    except (OSError, ConnectionEnded):  # nobody listens, or whoever came at the last moment is sent away
        return False
    return True


def _is_ready(proxied: ProxiedPostgres) -> bool:
    try:
        urlopen(proxied.stack.metrics_url.replace("/metrics", "/readyz"), timeout=5).close()
    except HTTPError as error:
        error.close()
        return False
    return True


def _is_end(answers: list[Answer]) -> bool:
    fields = error(answers)
    return (fields["S"], fields["C"], fields["M"]) == _ENDED


def _wait_running(proxied: ProxiedPostgres, text: str) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE %s AND state = 'active' AND pid != pg_backend_pid()"
    wait_until(lambda: proxied.server.execute(running, [f"%{text}%"]), "the query to run")


def test_a_session_between_turns_is_ended_at_once_in_the_words_of_postgres(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as fresh, proxied.wire() as used:
        proxied.wait_cached(lambda: used.query(_READ))
        with _drained(proxied) as drain:
            assert _is_end(fresh.read_to_end())
            assert _is_end(used.read_to_end())
            wait_until(drain.is_over, "the end", _AT_ONCE_SECONDS)


def test_a_turn_under_way_is_answered_and_none_is_begun_after_it(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client:
        client.send(Query(b"SELECT 'first' FROM pg_sleep(1)"), Query(b"INSERT INTO things VALUES (2, 'second')"))
        _wait_running(proxied, "pg_sleep(1)")
        with _drained(proxied) as drain:
            answers = client.read_to_end()
            assert drain.seconds < _DRAIN_SECONDS

    assert rows(answers) == [[b"first"]]
    assert [answer.kind for answer in answers] == ["T", "D", "C", "Z", "E"]
    assert _is_end(answers)
    assert proxied.server.execute("SELECT 1 FROM things WHERE id = 2") == []


def test_a_transaction_goes_on_to_its_end(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client, proxied.wire() as failed:
        client.query("BEGIN")
        client.query("INSERT INTO things VALUES (3, 'third')")
        failed.query("BEGIN")
        failed.query("SELECT 1 / 0")
        with _drained(proxied) as drain:
            wait_until(lambda: not _listens(proxied), "nobody to be let in any more")
            assert rows(client.query("SELECT name FROM things WHERE id = 3")) == [[b"third"]]
            client.send(Query(b"COMMIT"))
            answers = client.read_to_end()
            failed.send(Query(b"ROLLBACK"))
            rolled_back = failed.read_to_end()
            assert drain.seconds < _DRAIN_SECONDS

    for ended in (answers, rolled_back):
        assert [answer.kind for answer in ended] == ["C", "Z", "E"]
        assert _is_end(ended)
    assert proxied.server.execute("SELECT name FROM things WHERE id = 3") == [("third",)]


def test_a_block_that_postgres_has_not_seen_goes_on_to_its_end_too(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client:

        def block() -> None:
            for sql in ("BEGIN", _READ, "COMMIT"):
                client.query(sql)

        proxied.wait_all_cached(block, 3)  # its BEGIN and its COMMIT are answered by the proxy alone
        client.query("BEGIN")
        client.query(_READ)
        with _drained(proxied) as drain:
            wait_until(lambda: not _listens(proxied), "nobody to be let in any more")
            assert rows(client.query(_READ)) == [[b"one"]]
            client.send(Query(b"COMMIT"))
            answers = client.read_to_end()
            assert drain.seconds < _DRAIN_SECONDS

    assert [answer.kind for answer in answers] == ["C", "Z", "E"]
    assert _is_end(answers)


def test_a_transaction_that_does_not_end_is_ended_when_the_time_is_over(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client:
        client.query("BEGIN")
        client.query("INSERT INTO things VALUES (4, 'fourth')")
        with _drained(proxied) as drain:
            assert _is_end(client.read_to_end())
            assert drain.seconds >= _DRAIN_SECONDS
            wait_until(drain.is_over, "the end", _AT_ONCE_SECONDS)

    assert proxied.server.execute("SELECT 1 FROM things WHERE id = 4") == []


def test_a_client_in_the_middle_of_a_row_is_not_sent_an_error_inside_it(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client:
        client.send(Query(b"SELECT repeat('x', 300000000)"))
        assert client.read().kind == "T"
        client.socket.settimeout(_STILL_SECONDS)
        proxied.server.pause()  # it stops somewhere in the row
        try:
            with suppress(TimeoutError):
                while True:
                    client.socket.recv(1 << 20)
            client.socket.settimeout(_RECOVERY_SECONDS)
            drain = _Drain(proxied)
            assert client.socket.recv(1 << 20) == b""
            assert drain.seconds >= _DRAIN_SECONDS
        finally:
            proxied.server.resume()
        _wait_replaced(proxied, drain)


def test_a_client_that_is_just_starting_is_told_that_it_is_too_late(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as open_block, WireClient(proxied.url()) as starting:
        open_block.query("BEGIN")
        with _drained(proxied):
            wait_until(lambda: not _listens(proxied), "the drain")
            assert not _is_ready(proxied)
            starting.send(StartupMessage(VERSION_3_0, (("user", "postgres"), ("database", "postgres"))))
            fields = error(starting.read_to_end())
            assert (fields["C"], fields["M"]) == ("57P03", "the database system is shutting down")
            open_block.send(Query(b"COMMIT"))
            assert _is_end(open_block.read_to_end())


def test_a_second_signal_ends_it_at_once(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client:
        client.query("BEGIN")
        with _drained(proxied) as drain:
            wait_until(lambda: not _listens(proxied), "the drain")
            os.kill(drain.process.pid, signal.SIGTERM)
            with pytest.raises((ConnectionEnded, ConnectionResetError)):
                client.read()
            wait_until(drain.is_over, "the end", _AT_ONCE_SECONDS)
            assert drain.seconds < _DRAIN_SECONDS
