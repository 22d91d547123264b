"""A history that shows a violation becomes as short as it can be while it shows one."""

from tests.changes.grammar import make_history
from tests.changes.history import History, Step
from tests.changes.shrinking import smallest

_GUILTY = Step("SELECT guilty", 2, settled=True)


def test_what_has_no_part_in_it_is_left_out() -> None:
    around = make_history("shrinking", 18)
    history = History((*around.setup, "needed"), (*around.steps, _GUILTY, *around.steps))
    found = smallest(history, lambda one: _GUILTY in one.steps and "needed" in one.setup, 60.0)
    assert found == History(("needed",), (_GUILTY,))


def test_without_time_the_history_stays_as_it_is() -> None:
    history = History(("one", "two"), (_GUILTY, _GUILTY))
    assert smallest(history, lambda _: True, -1.0) == history
