"""An answer that came whole, in one piece: the common case, in which no message has to be looked at twice. Pure."""

import struct
from typing import NamedTuple

from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import BackendCode, TransactionStatus

_LENGTH = struct.Struct(">I").unpack_from
_READY = READY_FOR_QUERY[TransactionStatus.IDLE]
_DATA_ROW, _READY_CODE = int(BackendCode.DATA_ROW), int(BackendCode.READY_FOR_QUERY)
_ROW_DESCRIPTION, _NO_DATA = int(BackendCode.ROW_DESCRIPTION), int(BackendCode.NO_DATA)
_PARSE_COMPLETE, _BIND_COMPLETE = int(BackendCode.PARSE_COMPLETE), int(BackendCode.BIND_COMPLETE)
_COMPLETIONS = frozenset((int(BackendCode.COMMAND_COMPLETE), int(BackendCode.PORTAL_SUSPENDED)))


class WholeAnswer(NamedTuple):
    """The parts of an answer to one statement that succeeded, outside of a block.

    Attributes:
        parsed: It begins with a ParseComplete.
        described: The whole RowDescription; empty without.
        without_columns: A NoData stands in its place.
        rows: The DataRows.
        complete: The CommandComplete, or PortalSuspended.
    """

    parsed: bool
    described: bytes
    without_columns: bool
    rows: bytes
    complete: bytes


def whole_answer(data: bytes) -> WholeAnswer | None:
    """Take an answer apart; None when it is not whole, or anything in it is not quite usual."""
    last = len(data) - len(_READY)
    if last <= 0 or not data.endswith(_READY):
        return None
    kind, end = _message(data, 0, last)
    parsed = kind == _PARSE_COMPLETE
    at = 0
    if parsed:
        at = end
        kind, end = _message(data, at, last)
    if kind == _BIND_COMPLETE:
        at = end
        kind, end = _message(data, at, last)
    described, without_columns = b"", kind == _NO_DATA
    if kind == _ROW_DESCRIPTION:
        described = data[at:end]
    if described or without_columns:
        at = end
        kind, end = _message(data, at, last)
    rows_at = at
    while kind == _DATA_ROW:
        at = end
        kind, end = _message(data, at, last)
    if kind not in _COMPLETIONS or end != last:
        return None
    return WholeAnswer(parsed, described, without_columns, data[rows_at:at], data[at:end])


def _message(data: bytes, at: int, last: int) -> tuple[int, int]:
    """Return a message's kind and end; of one that does not end in front of `last`, no kind."""
    if at >= last:
        return 0, last
    end = at + 1 + _LENGTH(data, at + 1)[0]
    return (data[at], end) if at + 4 < end <= last else (0, last)
