"""What was seen of one thing that is in one state after another."""

from tests.chaos.history import ALWAYS
from tests.chaos.states import Sight, State, wrong_sights

STATES = [State("0", ALWAYS, ALWAYS), State("denied", 10.0, 10.1), State("2", 20.0, 20.1), State("denied", 30.0, 30.1)]


def test_what_held_within_the_bound_is_right() -> None:
    sights = [Sight("0", 5.0, 5.1), Sight("0", 11.0, 11.1), Sight("denied", 10.0, 10.05), Sight("denied", 40.0, 40.1)]
    assert wrong_sights(STATES, sights, 1.0) == []


def test_what_had_ceased_before_the_bound_is_wrong() -> None:
    (found,) = wrong_sights(STATES, [Sight("0", 11.2, 11.3)], 1.0)
    assert "1.100 s after it had ceased" in found


def test_a_state_that_came_again_counts_each_time_it_held() -> None:
    assert wrong_sights(STATES, [Sight("denied", 25.0, 25.1)], 1.0)
    assert not wrong_sights(STATES, [Sight("denied", 20.5, 20.6), Sight("denied", 30.2, 30.3)], 1.0)


def test_what_was_not_yet_so_is_wrong() -> None:
    (found,) = wrong_sights(STATES, [Sight("2", 12.0, 12.1)], 1.0)
    assert "never was so before" in found
