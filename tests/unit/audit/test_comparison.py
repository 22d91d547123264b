"""Do two answers say the same? The rows count, each as often as it is there, and not who was told their names."""

import pytest

from services.proxy.audit.comparison import Match, compare, rows_of
from services.proxy.cache.entry import Answer
from tests.unit.audit.answers import answer


def test_answers_are_compared_by_their_rows() -> None:
    assert compare(answer(), answer()) is Match.EQUAL
    assert compare(answer(b"1", b"2"), answer(b"1", b"2", description=b"T....")) is Match.EQUAL
    assert compare(answer(b"1", b"2"), answer(b"2", b"1")) is Match.REORDERED
    assert compare(answer(b"1", b"2"), answer(b"1", b"3")) is Match.DIFFERENT
    assert compare(answer(b"1"), answer(b"1", b"1")) is Match.DIFFERENT


def test_the_same_rows_have_to_be_there_as_often() -> None:
    assert compare(answer(b"1", b"1", b"2"), answer(b"1", b"2", b"2")) is Match.DIFFERENT
    assert compare(answer(b"1", b"1", b"2"), answer(b"1", b"2", b"1")) is Match.REORDERED


def test_values_that_run_into_each_other_are_told_apart() -> None:
    # As many bytes, and the same ones; but other rows.
    assert compare(answer(b"12", b"3"), answer(b"1", b"23")) is Match.DIFFERENT


def test_what_was_done_counts() -> None:
    assert compare(answer(b"1"), answer(b"1", cut=True)) is Match.DIFFERENT


@pytest.mark.parametrize("rows", [b"D", b"D\0\0\0\x03", b"D\0\0\0\x09\0\0\0\0", answer(b"1").rows[:-1]])
def test_what_are_no_rows_is_refused(rows: bytes) -> None:
    with pytest.raises(ValueError, match="cut short"):
        rows_of(Answer(b"", rows, b""))
