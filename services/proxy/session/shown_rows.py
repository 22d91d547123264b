"""The keys that an answer's rows show, as tags: a change of one of these rows evicts it. Pure."""

from services.proxy.sql.shown_keys import ShownKey
from services.shared.keyspace.canonical import canonical_binary, canonical_text
from services.shared.pgwire.fields import FieldReader
from services.shared.pgwire.framing import HEADER_BYTES, HEADER_UNPACK
from services.shared.relation import value_tag

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
    found = decoded_rows(rows, MOST_ROWS)
    if found is None:
        return None
    tags: dict[str, None] = {}
    for values in found:
        if len(values) != key.width:
            return None
        forms = []
        for place, column in zip(key.places, key.shape.columns, strict=True):
            form = _form(column.type_oid, values[place], format_of(place, result_formats))
            if form is None:
                return None
            forms.append(form)
        tags[value_tag(key.shape, forms)] = None
    return tuple(tags)


def decoded_rows(messages: bytes, most: int) -> list[tuple[bytes | None, ...]] | None:
    """Return the values of an answer's DataRow messages; None if they are more than so many."""
    found: list[tuple[bytes | None, ...]] = []
    start = 0
    while start < len(messages):
        if len(found) == most:
            return None
        _, length = HEADER_UNPACK(messages, start)
        end = start + 1 + length
        found.append(FieldReader(messages, start + HEADER_BYTES, end).counted_values())
        start = end
    return found


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
