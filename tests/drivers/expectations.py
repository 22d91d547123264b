"""What every driver should read from the table of common types."""

import datetime as dt
import uuid
from decimal import Decimal
from hashlib import md5

COLUMNS = "id, name, price, at, day, code, body, tags, paid, weight, big"


def row(number: int, name: str | None = None) -> tuple[object, ...]:
    """Return one row of `kinds` in Python's types (`COLUMNS`, so without the JSON, which drivers read differently)."""
    return (
        number,
        name or f"name {number}",
        Decimal(number) * Decimal("1.25"),
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=number),
        dt.date(2026, 1, 1) + dt.timedelta(days=number),
        uuid.UUID(md5(str(number).encode()).hexdigest()),
        b"\x00\xff",
        ["a", f"b{number}"],
        number % 2 == 0,
        number / 4,
        number * 1_000_000_000_000,
    )


NULL_ROW = (0, *[None] * 10)
