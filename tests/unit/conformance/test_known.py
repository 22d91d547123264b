"""The reviewed list of differences: complete, explained, and nothing in it that is not so any more."""

from pathlib import Path

import pytest

from tests.conformance.known import Known, KnownError, as_list, read_known, stale, unexplained
from tests.conformance.report import DOCUMENT, KNOWN

REASON = "The test asserts how long something takes, and a proxy takes longer."
ENTRY = f'[[difference]]\nsuite = "asyncpg"\ntest = "a"\nreason = "{REASON}"\n'


def written(path: Path, text: str) -> Path:
    file = path / "known.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_repository_has_a_list_that_can_be_read() -> None:
    assert all(one.reason for one in read_known())


def test_an_entry_is_read(tmp_path: Path) -> None:
    assert read_known(written(tmp_path, ENTRY)) == [Known("asyncpg", "a", REASON)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[difference]]\nsuite = "asyncpg"\ntest = "a"\n', "entry 1: it needs suite, test and reason"),
        (ENTRY + 'since = "yesterday"\n', "no more"),
        (ENTRY + "sometimes = false\n", "no more"),
        (ENTRY.replace(REASON, "It differs."), "entry 1 .* explains nothing"),
        (ENTRY.replace(REASON, "x" + " " * 80), "explains nothing"),
        (ENTRY + ENTRY, "named twice"),
    ],
)
def test_a_list_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(KnownError, match=message):
        read_known(written(tmp_path, text))


def test_what_is_not_on_the_list_is_a_problem_and_what_is_no_longer_needed_too() -> None:
    known = [Known("asyncpg", "a", REASON), Known("sqlalchemy", "b", REASON)]
    assert unexplained("asyncpg", ["a", "b"], known) == ["b"]
    assert stale("asyncpg", {"b"}, known) == ["a"]
    assert stale("asyncpg", {"a"}, known) == []


def test_what_depends_on_time_may_also_end_alike(tmp_path: Path) -> None:
    known = read_known(written(tmp_path, ENTRY + "sometimes = true\n"))
    assert unexplained("asyncpg", ["a"], known) == []
    assert stale("asyncpg", set(), known) == []


def test_the_documentation_says_what_the_list_says() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert f"{KNOWN[0]}\n{as_list(read_known())}\n{KNOWN[1]}" in document, "make conformance ARGS=--document"
