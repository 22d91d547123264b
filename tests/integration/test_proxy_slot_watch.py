"""The replication slot is given up rather than the primary's disk, and made anew when changes are followed again."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.servers.processes import wait_until

_SQL = (
    "CREATE TABLE things (id int PRIMARY KEY, v text); INSERT INTO things SELECT n, 'v' FROM generate_series(1, 100) n"
)
_READ = "SELECT v FROM things WHERE id = 1"
_SECONDS = 30.0
_SLOT = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'tidegate_default'"
_END_READER = (
    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'tidegate_default' AND active"
)
_WAL = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000)) FROM generate_series(1, 8)"


_GIVEN_UP = "tidegate_proxy_slots_given_up_total"


@pytest.fixture(scope="module")
def stack() -> Iterator[ProxiedPostgres]:
    environ = {"TIDEGATE_SLOT_PATIENCE": "2s", "TIDEGATE_SLOT_LIMIT": "32MiB"}
    with (
        proxied_postgres(sql=_SQL, environ=environ, max_prepared_transactions=2) as started,
        started.connect() as connection,
    ):
        started.wait_cached(lambda: connection.execute(_READ))
        yield started


@pytest.fixture
def proxied(stack: ProxiedPostgres) -> ProxiedPostgres:
    """The stack as the test before has left it, at work; what it counts goes on."""
    with stack.connect() as connection:
        stack.wait_cached(lambda: connection.execute(_READ))
    return stack


@contextmanager
def _stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _wait_dropped(proxied: ProxiedPostgres) -> None:
    wait_until(lambda: not proxied.server.execute(_SLOT), "the slot to be dropped", _SECONDS)


def _wait_back(proxied: ProxiedPostgres, given_up: float) -> None:
    wait_until(lambda: proxied.stack.counter(_GIVEN_UP) == given_up + 1, "it to be counted", _SECONDS)
    with proxied.connect() as connection:
        for value in ("changed", "changed again"):
            proxied.server.execute(f"UPDATE things SET v = '{value}' WHERE id = 1")
            wait_until(lambda: connection.execute(_READ).fetchone() == (value,), "the change", _SECONDS)  # noqa: B023
            wait_until(lambda: proxied.is_hit(lambda: connection.execute(_READ)), "hits", _SECONDS)


def test_a_slot_that_nobody_uses_is_dropped(proxied: ProxiedPostgres) -> None:
    given_up = proxied.stack.counter(_GIVEN_UP)
    supervisor = proxied.stack.process.pid
    with _stopped(supervisor):  # it would start another
        os.kill(proxied.stack.processes["cdc"], signal.SIGKILL)
        _wait_dropped(proxied)
    _wait_back(proxied, given_up)


def test_a_slot_whose_stream_nobody_can_read_is_dropped(proxied: ProxiedPostgres) -> None:
    given_up = proxied.stack.counter(_GIVEN_UP)
    with _stopped(proxied.stack.processes["cdc"]):
        proxied.server.execute(_END_READER)
        wait_until(lambda: not proxied.server.execute(f"{_SLOT} AND active"), "the slot to be free", _SECONDS)
        proxied.server.execute("SELECT pg_drop_replication_slot('tidegate_default')")
        two_phase = "SELECT pg_create_logical_replication_slot('tidegate_default', 'pgoutput', false, true)"
        proxied.server.execute(two_phase)
        proxied.server.execute("BEGIN; UPDATE things SET v = 'p' WHERE id = 2; PREPARE TRANSACTION 'unreadable'")
        proxied.server.execute("ROLLBACK PREPARED 'unreadable'")
    unreadable = "tidegate_cdc_unreadable_total"
    wait_until(lambda: proxied.stack.counter(unreadable) > 0, "it to be met", _SECONDS)
    _wait_back(proxied, given_up)


def test_a_slot_that_keeps_too_much_back_is_dropped_though_it_is_used(proxied: ProxiedPostgres) -> None:
    given_up = proxied.stack.counter(_GIVEN_UP)
    with _stopped(proxied.stack.processes["cdc"]):
        for _ in range(5):
            proxied.server.execute(_WAL)
        _wait_dropped(proxied)
    _wait_back(proxied, given_up)


def test_a_slot_that_is_used_stays_whatever_is_written(proxied: ProxiedPostgres) -> None:
    given_up = proxied.stack.counter(_GIVEN_UP)
    with proxied.connect() as connection:
        for number in range(10):
            proxied.server.execute(_WAL)
            proxied.server.execute(f"UPDATE things SET v = '{number}' WHERE id = 1")
            wait_until(lambda: connection.execute(_READ).fetchone() == (str(number),), "the change", _SECONDS)  # noqa: B023
            proxied.wait_cached(lambda: connection.execute(_READ))
    assert proxied.stack.counter(_GIVEN_UP) == given_up
