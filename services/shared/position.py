"""Positions: places in the event log that mean the same after a replay, a fail-over or a second reading.

A position is the incarnation of the CDC service that wrote a record (an LSN of its own) and the count of that record in
its partition since the incarnation began. Consistency contract, section 5.
"""

from typing import NamedTuple

from services.shared.lsn import Lsn


class Position(NamedTuple):
    """A place in one partition of the event log; compared as a pair, and only inside one stream epoch."""

    incarnation: Lsn
    k: int

    def __str__(self) -> str:
        """Fixed width, so that the text compares as the pair does (Lua's doubles do not hold 64 bits)."""
        return f"{self.incarnation:016x}-{self.k:016x}"

    @property
    def stream_id(self) -> str:
        """The position as an explicit id of a Redis stream, which is decimal."""
        return f"{self.incarnation}-{self.k}"


START = Position(Lsn(0), 0)
"""Before every record."""


def earlier(one: tuple[Position, ...], other: tuple[Position, ...]) -> tuple[Position, ...]:
    """Return the earlier position of each partition."""
    return tuple(map(min, one, other))


def parse_position(text: str | bytes) -> Position:
    """Read what `str(position)` wrote.

    Raises:
        ValueError: The text is not of that form.
    """
    incarnation, _, k = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return Position(Lsn(int(incarnation, 16)), int(k, 16))


def parse_stream_id(text: str | bytes) -> Position:
    """Read the explicit id of a Redis stream."""
    incarnation, _, k = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return Position(Lsn(int(incarnation)), int(k))


def partition_of(relation: int, partition_count: int) -> int:
    """Return the partition that carries every event of a relation."""
    return relation % partition_count
