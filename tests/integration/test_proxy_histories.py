"""The primary's history breaks off: what was cached of a future that never was is served by nobody."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.staleness import now
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.standby import copy_data_directory, standby_of, wait_replayed

_SQL = """
    CREATE TABLE things (id int PRIMARY KEY, v text);
    INSERT INTO things VALUES (1, 'kept');
    CREATE TABLE computed (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED,
                           thrice int GENERATED ALWAYS AS (n * 3) VIRTUAL);
    INSERT INTO computed SELECT i, i FROM generate_series(1, 9) i;
"""
_READ = "SELECT v FROM things WHERE id = 1"
_SECONDS = 30.0
_MAX_STALENESS = 1.0


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    with proxied_postgres(sql=_SQL) as started:
        yield started


def _read(proxied: ProxiedPostgres) -> str:
    """Read in a session of its own: what was open before has ended with the server."""
    with proxied.connect() as connection:
        row = connection.execute(_READ).fetchone()
    assert row is not None
    return str(row[0])


def _wait_hits(proxied: ProxiedPostgres) -> None:
    with proxied.connect() as connection:
        wait_until(lambda: proxied.is_hit(lambda: connection.execute(_READ)), "hits", _SECONDS)


def _epochs(proxied: ProxiedPostgres) -> float:
    return proxied.stack.counter("tidegate_invalidator_epochs_total")


@contextmanager
def _frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("column", ["twice", "thrice"])
def test_what_is_read_by_a_generated_column_follows_the_columns_that_it_is_made_of(
    proxied: ProxiedPostgres, column: str
) -> None:
    """H12: no change carries it, so every one may concern whoever asks for a value of it."""
    read = f"SELECT id FROM computed WHERE {column} = %s ORDER BY id"
    with proxied.connect() as connection, proxied.server.connect() as direct:
        for value in range(12, 180, 24):
            proxied.wait_cached(lambda value=value: connection.execute(read, [value], prepare=False))  # type: ignore[misc]
            direct.execute("UPDATE computed SET n = n + 2 WHERE id < 5")
            direct.execute("INSERT INTO computed (id, n) VALUES (%s, %s)", [100 * value + len(column), value])
            expected = direct.execute(read, [value]).fetchall()
            wait_until(
                lambda: connection.execute(read, [value], prepare=False).fetchall() == expected,  # noqa: B023
                "the change",
                _SECONDS,
            )


def test_values_that_are_all_written_anew_are_read_anew(proxied: ProxiedPostgres) -> None:
    """H28: not one row is on the stream, and the type remains what it was."""
    read = "SELECT n FROM computed WHERE id = 9"
    with proxied.connect() as connection, proxied.server.connect() as direct:
        proxied.wait_cached(lambda: connection.execute(read))
        for value in (109, 209):
            direct.execute("ALTER TABLE computed DROP twice, DROP thrice" if value == 109 else "SELECT 1")
            proxied.wait_cached(lambda: connection.execute(read))
            direct.execute("ALTER TABLE computed ALTER n TYPE int USING n + 100")
            wait_until(lambda: connection.execute(read).fetchone() == (value,), "the new value", _SECONDS)  # noqa: B023


def test_an_older_copy_of_the_data_that_was_put_back_is_another_history(proxied: ProxiedPostgres) -> None:
    """H36: with the same canary, timeline and slot, but lower LSNs. One epoch begins, and there is no hit before."""
    server = proxied.server
    copy = server.directory / "copy"
    _wait_hits(proxied)
    server.stop()
    copy_data_directory(server.data_directory, copy)
    server.start()
    for number in range(200):
        server.execute(f"UPDATE things SET v = 'lost {number}' WHERE id = 1")
    wait_until(lambda: _reads(proxied, "lost 199"), "the last value", _SECONDS)
    _wait_hits(proxied)
    epochs = _epochs(proxied)

    server.stop()
    with _frozen(proxied.stack.processes["cdc"]):
        shutil.rmtree(server.data_directory)
        copy.rename(server.data_directory)
        server.start()
        hits = proxied.hits()
        begun = now()
        number = 0
        while now() < begun + 2 * _MAX_STALENESS:
            number += 1
            server.execute(f"UPDATE things SET v = '{number}' WHERE id = 1")
            assert _read(proxied) == str(number)
        assert proxied.hits() == hits
    _wait_hits(proxied)
    for number in range(5):
        server.execute(f"UPDATE things SET v = 'again {number}' WHERE id = 1")
        wait_until(lambda: _reads(proxied, f"again {number}"), "the change", _SECONDS)  # noqa: B023
        _wait_hits(proxied)
    assert _epochs(proxied) == epochs + 1


def _reads(proxied: ProxiedPostgres, value: str) -> bool:
    try:
        return _read(proxied) == value
    except psycopg.OperationalError:
        return False


def test_what_a_standby_that_takes_over_never_had_is_not_served() -> None:
    """H35, H40, H55: at the primary's address, as a standby first, and with the slot that it kept. One epoch."""
    with (
        proxied_postgres(sql=_SQL) as proxied,
        standby_of(proxied.server, sync_replication_slots="on") as standby,
    ):
        primary = proxied.server
        wait_until(lambda: _slot_is_kept(proxied, standby), "the slot to be kept", _SECONDS)
        wait_replayed(primary, standby)
        standby.stop()
        primary.execute("UPDATE things SET v = 'lost' WHERE id = 1")
        wait_until(lambda: _read(proxied) == "lost", "the change", _SECONDS)
        _wait_hits(proxied)
        epochs = _epochs(proxied)

        primary.kill()
        killed_at = now()
        standby.port = primary.port
        standby.start()
        wait_until(lambda: now() > killed_at + _MAX_STALENESS, "what was fresh not to be any more", _SECONDS)
        hits = proxied.hits()
        for _ in range(20):
            assert _read(proxied) == "kept"
        assert proxied.hits() == hits
        standby.execute("SELECT pg_promote()")

        def hit() -> bool:
            before = proxied.hits()
            assert _read(proxied) == "kept"
            return proxied.hits() > before

        wait_until(hit, "hits on the new primary", _SECONDS)
        standby.execute("UPDATE things SET v = 'new' WHERE id = 1")
        wait_until(lambda: _read(proxied) == "new", "a change on the new primary", _SECONDS)
        _wait_hits(proxied)
        assert _epochs(proxied) == epochs + 1
        assert standby.execute("SELECT synced, active FROM pg_replication_slots WHERE slot_type = 'logical'") == [
            (True, True)
        ]


def _slot_is_kept(proxied: ProxiedPostgres, standby: PostgresServer) -> bool:
    proxied.server.execute("SELECT pg_log_standby_snapshot()")
    return bool(standby.execute("SELECT 1 FROM pg_replication_slots WHERE synced AND NOT temporary"))
