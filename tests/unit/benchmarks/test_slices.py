"""A load in slices: what reached Postgres by a moment lies on a straight line between two looks."""

from benchmarks.scenarios.slices import _reached_by

_LOOKS = [(10.0, 0), (11.0, 100), (13.0, 300)]


def test_between_two_looks_it_is_in_proportion() -> None:
    assert _reached_by(_LOOKS, 10.5) == 50
    assert _reached_by(_LOOKS, 11.0) == 100
    assert _reached_by(_LOOKS, 12.5) == 250


def test_before_the_first_and_after_the_last_look_nothing_is_made_up() -> None:
    assert _reached_by(_LOOKS, 9.0) == 0
    assert _reached_by(_LOOKS, 14.0) == 300
