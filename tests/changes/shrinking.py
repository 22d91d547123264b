"""Makes a history that shows a violation shorter, as long as the shorter one shows one too."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from tests import shrinking
from tests.changes.history import History

T = TypeVar("T")


def smallest(history: History, violates: Callable[[History], bool], seconds: float) -> History:
    """Return a shorter history for which `violates` still holds.

    Args:
        history: One for which it holds.
        violates: Plays a history.
        seconds: How long to go on at most.
    """
    return shrinking.smallest(history, _shorter, violates, seconds)


def _shorter(history: History) -> Iterator[History]:
    """Give what to try, the greatest steps first. What does not fit together any more fails when it is played."""
    for steps in _without_runs(history.steps):
        yield replace(history, steps=steps)
    for setup in _without_runs(history.setup):
        yield replace(history, setup=setup)


def _without_runs(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Leave out half of the items, then a quarter, and so on, the last ones first."""
    size = (len(items) + 1) // 2
    while size and items:
        for end in range(len(items), 0, -size):
            yield (*items[: max(0, end - size)], *items[end:])
        size = size // 2
