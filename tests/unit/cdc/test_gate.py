"""The visibility gate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cdc.gate import Snapshot, SnapshotError, parse_snapshot


def test_the_text_of_postgres_is_read() -> None:
    assert parse_snapshot("755:760:755,757") == Snapshot(755, 760, frozenset({755, 757}))
    assert parse_snapshot("755:755:") == Snapshot(755, 755, frozenset())


@pytest.mark.parametrize(
    "text", ["", "755", "755:760", "a:b:", "760:755:", "755:760:754", "755:760:760", "0:1:", "1:2::"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SnapshotError):
        parse_snapshot(text)


@given(st.text(alphabet="0123456789:,- x", max_size=30))
def test_hostile_text_raises_only_what_is_documented(text: str) -> None:
    try:
        parse_snapshot(text)
    except SnapshotError:
        return


@pytest.mark.parametrize(
    ("xid", "shown"),
    [(754, True), (755, False), (756, True), (757, False), (759, True), (760, False), (10**12, False)],
)
def test_shown_is_what_has_ended_before_the_snapshot(xid: int, shown: bool) -> None:
    assert parse_snapshot("755:760:755,757").shows(xid) is shown


def test_an_empty_list_does_not_mean_that_nobody_is_in_progress() -> None:
    """F4: a transaction at or above xmax may be waiting to become visible."""
    assert not parse_snapshot("755:755:").shows(755)


@given(st.integers(3, 2**48), st.integers(-(2**31), 2**31 - 1))
def test_widening_finds_the_id_that_was_cut(xmax: int, distance: int) -> None:
    xid = xmax + distance
    if xid >= 0:
        assert Snapshot(1, xmax, frozenset()).widen(xid % 2**32) == xid


def test_widening_across_the_wrap() -> None:
    snapshot = Snapshot(1, 2 * 2**32 + 5, frozenset())
    assert snapshot.widen(2**32 - 1) == 2 * 2**32 - 1
    assert snapshot.widen(7) == 2 * 2**32 + 7
