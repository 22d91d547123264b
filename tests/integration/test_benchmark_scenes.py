"""Scenarios with load generators of their own: that they run, and see what they are there to see."""

from collections.abc import Iterator

import psycopg
import pytest

from benchmarks.measurement import TIDEGATE, Run
from benchmarks.peers import run_sql
from benchmarks.scenarios.reading import ReadingError, bytes_a_second, expected_answer, wrong_answers
from benchmarks.scenarios.stampede import measure_stampede
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="module")
def wide(newest_postgres: PostgresServer) -> Iterator[str]:
    with newest_postgres.database("bench_wide") as name:
        url = newest_postgres.url(name)
        run_sql(
            url,
            "CREATE TABLE wide (id int PRIMARY KEY, note text)",
            "INSERT INTO wide SELECT g, repeat('x', 1000) FROM generate_series(1, 100) g",
        )
        yield url


def test_a_stampede_is_counted_by_what_postgres_executes() -> None:
    cases = list(measure_stampede(Run(rounds=1, seconds=1, quick=True)))
    counted = [case for case in cases if case.unit.startswith("executions")]
    assert len(counted) == 3
    for case in counted:
        assert case.median(TIDEGATE) >= 1, "each was asked anew, so Postgres was asked"
        assert case.wrong_answers == 0


def test_readers_count_bytes_and_see_another_answer(wide: str) -> None:
    expected = expected_answer(wide, "SELECT * FROM wide WHERE id <= 90")
    assert expected.size > 90_000
    assert bytes_a_second(wide, [expected], clients=3, seconds=0.05) > 0
    assert wrong_answers(wide, [expected]) == 0
    with psycopg.connect(wide, autocommit=True) as connection:
        connection.execute("UPDATE wide SET note = replace(note, 'x', 'y') WHERE id = 7")
        assert wrong_answers(wide, [expected], times=2) == 2
        connection.execute("UPDATE wide SET note = note || 'y' WHERE id = 7")
        with pytest.raises(ReadingError):
            bytes_a_second(wide, [expected], clients=1, seconds=0.05)
