"""Waits grow, stay bounded, and are never in step."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.runtime.backoff import Backoff


def test_waits_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(first=0.1, most=0.5, fraction=lambda: 1.0)
    assert [backoff.next_delay() for _ in range(5)] == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])
    assert backoff.attempts == 5
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.next_delay() == pytest.approx(0.1)


@given(st.floats(0, 0.999), st.integers(1, 50))
def test_jitter_never_halves_a_wait_further_nor_lengthens_it(fraction: float, attempts: int) -> None:
    backoff = Backoff(first=0.05, most=1.0, fraction=lambda: fraction)
    for _ in range(attempts):
        delay = backoff.next_delay()
    assert 0.025 <= delay <= 1.0


@pytest.mark.parametrize(("first", "most", "factor"), [(0, 1, 2), (2, 1, 2), (1, 2, 0.5)])
def test_waits_that_cannot_grow_are_refused(first: float, most: float, factor: float) -> None:
    with pytest.raises(ValueError, match="cannot grow"):
        Backoff(first, most, factor)


def test_wait_sleeps_for_the_next_delay() -> None:
    backoff = Backoff(first=0.001, most=0.001)
    asyncio.run(backoff.wait())
    assert backoff.attempts == 1
