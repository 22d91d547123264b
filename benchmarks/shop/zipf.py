"""Zipf's law: the k-th most popular of n things is asked for 1/k as often as the most popular one. Pure."""

import random
from bisect import bisect_left
from itertools import accumulate


class Zipf:
    """Draws ranks.

    Args:
        count: How many things there are.
        exponent: How steep: the k-th gets 1/k**exponent; 0: all alike. Reads of web sites are mostly put at 0.6 to 1.
    """

    def __init__(self, count: int, exponent: float = 1.0) -> None:
        self._reached = list(accumulate(rank**-exponent for rank in range(1, count + 1)))

    def rank(self, chance: random.Random) -> int:
        """Return a rank: 1 for the most popular."""
        return bisect_left(self._reached, chance.random() * self._reached[-1]) + 1


def scattered(rank: int, count: int) -> int:
    """Return which of 1 to `count` has a rank: each has one, and neighbours in popularity are no neighbours by number.

    Args:
        rank: 1 to `count`.
        count: How many there are; no multiple of the prime 7,919.
    """
    return rank * 7919 % count + 1
