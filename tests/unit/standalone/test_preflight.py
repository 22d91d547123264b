"""What is said of a database that cannot be used."""

from dataclasses import replace

import psycopg
import pytest

from services.shared.runtime.upstream import parse_upstream
from services.standalone.preflight import Facts, explain_failure, find_problems, find_warnings

_GOOD = Facts(
    major=18, standby=False, wal_level="logical", slots=10, slots_taken=0, slot_known=False, senders=10, slot_cap="1GB",
    may_replicate=True, may_create=True, role="app", database="shop",
)  # fmt: skip


def test_a_good_database_has_no_problem() -> None:
    assert find_problems(_GOOD) == []
    assert find_warnings(_GOOD) == []


@pytest.mark.parametrize(
    ("facts", "remedy"),
    [
        (replace(_GOOD, major=13), "needs 14 or newer"),
        (replace(_GOOD, standby=True), "name the primary"),
        (replace(_GOOD, wal_level="replica"), "ALTER SYSTEM SET wal_level = 'logical'"),
        (replace(_GOOD, may_replicate=False), 'ALTER ROLE "app" REPLICATION'),
        (replace(_GOOD, may_create=False), 'GRANT CREATE ON DATABASE "shop" TO "app"'),
        (replace(_GOOD, slots_taken=10), "raise max_replication_slots"),
        (replace(_GOOD, senders=0), "raise it to 10"),
    ],
)
def test_each_problem_is_one_sentence_with_its_remedy(facts: Facts, remedy: str) -> None:
    (sentence,) = find_problems(facts)

    assert remedy in sentence


def test_a_slot_that_exists_needs_no_free_place() -> None:
    assert find_problems(replace(_GOOD, slots_taken=10, slot_known=True)) == []


def test_an_unlimited_slot_is_worth_a_warning() -> None:
    assert "max_slot_wal_keep_size" in find_warnings(replace(_GOOD, slot_cap="-1"))[0]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('FATAL:  password authentication failed for user "app"', 'The password for the role "app" is wrong.'),
        ("connection failed: Connection refused\n\tIs the server running?", "Nothing listens at db.example:5433"),
        ('FATAL:  database "shop" does not exist', 'There is no database "shop"'),
        ('FATAL:  role "app" does not exist', 'There is no role "app"'),
        ("connection timeout expired", "db.example:5433 does not answer"),
        ("something new", "The database at db.example:5433 cannot be reached: something new"),
    ],
)
def test_a_failed_connection_is_explained(said: str, sentence: str) -> None:
    upstream = parse_upstream("postgresql://app:hunter2@db.example:5433/shop")

    explained = explain_failure(upstream, psycopg.OperationalError(said))

    assert explained.startswith(sentence)
    assert "hunter2" not in explained
