"""Makes something that shows a fault smaller, as long as the smaller one shows one too."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def smallest(found: T, smaller: Callable[[T], Iterable[T]], is_fault: Callable[[T], bool], seconds: float) -> T:
    """Return something smaller for which `is_fault` still holds.

    Args:
        found: Something for which it holds.
        smaller: Gives what to try, the greatest steps first.
        is_fault: Plays it.
        seconds: How long to go on at most.
    """
    until = time.monotonic() + seconds
    while True:
        for candidate in smaller(found):
            if time.monotonic() > until:
                return found
            if is_fault(candidate):
                found = candidate
                break
        else:
            return found


def without_runs(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Leave out half of the items, then a quarter, and so on; never all of them."""
    size = len(items) // 2
    while size:
        for at in range(0, len(items), size):
            if len(items) > size:
                yield (*items[:at], *items[at + size :])
        size //= 2
