"""Ranges as sets of tags: every interval of keys is put together from blocks that either hold a key or do not. Pure.

A key is a whole number of `KEY_BITS` bits. Blocks of level n are the runs of 4^n keys that begin at a multiple of that.
A key lies in one block of each level, `LEVELS` in all; an interval is covered by a few blocks of each. So an answer
that rests on a range carries the tags of the blocks that cover it, and a row those of the blocks that its value is in:
they have one in common exactly if the value's key is in the interval. Only sets are needed for that, as for equalities.

With 4 a row has 16 tags, and a range at most 96; with 2 it would be 32 and 62, with 16 it would be 8 and 240.
"""

from collections.abc import Iterator
from struct import Struct

KEY_BITS = 32

_STEP_BITS = 2
_SIZE = 1 << _STEP_BITS
LEVELS = KEY_BITS // _STEP_BITS
MOST_BLOCKS = 2 * (_SIZE - 1) * LEVELS
"""Of one interval: on each level, all but one of a larger block at either end."""

_name = Struct(">BI").pack


def cover(low: int, high: int) -> tuple[bytes, ...]:
    """Return names of the blocks that cover all keys from `low` to `high`; none where `high` is less than `low`."""
    return tuple(_blocks(low, high))


def blocks_of(key: int) -> tuple[bytes, ...]:
    """Return the names of the blocks that a key lies in."""
    return tuple([_name(level, key >> level * _STEP_BITS) for level in range(LEVELS)])


def _blocks(low: int, high: int) -> Iterator[bytes]:
    for level in range(LEVELS):
        is_top = level == LEVELS - 1
        while low <= high and (is_top or low % _SIZE):
            yield _name(level, low)
            low += 1
        while low <= high and high % _SIZE != _SIZE - 1:
            yield _name(level, high)
            high -= 1
        if low > high:
            return
        low, high = low >> _STEP_BITS, high >> _STEP_BITS
