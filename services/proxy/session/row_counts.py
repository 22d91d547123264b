"""The number that a LIMIT or OFFSET has in a statement with its parameters. Pure."""

from services.proxy.session.requests import Request
from services.proxy.sql.claims import ValueRef
from services.proxy.sql.template import Lexed
from services.shared.keyspace.canonical import TypeOid

_TEXT_FORMAT = 0
_SIZES = {0: 8, TypeOid.INT8: 8, TypeOid.INT4: 4, TypeOid.INT2: 2}  # of a number, by declared type; undeclared: int8


def row_count(ref: ValueRef, lexed: Lexed, request: Request) -> int | None:
    """Return the number; None where it cannot be told, or is NULL.

    Args:
        ref: Where it comes from.
        lexed: The statement.
        request: Its parameters.
    """
    if ref.kind == "literal":
        text = lexed.literals[ref.number].value or ""
        return int(text) if text.isdecimal() and text.isascii() else None
    value = request.values[ref.number] if ref.number < len(request.values) else None
    declared = request.parameter_types[ref.number] if ref.number < len(request.parameter_types) else 0
    if value is None or declared not in _SIZES:
        return None
    if request.parameter_format(ref.number) == _TEXT_FORMAT:
        return int(value) if value.isdigit() else None
    return int.from_bytes(value, "big", signed=True) if len(value) == _SIZES[declared] else None
