"""What a server says: the messages of a session, and the table of decoders for all of them.

The larger families have rooms of their own and are named here again, so that this module speaks for the whole
direction: `authentication`, `rows`, `notice`, `copy_mode`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from services.shared.pgwire import authentication, copy_mode, notice, rows
from services.shared.pgwire.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationMd5Password,
    AuthenticationOk,
    AuthenticationOther,
    AuthenticationRequest,
    AuthenticationSasl,
    AuthenticationSaslContinue,
    AuthenticationSaslFinal,
)
from services.shared.pgwire.codes import BackendCode, TransactionStatus
from services.shared.pgwire.copy_mode import CopyBothResponse, CopyData, CopyDone, CopyInResponse, CopyOutResponse
from services.shared.pgwire.errors import ProtocolViolation, Unencodable
from services.shared.pgwire.fields import FieldReader, pack_counted, pack_int32, pack_text, pack_uint8, pack_uint32
from services.shared.pgwire.framing import UnknownMessage, frame, open_frame
from services.shared.pgwire.notice import ErrorResponse, NoticeResponse, error_response, notice_response
from services.shared.pgwire.rows import Column, CommandComplete, DataRow, ParameterDescription, RowDescription

__all__ = [
    "BIND_COMPLETE",
    "CLOSE_COMPLETE",
    "DECODERS",
    "EMPTY_QUERY_RESPONSE",
    "NO_DATA",
    "PARSE_COMPLETE",
    "PORTAL_SUSPENDED",
    "READY_FOR_QUERY",
    "AuthenticationCleartextPassword",
    "AuthenticationMd5Password",
    "AuthenticationOk",
    "AuthenticationOther",
    "AuthenticationRequest",
    "AuthenticationSasl",
    "AuthenticationSaslContinue",
    "AuthenticationSaslFinal",
    "BackendKeyData",
    "BackendMessage",
    "BindComplete",
    "CloseComplete",
    "Column",
    "CommandComplete",
    "CopyBothResponse",
    "CopyData",
    "CopyDone",
    "CopyInResponse",
    "CopyOutResponse",
    "DataRow",
    "EmptyQueryResponse",
    "ErrorResponse",
    "FunctionCallResponse",
    "NegotiateProtocolVersion",
    "NoData",
    "NoticeResponse",
    "NotificationResponse",
    "ParameterDescription",
    "ParameterStatus",
    "ParseComplete",
    "PortalSuspended",
    "ReadyForQuery",
    "RowDescription",
    "UnknownMessage",
    "decode_backend",
    "error_response",
    "notice_response",
]

MIN_CANCEL_KEY_BYTES: Final = 4
MAX_CANCEL_KEY_BYTES: Final = 256
"""Protocol 3.0 has cancel keys of 4 bytes; 3.2 allows up to this."""

PARSE_COMPLETE: Final = frame(BackendCode.PARSE_COMPLETE)
BIND_COMPLETE: Final = frame(BackendCode.BIND_COMPLETE)
CLOSE_COMPLETE: Final = frame(BackendCode.CLOSE_COMPLETE)
NO_DATA: Final = frame(BackendCode.NO_DATA)
EMPTY_QUERY_RESPONSE: Final = frame(BackendCode.EMPTY_QUERY_RESPONSE)
PORTAL_SUSPENDED: Final = frame(BackendCode.PORTAL_SUSPENDED)
READY_FOR_QUERY: Final[Mapping[int, bytes]] = {
    status: frame(BackendCode.READY_FOR_QUERY, pack_uint8(status)) for status in TransactionStatus
}
"""ReadyForQuery by status byte, ready to send."""


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    """What a client needs to cancel a query of this session."""

    pid: int
    key: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        check_cancel_key(self.key, Unencodable)
        return frame(BackendCode.BACKEND_KEY_DATA, pack_int32(self.pid) + self.key)


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """A setting that the server reports, at the start and whenever it changes."""

    name: str
    value: str

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.PARAMETER_STATUS, pack_text(self.name) + pack_text(self.value))


@dataclass(frozen=True, slots=True)
class ReadyForQuery:
    """The end of a turn's answer."""

    status: TransactionStatus

    def encode(self) -> bytes:
        """Write the message."""
        return READY_FOR_QUERY[self.status]


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion:
    """The server cannot do all that the start-up packet asked; the client goes on with less or leaves."""

    version: int
    """The newest version the server does, as the 32-bit number of a start-up packet (`0x00030000` is 3.0)."""
    unrecognised_options: tuple[str, ...]
    """Names of `_pq_.` parameters that the server does not know."""

    def encode(self) -> bytes:
        """Write the message."""
        options = b"".join(map(pack_text, self.unrecognised_options))
        head = pack_uint32(self.version) + pack_uint32(len(self.unrecognised_options))
        return frame(BackendCode.NEGOTIATE_PROTOCOL_VERSION, head + options)


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    """A NOTIFY on a channel that the session listens to."""

    pid: int
    channel: str
    payload: str = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        body = pack_int32(self.pid) + pack_text(self.channel) + pack_text(self.payload)
        return frame(BackendCode.NOTIFICATION_RESPONSE, body)


@dataclass(frozen=True, slots=True)
class FunctionCallResponse:
    """The result of FunctionCall."""

    value: bytes | None = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.FUNCTION_CALL_RESPONSE, pack_counted(self.value))


@dataclass(frozen=True, slots=True)
class ParseComplete:
    """A statement was prepared."""

    def encode(self) -> bytes:
        """Write the message."""
        return PARSE_COMPLETE


@dataclass(frozen=True, slots=True)
class BindComplete:
    """A portal was made."""

    def encode(self) -> bytes:
        """Write the message."""
        return BIND_COMPLETE


@dataclass(frozen=True, slots=True)
class CloseComplete:
    """A statement or portal is gone."""

    def encode(self) -> bytes:
        """Write the message."""
        return CLOSE_COMPLETE


@dataclass(frozen=True, slots=True)
class NoData:
    """What was described returns no rows."""

    def encode(self) -> bytes:
        """Write the message."""
        return NO_DATA


@dataclass(frozen=True, slots=True)
class EmptyQueryResponse:
    """Stands for CommandComplete where there was no statement."""

    def encode(self) -> bytes:
        """Write the message."""
        return EMPTY_QUERY_RESPONSE


@dataclass(frozen=True, slots=True)
class PortalSuspended:
    """Stands for CommandComplete where Execute's row limit was reached."""

    def encode(self) -> bytes:
        """Write the message."""
        return PORTAL_SUSPENDED


BackendMessage = (
    AuthenticationRequest
    | BackendKeyData
    | BindComplete
    | CloseComplete
    | CommandComplete
    | CopyBothResponse
    | CopyData
    | CopyDone
    | CopyInResponse
    | CopyOutResponse
    | DataRow
    | EmptyQueryResponse
    | ErrorResponse
    | FunctionCallResponse
    | NegotiateProtocolVersion
    | NoData
    | NoticeResponse
    | NotificationResponse
    | ParameterDescription
    | ParameterStatus
    | ParseComplete
    | PortalSuspended
    | ReadyForQuery
    | RowDescription
    | UnknownMessage
)


def check_cancel_key(key: bytes, error: type[ProtocolViolation] | type[Unencodable]) -> None:
    """Raise the error unless the key has 4 to 256 bytes."""
    if not MIN_CANCEL_KEY_BYTES <= len(key) <= MAX_CANCEL_KEY_BYTES:
        raise error(f"invalid length of cancel key: {len(key)} bytes")


def _backend_key_data(reader: FieldReader) -> BackendKeyData:
    pid, key = reader.int32(), reader.rest()
    check_cancel_key(key, ProtocolViolation)
    return BackendKeyData(pid, key)


def _ready_for_query(reader: FieldReader) -> ReadyForQuery:
    status = reader.uint8()
    if status not in READY_FOR_QUERY:
        raise ProtocolViolation(f"invalid transaction status {status}")
    return ReadyForQuery(TransactionStatus(status))


def _notification_response(reader: FieldReader) -> NotificationResponse:
    return NotificationResponse(reader.int32(), reader.text(), reader.text())


def _negotiate_protocol_version(reader: FieldReader) -> NegotiateProtocolVersion:
    version, count = reader.uint32(), reader.uint32()
    # Each name takes a byte at least: a count that lies ends in an error when the bytes do.
    return NegotiateProtocolVersion(version, tuple([reader.text() for _ in range(count)]))


DECODERS: Final[Mapping[int, Callable[[FieldReader], BackendMessage]]] = {
    BackendCode.AUTHENTICATION: authentication.read_authentication_request,
    BackendCode.BACKEND_KEY_DATA: _backend_key_data,
    BackendCode.BIND_COMPLETE: lambda reader: BindComplete(),
    BackendCode.CLOSE_COMPLETE: lambda reader: CloseComplete(),
    BackendCode.COMMAND_COMPLETE: rows.read_command_complete,
    BackendCode.COPY_BOTH_RESPONSE: copy_mode.read_copy_both_response,
    BackendCode.COPY_DATA: copy_mode.read_copy_data,
    BackendCode.COPY_DONE: copy_mode.read_copy_done,
    BackendCode.COPY_IN_RESPONSE: copy_mode.read_copy_in_response,
    BackendCode.COPY_OUT_RESPONSE: copy_mode.read_copy_out_response,
    BackendCode.DATA_ROW: rows.read_data_row,
    BackendCode.EMPTY_QUERY_RESPONSE: lambda reader: EmptyQueryResponse(),
    BackendCode.ERROR_RESPONSE: notice.read_error_response,
    BackendCode.FUNCTION_CALL_RESPONSE: lambda reader: FunctionCallResponse(reader.counted()),
    BackendCode.NEGOTIATE_PROTOCOL_VERSION: _negotiate_protocol_version,
    BackendCode.NOTICE_RESPONSE: notice.read_notice_response,
    BackendCode.NOTIFICATION_RESPONSE: _notification_response,
    BackendCode.NO_DATA: lambda reader: NoData(),
    BackendCode.PARAMETER_DESCRIPTION: rows.read_parameter_description,
    BackendCode.PARAMETER_STATUS: lambda reader: ParameterStatus(reader.text(), reader.text()),
    BackendCode.PARSE_COMPLETE: lambda reader: ParseComplete(),
    BackendCode.PORTAL_SUSPENDED: lambda reader: PortalSuspended(),
    BackendCode.READY_FOR_QUERY: _ready_for_query,
    BackendCode.ROW_DESCRIPTION: rows.read_row_description,
}


def decode_backend(data: bytes, start: int = 0, end: int | None = None) -> BackendMessage:
    """Decode the one message `data[start:end]`; the end of the data by default.

    Raises:
        ProtocolViolation: The bytes are not exactly one well-formed message.
        ValueError: The bounds do not lie inside the data.
    """
    code, reader = open_frame(data, start, end)
    decoder = DECODERS.get(code)
    if decoder is None:
        return UnknownMessage(code, reader.rest())
    message = decoder(reader)
    reader.expect_end()
    return message
