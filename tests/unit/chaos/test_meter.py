"""What counters over time say: how long nothing came from the cache, and when it did again."""

import pytest

from tests.chaos.meter import Sample, is_steady, longest_bypass, recovered_at, share_between


def sampled(*hits: float, begin: float = 100.0, every: float = 0.1) -> list[Sample]:
    return [Sample(begin + every * number, value, 10.0 * number) for number, value in enumerate(hits)]


def test_the_longest_bypass_lies_between_two_hits_or_at_an_end() -> None:
    samples = sampled(0, 5, 9, 9, 9, 9, 12, 13)
    assert longest_bypass(samples, 100.0, 100.75) == pytest.approx(0.4)
    assert longest_bypass(samples, 100.0, 102.7) == pytest.approx(2.0)


def test_a_proxy_that_was_started_again_counts_from_nothing() -> None:
    samples = sampled(1000, 1010, 0, 5, 9)
    assert share_between(samples, 0, 200).hits == 10 + 0 + 5 + 4
    assert longest_bypass(samples, 100.0, 100.4) == pytest.approx(0.2)


def test_recovery_is_the_end_of_the_last_gap_that_is_worth_the_name() -> None:
    samples = sampled(0, 1, 1, 1, 1, 1, 1, 2, 3, 3, 4, 5)
    assert recovered_at(samples, 100.1, 101.2) == pytest.approx(100.7)
    assert recovered_at(samples, 100.7, 101.2) == 100.7


def test_steady_is_many_hits_without_a_gap() -> None:
    samples = sampled(*range(0, 200, 10))
    assert is_steady(samples, 101.9)
    assert not is_steady(samples, 102.5)
    assert not is_steady(sampled(*range(20)), 101.9)


def test_the_hit_ratio_of_nothing_is_nothing() -> None:
    assert share_between([], 0, 1).hit_ratio == 0.0
