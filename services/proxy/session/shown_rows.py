"""The keys that an answer's rows show, as tags: a change of one of these rows evicts it. Pure."""

from collections.abc import Sequence

from services.proxy.sql.shown_keys import ShownKey
from services.shared.keyspace.canonical import canonical_binary, canonical_text
from services.shared.pgwire.fields import FieldReader
from services.shared.pgwire.framing import HEADER_BYTES, HEADER_UNPACK
from services.shared.relation import value_tags

MOST_ROWS = 100
"""Of an answer; one with more depends on every row whose old values are unknown."""

_TEXT_FORMAT = 0


def shown_key_tags(key: ShownKey, rows: bytes, result_formats: tuple[int, ...]) -> tuple[str, ...] | None:
    """Return a tag for each row of an answer; None where one cannot be told, or there are too many.

    Args:
        key: Where the rows show it.
        rows: The answer's DataRow messages.
        result_formats: As in Bind: none (all text), one for all, or one for each column.
    """
    starts = row_starts(rows, MOST_ROWS)
    if starts is None:
        return None
    forms: dict[tuple[bytes, ...], None] = {}
    for start in starts:
        values = values_at(rows, start, key.places, key.width)
        if values is None:
            return None
        form = [
            _form(column.type_oid, value, format_of(place, result_formats))
            for place, column, value in zip(key.places, key.shape.columns, values, strict=True)
        ]
        known = tuple(part for part in form if part is not None)
        if len(known) != len(form):
            return None
        forms[known] = None
    return tuple(value_tags(key.shape, forms))


def row_starts(messages: bytes, most: int) -> list[int] | None:
    """Return where an answer's DataRow messages begin; None if they are more than so many."""
    starts: list[int] = []
    start = 0
    while start < len(messages):
        if len(starts) == most:
            return None
        starts.append(start)
        start += 1 + HEADER_UNPACK(messages, start)[1]
    return starts


def values_at(messages: bytes, start: int, places: Sequence[int], width: int) -> list[bytes | None] | None:
    """Return some values of the row that begins at `start`; None if it has another number of columns."""
    reader = FieldReader(messages, start + HEADER_BYTES)
    if reader.uint16() != width:
        return None
    values = [reader.counted() for _ in range(max(places) + 1)]
    return [values[place] for place in places]


def _form(type_oid: int, value: bytes | None, value_format: int) -> bytes | None:
    if value is None:
        return None
    if value_format != _TEXT_FORMAT:
        return canonical_binary(type_oid, value)
    try:
        return canonical_text(type_oid, value.decode())
    except UnicodeDecodeError:
        return None


def format_of(place: int, formats: tuple[int, ...]) -> int:
    """Return the format of a column of the result."""
    if len(formats) == 1:
        return formats[0]
    return formats[place] if formats else _TEXT_FORMAT
