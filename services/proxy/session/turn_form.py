"""The usual form of a turn, told by its bytes: one statement, run at once, to the end of the turn.

A simple Query; or `Parse Bind [Describe] Execute Sync` on the unnamed statement and portal; or the same without the
Parse on a named statement. Nearly every turn of nearly every client has one of these forms and comes in one piece, so
that it is told without decoding its messages. What is not told here is read message by message. Pure.
"""

import struct
from typing import NamedTuple

from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.frontend import Execute, Sync

_LENGTH = struct.Struct(">I").unpack_from
_COUNT = struct.Struct(">H").unpack_from
_FORMAT = struct.Struct(">h").unpack_from
_QUERY, _PARSE, _BIND = int(FrontendCode.QUERY), int(FrontendCode.PARSE), int(FrontendCode.BIND)
_SYNC = Sync().encode()
_DESCRIBE_PORTAL = b"D\0\0\0\6P\0"
_EXECUTE = Execute(b"", 0).encode()[:-4]  # on the unnamed portal; the row limit follows
_EXECUTE_BYTES = len(_EXECUTE) + 4
_MOST_ROWS = 0x7FFFFFFF
_NULL = 0xFFFFFFFF
_new = tuple.__new__  # a NamedTuple's own constructor is a Python function, and a turn's form is told for each turn
_MOST_VALUES = 64  # of a Bind; one with more is read elsewhere, in no hurry
_MAX_HEAD_BYTES = 16 * 1024


class TurnForm(NamedTuple):
    """A turn of the usual form.

    Attributes:
        head: What names its statement: the text of a Query, a whole Parse message, or a NUL and the statement's name.
        simple: It is a Query.
        bind_at: Where the Bind's formats begin, behind the names of portal and statement.
        bind_end: Where the Bind ends.
        described: The portal is described.
        row_limit: How many rows are wanted; 0: all.
    """

    head: bytes
    simple: bool
    bind_at: int
    bind_end: int
    described: bool
    row_limit: int

    @property
    def parses(self) -> bool:
        """Whether it parses the unnamed statement."""
        return not self.simple and self.head[0] != 0


class Bound(NamedTuple):
    """What a Bind says behind its names; `raw`: as it stands there."""

    parameter_formats: tuple[int, ...] = ()
    values: tuple[bytes | None, ...] = ()
    result_formats: tuple[int, ...] = ()
    raw: bytes = b""


NO_VALUES = Bound()
"""What a simple Query brings."""


def turn_form(data: bytes) -> TurnForm | None:
    """Tell the form of these bytes; None when they are not exactly one turn of a usual form."""
    size = len(data)
    if size < _EXECUTE_BYTES:
        return None
    kind = data[0]
    first_end = _LENGTH(data, 1)[0] + 1
    if kind == _QUERY:
        if first_end != size or data.find(0, 5) != size - 1:
            return None
        return _new(TurnForm, (data[5:-1], True, 0, 0, True, 0))
    if kind == _PARSE:
        if data[5] != 0 or first_end > _MAX_HEAD_BYTES:
            return None
        head, bind = data[:first_end], first_end
    elif kind == _BIND:
        head, bind = b"", 0
    else:
        return None
    return _extended(data, head, bind, size)


def _extended(data: bytes, head: bytes, bind: int, size: int) -> TurnForm | None:
    """Tell `Bind [Describe] Execute Sync` from where the Bind begins."""
    last = size - len(_SYNC)
    execute = last - _EXECUTE_BYTES
    if execute - bind < 6 or data[bind] != _BIND or data[bind + 5] != 0:
        return None
    bind_end = bind + 1 + _LENGTH(data, bind + 1)[0]
    described = bind_end + len(_DESCRIBE_PORTAL) == execute
    if bind_end != execute and not (described and data.startswith(_DESCRIBE_PORTAL, bind_end)):
        return None
    if not (data.startswith(_EXECUTE, execute) and data.endswith(_SYNC)):
        return None
    name_end = data.find(0, bind + 6, bind_end)
    if name_end < 0 or (name_end == bind + 6) is not bool(head):  # a Parse goes with no name, and only that does
        return None
    row_limit = _LENGTH(data, last - 4)[0]
    if row_limit > _MOST_ROWS:
        return None
    return _new(TurnForm, (head or data[bind + 5 : name_end], False, name_end + 1, bind_end, described, row_limit))


def read_bound(data: bytes, form: TurnForm) -> Bound | None:
    """Read the formats and values of a turn's Bind; None when they are malformed or many."""
    try:
        return _bound(data, form.bind_at, form.bind_end)
    except struct.error:
        return None


def _bound(data: bytes, begin: int, end: int) -> Bound | None:
    parameter_formats, at = _formats(data, begin)
    count = _COUNT(data, at)[0]
    if len(parameter_formats) > 1 and len(parameter_formats) != count:
        return None
    at += 2
    values: list[bytes | None] = []
    for _ in range(min(count, _MOST_VALUES + 1)):
        length = _LENGTH(data, at)[0]
        at += 4
        if length == _NULL:
            values.append(None)
            continue
        if length > end - at:
            return None
        values.append(data[at : at + length])
        at += length
    if count > _MOST_VALUES:
        return None
    result_formats, at = _formats(data, at)
    return Bound(parameter_formats, tuple(values), result_formats, data[begin:end]) if at == end else None


def _formats(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """Read a list of format codes, and where it ends."""
    count = _COUNT(data, at)[0]
    at += 2
    if not count:
        return (), at
    if count == 1:
        return _FORMAT(data, at), at + 2
    return struct.unpack_from(f">{count}h", data, at), at + 2 * count
