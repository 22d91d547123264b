"""The same name makes the same history, and what is made can be written down and read again."""

from collections import Counter
from pathlib import Path

import pytest

from tests.changes.grammar import make_history
from tests.changes.notation import NotationError, read_history, write_history
from tests.changes.running import CORPUS

_WORDS = (
    "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "WITH", "TRUNCATE", "DO", "BEGIN", "COMMIT", "ROLLBACK",
    "SAVEPOINT", "RELEASE", "PREPARE", "SET", "ALTER", "CREATE", "DROP", "GRANT", "REVOKE", "CLUSTER", "VACUUM",
    "REINDEX", "COMMENT",
)  # fmt: skip


@pytest.mark.parametrize("number", range(100))
def test_what_is_made_can_be_written_down(number: int) -> None:
    history = make_history(f"notation/{number}", 18)
    assert read_history(write_history(history)) == history


def test_the_same_name_makes_the_same_history() -> None:
    assert make_history("same/1", 15) == make_history("same/1", 15) != make_history("same/2", 15)


def test_nothing_is_made_that_a_version_does_not_know() -> None:
    assert not any("MERGE" in step.sql for number in range(50) for step in make_history(f"old/{number}", 14).steps)


def test_every_kind_of_statement_comes_up() -> None:
    steps = [step for number in range(100) for step in make_history(f"kinds/{number}", 18).steps]
    counted = Counter(step.sql.split()[0] for step in steps)
    assert not [word for word in _WORDS if not counted[word]]
    assert any("CONCURRENTLY" in step.sql for step in steps)


def test_every_transaction_ends() -> None:
    for number in range(100):
        ends = Counter(step.sql.split("'")[0] for step in make_history(f"ends/{number}", 18).steps)
        ended = ends["COMMIT"] + ends["ROLLBACK"] + ends["PREPARE TRANSACTION "]
        assert ended == sum(count for sql, count in ends.items() if sql.startswith("BEGIN"))
        assert ends["PREPARE TRANSACTION "] == ends["COMMIT PREPARED "] + ends["ROLLBACK PREPARED "]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.sql")), ids=lambda path: path.stem)
def test_what_is_kept_says_why_and_is_written_as_it_would_be(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    history = read_history(text)
    assert history.why
    assert write_history(history) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- why: \n-- since: 14\nSELECT 1;\n",
        "-- why: \n-- since: 14\n-- setup\nSELECT\n",
        "-- why: \n-- since: 14\n-- setup\n-- 9\nSELECT 1;\n",
        "-- why: \n-- since: 14\n-- setup\n-- 0\nSELECT\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        read_history(text)
