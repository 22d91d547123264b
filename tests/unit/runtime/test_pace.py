"""Rounds keep the distance that the time which they take asks for."""

import pytest

from services.shared.runtime.pace import Pace


def pace_after(*durations: float, times: int = 200) -> Pace:
    pace = Pace(0.004, 0.020, 1 / 8)
    for _ in range(times):
        for seconds in durations:
            pace.note(seconds)
    return pace


def test_it_begins_with_the_least() -> None:
    assert Pace(0.004, 0.020, 1 / 8).spacing == 0.004


@pytest.mark.parametrize("seconds", [0.0003, 0.003, 0.3])
def test_what_always_takes_as_long_is_far_away_and_not_busy(seconds: float) -> None:
    assert pace_after(seconds).spacing == 0.004


def test_what_takes_longer_than_at_best_is_done_seldomer() -> None:
    assert pace_after(0.001, 0.003).spacing == pytest.approx(0.001 * 8, rel=0.1)


def test_the_distance_is_bounded() -> None:
    assert pace_after(0.001, 9.0).spacing == 0.020


def test_it_recovers() -> None:
    pace = pace_after(0.001, 0.009)
    assert pace.spacing > 0.016
    for _ in range(40):
        pace.note(0.001)
    assert pace.spacing == 0.004


def test_a_server_that_is_farther_away_than_before_is_not_busy_for_ever() -> None:
    pace = pace_after(0.001)
    for _ in range(2000):
        pace.note(0.003)
    assert pace.spacing == 0.004


@pytest.mark.parametrize(("waited", "spacing"), [(0.0, 0.004), (0.3, 0.004), (0.4, 0.012), (0.5, 0.020), (0.9, 0.020)])
def test_who_waits_for_a_processor_does_it_seldomer(waited: float, spacing: float) -> None:
    pace = Pace(0.004, 0.020, 1 / 8)
    pace.note(0.001, waited)
    assert pace.spacing == pytest.approx(spacing)


def test_of_both_what_asks_for_more_counts() -> None:
    by_durations = pace_after(0.001, 0.003)
    by_durations.note(0.001)
    assert 0.006 < by_durations.spacing < 0.010
    for waited, counts in ((0.301, False), (0.45, True)):
        pace = pace_after(0.001, 0.003)
        pace.note(0.001, waited)
        assert (pace.spacing > by_durations.spacing) == counts
