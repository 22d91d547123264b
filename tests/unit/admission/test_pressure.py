"""The work of a worker counts for more, the fewer pauses it has."""

import pytest

from services.proxy.admission.pressure import Pressure


@pytest.mark.parametrize(("busy", "factor"), [(0.0, 1.0), (0.6, 1.0), (0.9, 2.5), (0.95, 5.0), (1.0, 8.0), (1.7, 8.0)])
def test_how_dear_work_is(busy: float, factor: float) -> None:
    pressure = Pressure()
    for _ in range(100):
        pressure.note(busy)
    assert pressure.factor == pytest.approx(factor, rel=0.01)


def test_a_moment_is_not_what_it_goes_by() -> None:
    pressure = Pressure()
    pressure.note(1.0)
    assert pressure.factor == 1.0
    for _ in range(30):
        pressure.note(1.0)
    pressure.note(0.0)
    assert pressure.factor == pytest.approx(1.0, abs=0.01)


def test_that_there_is_no_pause_any_more_is_noticed_at_once_and_that_there_is_one_later() -> None:
    pressure = Pressure()
    for _ in range(2):
        pressure.note(1.0)
    assert pressure.factor > 3.0
    for _ in range(2):
        pressure.note(0.5)
    assert 0.7 < pressure.busy < 0.8


def test_a_share_below_none_is_none() -> None:
    pressure = Pressure()
    pressure.note(-0.5)
    assert pressure.factor == 1.0
