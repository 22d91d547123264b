"""Blocks cover exactly the keys of an interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.keyspace.intervals import KEY_BITS, LEVELS, MOST_BLOCKS, blocks_of, cover

_LAST = (1 << KEY_BITS) - 1
_key = st.one_of(
    st.integers(0, _LAST),
    st.integers(0, KEY_BITS - 1).flatmap(lambda bits: st.integers(max(0, 2**bits - 20), min(_LAST, 2**bits + 20))),
)


def _is_covered(key: int, low: int, high: int) -> bool:
    return not set(cover(low, high)).isdisjoint(blocks_of(key))


@given(st.tuples(_key, _key).map(sorted), st.data())
def test_every_key_of_an_interval_is_covered(ends: list[int], data: st.DataObject) -> None:
    low, high = ends
    key = data.draw(st.one_of(st.sampled_from(ends), st.integers(low, high)))
    assert _is_covered(key, low, high)
    assert len(cover(low, high)) <= MOST_BLOCKS


@given(st.tuples(_key, _key).map(sorted), _key)
def test_no_other_key_is_covered(ends: list[int], key: int) -> None:
    low, high = ends
    for other in (key, low - 1, high + 1):
        assert not 0 <= other <= _LAST or _is_covered(other, low, high) == (low <= other <= high)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17])
def test_a_small_interval_is_covered_exactly(size: int) -> None:
    for low in range(300):
        covered = [key for key in range(400) if _is_covered(key, low, low + size - 1)]
        assert covered == list(range(low, low + size))


def test_an_empty_interval_has_no_blocks() -> None:
    assert cover(5, 4) == ()


def test_all_keys_are_covered_by_few_blocks() -> None:
    assert len(cover(0, _LAST)) == 4
    assert len(blocks_of(_LAST)) == LEVELS
