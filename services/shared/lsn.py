"""Log sequence numbers: places in the write-ahead log of Postgres.

An LSN is a plain `int` at run time (arithmetic and comparison on the hot path cost nothing extra) and a type of its own
for the checker, so that it cannot be swapped with a count or a position.
"""

from typing import NewType

Lsn = NewType("Lsn", int)

NO_LSN = Lsn(0)
"""Below every real LSN. As a watermark it covers nothing."""

_HALF = 0xFFFFFFFF


def parse_lsn(text: str) -> Lsn:
    """Read Postgres's own notation, such as `16/B374D848`.

    Raises:
        ValueError: The text is not two hexadecimal halves of 32 bits.
    """
    high, separator, low = text.partition("/")
    if not separator:
        raise ValueError(f"not an LSN: {text!r}")
    high_half, low_half = int(high, 16), int(low, 16)
    if not (0 <= high_half <= _HALF and 0 <= low_half <= _HALF):
        raise ValueError(f"not an LSN: {text!r}")
    return Lsn(high_half << 32 | low_half)


def format_lsn(lsn: int) -> str:
    """Write an LSN as Postgres does."""
    return f"{lsn >> 32:X}/{lsn & _HALF:X}"


def sortable(lsn: int) -> str:
    """Write an LSN as 16 hexadecimal digits, which compare as text as the numbers do.

    Lua's doubles do not hold 64 bits, so scripts in Redis compare LSNs as text of this form.
    """
    return f"{lsn:016x}"


def parse_sortable(text: str | bytes) -> Lsn:
    """Read what `sortable` wrote."""
    return Lsn(int(text, 16))
