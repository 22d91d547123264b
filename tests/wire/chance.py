"""Where a stream's choices come from: a seed, so that the same number gives the same stream everywhere."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """A source of choices."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # a text is hashed by it in a way that does not change between runs

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of several, each as likely as the others."""
        return self._random.choice(choices)

    def pick_weighted(self, *choices: tuple[int, Callable[["Chance"], T]]) -> T:
        """Call one of several functions, each as often as its weight says."""
        (make,) = self._random.choices([make for _, make in choices], [weight for weight, _ in choices])
        return make(self)

    def one_in(self, number: int) -> bool:
        """Return True once in so many times."""
        return self._random.randrange(number) == 0

    def between(self, least: int, most: int) -> int:
        """Return a whole number."""
        return self._random.randint(least, most)
