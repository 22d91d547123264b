"""Positions and LSNs of all partitions as one text of fixed-width cells, which the scripts cut and compare. Pure."""

from collections.abc import Iterable

from services.shared.lsn import Lsn, parse_sortable, sortable
from services.shared.position import Position, parse_position

_SEPARATOR = ","


def join_positions(positions: Iterable[Position]) -> str:
    """Write one position per partition."""
    return _SEPARATOR.join(map(str, positions))


def split_positions(text: str | bytes) -> tuple[Position, ...]:
    """Read what `join_positions` wrote; the empty text is no position.

    Raises:
        ValueError: The text is not of that form.
    """
    joined = text.decode() if isinstance(text, bytes) else text
    return tuple(parse_position(cell) for cell in joined.split(_SEPARATOR)) if joined else ()


def join_lsns(lsns: Iterable[Lsn]) -> str:
    """Write one LSN per partition."""
    return _SEPARATOR.join(map(sortable, lsns))


def split_lsns(text: str | bytes) -> tuple[Lsn, ...]:
    """Read what `join_lsns` wrote; the empty text is no LSN.

    Raises:
        ValueError: The text is not of that form.
    """
    joined = text.decode() if isinstance(text, bytes) else text
    return tuple(parse_sortable(cell) for cell in joined.split(_SEPARATOR)) if joined else ()
