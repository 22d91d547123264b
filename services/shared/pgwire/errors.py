"""What the codec raises, and nothing else.

    WireError
    ├── ProtocolViolation       the peer's bytes break the protocol; carries the SQLSTATE to answer with
    │   ├── MessageTooLong      a length word above the limit of its message type; nothing of the body was buffered
    │   ├── UnsupportedVersion  a start-up packet of a protocol version other than 3
    │   └── ForeignProtocol     the peer speaks something else altogether: TLS, HTTP, a PROXY header, …
    └── Unencodable             a value of our own cannot be written: an integer out of range, a NUL inside a string

A `ProtocolViolation` from framing ends the connection, because the message boundaries are lost. One from a single
message's decoder does not have to: the boundaries still stand, and Postgres itself may be left to refuse the message.
"""

from enum import StrEnum

from services.shared.pgwire.sqlstate import Sqlstate


class WireError(Exception):
    """The root of everything that this package raises on purpose."""


class ProtocolViolation(WireError):
    """The peer's bytes break the protocol.

    The message names lengths, offsets and type bytes, never content, so it may be logged and sent to the client.
    """

    def __init__(self, message: str, sqlstate: Sqlstate = Sqlstate.PROTOCOL_VIOLATION) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate


class MessageTooLong(ProtocolViolation):
    """A length word above the limit of its message type."""


class UnsupportedVersion(ProtocolViolation):
    """A start-up packet of a protocol version whose layout is not known here."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Sqlstate.FEATURE_NOT_SUPPORTED)


class Foreign(StrEnum):
    """Protocols that are mistaken for Postgres often enough to deserve a name in the error."""

    TLS = "a TLS ClientHello"
    HTTP = "an HTTP request"
    PROXY_HEADER = "a PROXY protocol header"
    SSH = "an SSH banner"
    REDIS = "a Redis command"


class ForeignProtocol(ProtocolViolation):
    """The first bytes of a connection belong to another protocol. With TLS it may be a client that skips SSLRequest."""

    def __init__(self, kind: Foreign) -> None:
        super().__init__(f"expected a Postgres start-up packet, got {kind}")
        self.kind = kind


class Unencodable(WireError):
    """A value of our own does not fit the protocol; always a mistake on this side."""
