"""The benchmark suite itself: that it runs from end to end, sees wrong answers, and keeps its distances."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from benchmarks.checking import wrong_answers
from benchmarks.delay import Distance, farther
from benchmarks.fresh_reads import old_reads, own_writes_missed
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Run
from benchmarks.pgbench import MODES
from benchmarks.scenarios.accounts import hot_reads, make_accounts
from benchmarks.scenarios.misses import measure_misses
from tests.servers.postgres import PostgresServer

_ROWS = 50
_WRITE, _READ = "UPDATE account SET balance = %s WHERE id = %s", "SELECT balance FROM account WHERE id = %s"


@pytest.fixture(scope="module")
def urls(newest_postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """Two databases with the same accounts: one the truth, the other a cache that never hears of a change."""
    with newest_postgres.database("bench_truth") as truth, newest_postgres.database("bench_cache") as cache:
        both = newest_postgres.url(truth), newest_postgres.url(cache)
        for url in both:
            make_accounts(url, _ROWS)
        yield both


@contextmanager
def changed(url: str, row: int) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE account SET balance = -balance WHERE id = %s", (row,))
        yield
        connection.execute("UPDATE account SET balance = -balance WHERE id = %s", (row,))


def test_a_scenario_runs_from_end_to_end() -> None:
    forwarded, missed, look_ups = measure_misses(Run(rounds=1, seconds=1, quick=True))
    for case in (forwarded, missed):
        assert {DIRECT, PGBOUNCER, TIDEGATE} <= set(case.samples)
        assert all(case.median(side) > 0 for side in case.samples)
        assert case.wrong_answers == 0
    assert look_ups.median("reads") == 1


@pytest.mark.parametrize("protocol", MODES)
def test_a_wrong_answer_is_counted_by_every_protocol(urls: tuple[str, str], protocol: str) -> None:
    reads = list(hot_reads(rows=_ROWS, count=3 * _ROWS))
    assert wrong_answers(*urls, reads, protocol) == 0
    with changed(urls[0], 7):
        of_this_row = sum(read.values == ("7",) for read in reads)
        assert wrong_answers(*urls, reads, protocol) == of_this_row > 0


def test_an_own_write_that_is_not_seen_is_counted(urls: tuple[str, str]) -> None:
    once = [False, True]
    assert own_writes_missed(urls[0], _WRITE, _READ, 8, iter(once).__next__) == 0
    of_another_row = "SELECT balance FROM account WHERE id = %s + 1"
    assert own_writes_missed(urls[0], _WRITE, of_another_row, 9, iter(once).__next__) == 4


def test_a_read_beyond_the_bound_is_counted(urls: tuple[str, str]) -> None:
    def after(seconds: float) -> Iterator[bool]:
        until = time.monotonic() + seconds
        while True:
            yield time.monotonic() >= until

    truth, cache = urls
    assert old_reads(truth, truth, _WRITE, _READ, 10, 0.05, after(0.2).__next__) == 0
    with psycopg.connect(cache, autocommit=True) as frozen:
        frozen.execute(_WRITE.encode(), (1, 10))  # what the first write sets as well
    assert old_reads(truth, cache, _WRITE, _READ, 10, 0.05, after(0.2).__next__) > 0
    assert old_reads(truth, cache, _WRITE, _READ, 10, 60.0, after(0.2).__next__) == 0


@pytest.mark.parametrize("milliseconds", [0, 40])
def test_postgres_is_as_far_as_it_is_said_to_be(urls: tuple[str, str], milliseconds: int) -> None:
    with farther(urls[0], Distance()) as url, psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 2000) g").fetchall()
        assert len(rows) == 2000
    distance = Distance()
    with farther(urls[0], distance) as url, psycopg.connect(url, autocommit=True) as connection:
        distance.milliseconds = milliseconds
        taken = min(_milliseconds(connection) for _ in range(5))
        assert milliseconds <= taken < milliseconds + 15


def _milliseconds(connection: "psycopg.Connection[tuple[object, ...]]") -> float:
    began = time.perf_counter()
    connection.execute("SELECT 1")
    return (time.perf_counter() - began) * 1000
