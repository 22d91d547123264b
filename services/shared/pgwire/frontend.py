"""What a client says after its start-up packet: one value per message, one table of decoders.

Statement names, portal names, SQL and values are `bytes` in the session's `client_encoding`. No `repr` shows SQL,
values, passwords or copied data, so a message may be logged. The messages of COPY have a room of their own,
`copy_mode`, and are named here again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from services.shared.pgwire import copy_mode
from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.copy_mode import CopyData, CopyDone, CopyFail
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.fields import (
    FieldReader,
    pack_counted_values,
    pack_cstring,
    pack_int16,
    pack_int16_list,
    pack_int32,
    pack_uint8,
    pack_uint32,
    pack_uint32_list,
)
from services.shared.pgwire.framing import UnknownMessage, frame, open_frame

__all__ = [
    "BINARY_FORMAT",
    "DECODERS",
    "FLUSH",
    "SYNC",
    "TERMINATE",
    "TEXT_FORMAT",
    "Bind",
    "Close",
    "CopyData",
    "CopyDone",
    "CopyFail",
    "Describe",
    "Execute",
    "Flush",
    "FrontendMessage",
    "FunctionCall",
    "Parse",
    "PasswordMessage",
    "Query",
    "Sync",
    "Target",
    "Terminate",
    "UnknownMessage",
    "decode_frontend",
    "format_of",
    "parameter_format",
    "result_format",
]

TEXT_FORMAT: Final = 0
BINARY_FORMAT: Final = 1

SYNC: Final = frame(FrontendCode.SYNC)
FLUSH: Final = frame(FrontendCode.FLUSH)
TERMINATE: Final = frame(FrontendCode.TERMINATE)


class Target(IntEnum):
    """What Describe and Close speak of."""

    STATEMENT = ord("S")
    PORTAL = ord("P")


@dataclass(frozen=True, slots=True)
class Query:
    """The simple protocol: one string, any number of statements."""

    sql: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.QUERY, pack_cstring(self.sql))


@dataclass(frozen=True, slots=True)
class Parse:
    """Make a prepared statement; the empty name is the unnamed one, which is replaced freely."""

    statement: bytes
    sql: bytes = field(repr=False)
    parameter_types: tuple[int, ...] = ()
    """Type OIDs; 0, or none at all, leaves the type to the server."""

    def encode(self) -> bytes:
        """Write the message."""
        body = pack_cstring(self.statement) + pack_cstring(self.sql) + pack_uint32_list(self.parameter_types)
        return frame(FrontendCode.PARSE, body)


@dataclass(frozen=True, slots=True)
class Bind:
    """Make a portal of a prepared statement and values.

    `parameter_formats` holds no entry (all text), one (for all) or one per value; `result_formats` likewise per column.
    """

    portal: bytes
    statement: bytes
    parameter_formats: tuple[int, ...]
    values: tuple[bytes | None, ...] = field(repr=False)
    result_formats: tuple[int, ...]

    def encode(self) -> bytes:
        """Write the message."""
        names = pack_cstring(self.portal) + pack_cstring(self.statement)
        return frame(FrontendCode.BIND, names + self.encode_behind_names())

    def encode_behind_names(self) -> bytes:
        """Write what stands in it behind the names of portal and statement."""
        values = pack_int16_list(self.parameter_formats) + pack_counted_values(self.values)
        return values + pack_int16_list(self.result_formats)


@dataclass(frozen=True, slots=True)
class Describe:
    """Ask for the parameters and columns of a statement, or the columns of a portal."""

    target: Target
    name: bytes

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.DESCRIBE, pack_uint8(self.target) + pack_cstring(self.name))


@dataclass(frozen=True, slots=True)
class Close:
    """Forget a statement or a portal; not an error if there is none."""

    target: Target
    name: bytes

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.CLOSE, pack_uint8(self.target) + pack_cstring(self.name))


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a portal; `row_limit` 0 means to the end (and so does any number below)."""

    portal: bytes
    row_limit: int = 0

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.EXECUTE, pack_cstring(self.portal) + pack_int32(self.row_limit))


@dataclass(frozen=True, slots=True)
class Sync:
    """End of a turn: the implicit transaction ends and ReadyForQuery follows."""

    def encode(self) -> bytes:
        """Write the message."""
        return SYNC


@dataclass(frozen=True, slots=True)
class Flush:
    """Send what is answered so far, without ending the turn."""

    def encode(self) -> bytes:
        """Write the message."""
        return FLUSH


@dataclass(frozen=True, slots=True)
class Terminate:
    """The client leaves."""

    def encode(self) -> bytes:
        """Write the message."""
        return TERMINATE


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The fast-path call of a function by OID: a turn of its own, answered with ReadyForQuery."""

    function: int
    argument_formats: tuple[int, ...]
    arguments: tuple[bytes | None, ...] = field(repr=False)
    result_format: int

    def encode(self) -> bytes:
        """Write the message."""
        arguments = pack_int16_list(self.argument_formats) + pack_counted_values(self.arguments)
        body = pack_uint32(self.function) + arguments + pack_int16(self.result_format)
        return frame(FrontendCode.FUNCTION_CALL, body)


@dataclass(frozen=True, slots=True)
class PasswordMessage:
    """A password, or a SASL or GSS response: opaque, because only the exchange tells which. See `authentication`."""

    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.PASSWORD, self.data)


FrontendMessage = (
    Query
    | Parse
    | Bind
    | Describe
    | Close
    | Execute
    | Sync
    | Flush
    | Terminate
    | FunctionCall
    | PasswordMessage
    | CopyData
    | CopyDone
    | CopyFail
    | UnknownMessage
)


def format_of(formats: tuple[int, ...], index: int) -> int:
    """Return the format code of one value out of a list that may stand for all of them.

    Raises:
        ProtocolViolation: The list has more than one entry, and none for this value.
    """
    if not formats:
        return TEXT_FORMAT
    if len(formats) == 1:
        return formats[0]
    if index >= len(formats):
        raise ProtocolViolation(f"{len(formats)} format codes, none for value {index + 1}")
    return formats[index]


def parameter_format(bind: Bind, index: int) -> int:
    """Return the format code of a parameter, counted from 0. Never raises for a decoded Bind and its own values."""
    return format_of(bind.parameter_formats, index)


def result_format(bind: Bind, index: int) -> int:
    """Return the format code asked for a result column, counted from 0; raises as `format_of` does."""
    return format_of(bind.result_formats, index)


def _check_formats(formats: tuple[int, ...], values: tuple[bytes | None, ...], message: str) -> None:
    if len(formats) > 1 and len(formats) != len(values):
        raise ProtocolViolation(f"{message} has {len(formats)} parameter formats but {len(values)} parameters")


def _query(reader: FieldReader) -> Query:
    return Query(reader.cstring())


def _parse(reader: FieldReader) -> Parse:
    return Parse(reader.cstring(), reader.cstring(), reader.uint32_list())


def _bind(reader: FieldReader) -> Bind:
    portal, statement = reader.cstring(), reader.cstring()
    formats, values = reader.int16_list(), reader.counted_values()
    _check_formats(formats, values, "bind message")
    return Bind(portal, statement, formats, values, reader.int16_list())


def _target(reader: FieldReader, message: str) -> Target:
    code = reader.uint8()
    try:
        return Target(code)
    except ValueError:
        raise ProtocolViolation(f"invalid {message} message subtype {code}") from None


def _describe(reader: FieldReader) -> Describe:
    return Describe(_target(reader, "DESCRIBE"), reader.cstring())


def _close(reader: FieldReader) -> Close:
    return Close(_target(reader, "CLOSE"), reader.cstring())


def _execute(reader: FieldReader) -> Execute:
    return Execute(reader.cstring(), reader.int32())


def _function_call(reader: FieldReader) -> FunctionCall:
    function, formats, arguments = reader.uint32(), reader.int16_list(), reader.counted_values()
    _check_formats(formats, arguments, "function call message")
    return FunctionCall(function, formats, arguments, reader.int16())


DECODERS: Final[Mapping[int, Callable[[FieldReader], FrontendMessage]]] = {
    FrontendCode.BIND: _bind,
    FrontendCode.CLOSE: _close,
    FrontendCode.COPY_DATA: copy_mode.read_copy_data,
    FrontendCode.COPY_DONE: copy_mode.read_copy_done,
    FrontendCode.COPY_FAIL: copy_mode.read_copy_fail,
    FrontendCode.DESCRIBE: _describe,
    FrontendCode.EXECUTE: _execute,
    FrontendCode.FLUSH: lambda reader: Flush(),
    FrontendCode.FUNCTION_CALL: _function_call,
    FrontendCode.PARSE: _parse,
    FrontendCode.PASSWORD: lambda reader: PasswordMessage(reader.rest()),
    FrontendCode.QUERY: _query,
    FrontendCode.SYNC: lambda reader: Sync(),
    FrontendCode.TERMINATE: lambda reader: Terminate(),
}


def decode_frontend(data: bytes, start: int = 0, end: int | None = None) -> FrontendMessage:
    """Decode the one message `data[start:end]`; the end of the data by default.

    Raises:
        ProtocolViolation: The bytes are not exactly one well-formed message. Its boundaries still stand, so the message
            may be forwarded for Postgres to refuse.
        ValueError: The bounds do not lie inside the data.
    """
    code, reader = open_frame(data, start, end)
    decoder = DECODERS.get(code)
    if decoder is None:
        return UnknownMessage(code, reader.rest())
    message = decoder(reader)
    reader.expect_end()
    return message
