"""The end of a full page: the range of its order that the answer tells. Pure."""

from services.proxy.session.requests import Request
from services.proxy.session.row_counts import row_count
from services.proxy.session.shown_rows import format_of, row_starts, values_at
from services.proxy.sql.pages import Page
from services.proxy.sql.template import Lexed
from services.shared.keyspace.intervals import cover
from services.shared.keyspace.order_keys import HIGHEST, LOWEST, Keys, OrderedOid, keys_of_binary, keys_of_text

_TEXT_FORMAT = 0


def page_blocks(page: Page, lexed: Lexed, request: Request, rows: bytes) -> list[bytes] | None:
    """Return the blocks of values up to the last row's; None if the page is not full, or that cannot be told.

    Args:
        page: How the statement pages.
        lexed: The statement.
        request: Its parameters.
        rows: The answer's DataRow messages.
    """
    limit = row_count(page.limit, lexed, request) or 0
    starts = row_starts(rows, limit) if limit > 0 else None
    last = values_at(rows, starts[-1], (page.place,), page.width) if starts and len(starts) == limit else None
    value = last[0] if last is not None else None
    keys = None if value is None else _keys(page, value, format_of(page.place, request.result_formats))
    if keys is None:
        return None
    return list(cover(keys.low, HIGHEST) if page.is_descending else cover(LOWEST, keys.high))


def _keys(page: Page, value: bytes, value_format: int) -> Keys | None:
    type_oid = page.column.type_oid
    if value_format != _TEXT_FORMAT:
        return keys_of_binary(type_oid, type_oid, value)
    if type_oid == OrderedOid.FLOAT8:
        return None  # as a text it is rounded, if `extra_float_digits` says so
    try:
        return keys_of_text(type_oid, type_oid, value.decode())
    except UnicodeDecodeError:
        return None
