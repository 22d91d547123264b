"""Ranks are drawn by Zipf's law, and each thing has one."""

import random
from collections import Counter

import pytest

from benchmarks.shop.zipf import Zipf, scattered

_DRAWS = 50_000


def test_the_kth_is_asked_for_a_kth_as_often_as_the_first() -> None:
    zipf, chance = Zipf(100), random.Random(1)
    drawn = Counter(zipf.rank(chance) for _ in range(_DRAWS))
    assert min(drawn) == 1
    assert max(drawn) <= 100
    for rank in (2, 5, 10):
        assert drawn[1] / drawn[rank] == pytest.approx(rank, rel=0.15)


def test_without_an_exponent_all_are_alike() -> None:
    zipf, chance = Zipf(4, 0), random.Random(1)
    drawn = Counter(zipf.rank(chance) for _ in range(_DRAWS))
    assert all(count == pytest.approx(_DRAWS / 4, rel=0.05) for count in drawn.values())


@pytest.mark.parametrize("count", [100, 10_000])
def test_each_thing_has_one_rank(count: int) -> None:
    assert {scattered(rank, count) for rank in range(1, count + 1)} == set(range(1, count + 1))
