"""The first packets of a connection, which have a length but no type byte.

A client may first ask for TLS (SSLRequest) or GSS encryption (GSSENCRequest), each answered with one byte, and then
sends a StartupMessage; or it sends a CancelRequest and leaves. All four share one layout: a 32-bit length that counts
itself, a 32-bit code, a body. The code of a StartupMessage is the protocol version.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.shared.pgwire.backend import NegotiateProtocolVersion, check_cancel_key
from services.shared.pgwire.errors import (
    Foreign,
    ForeignProtocol,
    ProtocolViolation,
    Unencodable,
    UnsupportedVersion,
)
from services.shared.pgwire.fields import FieldReader, pack_int32, pack_pairs, pack_uint32, read_pairs

MAX_STARTUP_PACKET_BYTES: Final = 10_000
"""Postgres's MAX_STARTUP_PACKET_LENGTH: the longest packet, without its length word."""

CANCEL_REQUEST_CODE: Final = 1234 << 16 | 5678
SSL_REQUEST_CODE: Final = 1234 << 16 | 5679
GSSENC_REQUEST_CODE: Final = 1234 << 16 | 5680

ENCRYPTION_REFUSED: Final = b"N"
"""The answer to SSLRequest and GSSENCRequest without encryption: the client goes on in the clear or leaves."""

SSL_ACCEPTED: Final = b"S"
"""The answer to SSLRequest before the TLS handshake. What came behind the request was not encrypted: refuse it."""

PROTOCOL_OPTION_PREFIX: Final = "_pq_."
"""Parameters of this prefix are options of the protocol; a server names those it does not know, and goes on."""

_WORD_BYTES: Final = 4
_MIN_BYTES: Final = 4  # the code
_FALSE_WORDS: Final = frozenset(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"))  # parse_bool


class ProtocolVersion(NamedTuple):
    """Major and minor, compared as a pair."""

    major: int
    minor: int

    @property
    def code(self) -> int:
        """The version as the number in a start-up packet."""
        return self.major << 16 | self.minor

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


VERSION_3_0: Final = ProtocolVersion(3, 0)
VERSION_3_2: Final = ProtocolVersion(3, 2)
"""Cancel keys of up to 256 bytes. There is no 3.1."""


def _packet(code: int, body: bytes = b"") -> bytes:
    if len(body) + _MIN_BYTES > MAX_STARTUP_PACKET_BYTES:
        raise Unencodable(f"start-up packet of {len(body)} bytes")
    return pack_int32(_WORD_BYTES + _MIN_BYTES + len(body)) + pack_uint32(code) + body


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """Who the client is, what it wants to use, and its settings."""

    version: ProtocolVersion
    pairs: tuple[tuple[str, str], ...]
    """Names and values in wire order; a name that occurs twice is kept twice."""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters by name, in order; of a name that occurs twice the last, as in Postgres."""
        return dict(self.pairs)

    @property
    def user(self) -> str:
        """The role; empty when the client named none, which Postgres refuses."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """The database; the role's name when the client named none, as in Postgres."""
        return self.parameters.get("database", "") or self.user

    @property
    def is_replication(self) -> bool:
        """Whether a walsender is asked for: any value of `replication` that does not clearly mean no."""
        value = self.parameters.get("replication")
        return value is not None and value.strip().lower() not in _FALSE_WORDS

    @property
    def protocol_options(self) -> tuple[str, ...]:
        """Names of the `_pq_.` parameters, in order."""
        return tuple(name for name, _ in self.pairs if name.startswith(PROTOCOL_OPTION_PREFIX))

    def encode(self) -> bytes:
        """Write the packet."""
        return _packet(self.version.code, pack_pairs(self.pairs))


@dataclass(frozen=True, slots=True)
class SSLRequest:
    """The client would like TLS."""

    def encode(self) -> bytes:
        """Write the packet."""
        return _packet(SSL_REQUEST_CODE)


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    """The client would like GSS encryption."""

    def encode(self) -> bytes:
        """Write the packet."""
        return _packet(GSSENC_REQUEST_CODE)


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Cancel what another session is running. No answer: the connection is closed."""

    pid: int
    key: bytes = field(repr=False)
    """4 to 256 bytes, as BackendKeyData gave them."""

    @property
    def backend_key(self) -> bytes:
        """Process id and key as they stand in the body of BackendKeyData. A secret."""
        return pack_int32(self.pid) + self.key

    def encode(self) -> bytes:
        """Write the packet."""
        check_cancel_key(self.key, Unencodable)
        return _packet(CANCEL_REQUEST_CODE, self.backend_key)


StartupPacket = StartupMessage | SSLRequest | GSSENCRequest | CancelRequest

_HTTP_METHODS: Final = (b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"CONN", b"PATC", b"PRI ")

_FOREIGN_PREFIXES: Final = (
    (b"\x16\x03", Foreign.TLS),  # handshake record, any version
    (b"PROX", Foreign.PROXY_HEADER),
    (b"\r\n\r\n", Foreign.PROXY_HEADER),  # version 2
    (b"SSH-", Foreign.SSH),
    (b"*", Foreign.REDIS),  # RESP array
    *((method, Foreign.HTTP) for method in _HTTP_METHODS),
)


def foreign_protocol(prefix: bytes) -> Foreign | None:
    """Name the protocol that a connection's first bytes belong to, if it is a known one other than Postgres.

    A packet that Postgres accepts starts with two zero bytes, so nothing that is a start-up packet is ever named here.
    """
    return next((kind for start, kind in _FOREIGN_PREFIXES if prefix.startswith(start)), None)


def startup_length(data: bytes | bytearray) -> int | None:
    """Return the length of the packet at the start of the data, length word included; None: feed more.

    Raises:
        ForeignProtocol: The bytes belong to another protocol.
        ProtocolViolation: The length is one that Postgres refuses.
    """
    if len(data) < _WORD_BYTES:
        return None
    length = int.from_bytes(data[:_WORD_BYTES], "big")
    if _WORD_BYTES + _MIN_BYTES <= length <= _WORD_BYTES + MAX_STARTUP_PACKET_BYTES:
        return length
    kind = foreign_protocol(bytes(data[:_WORD_BYTES]))
    if kind is not None:
        raise ForeignProtocol(kind)
    raise ProtocolViolation(f"invalid length of startup packet: {length}")


def decode_startup(data: bytes) -> StartupPacket:
    """Decode exactly one packet.

    Raises:
        ForeignProtocol: The bytes belong to another protocol.
        UnsupportedVersion: A start-up packet of a major version other than 3.
        ProtocolViolation: Anything else that is not one well-formed packet.
    """
    length = startup_length(data)
    if length != len(data):
        raise ProtocolViolation(f"startup packet of {len(data)} bytes, length word {length}")
    reader = FieldReader(data, _WORD_BYTES)
    code = reader.uint32()
    packet: StartupPacket
    if code == CANCEL_REQUEST_CODE:
        packet = _cancel_request(reader)
    elif code == SSL_REQUEST_CODE:
        packet = SSLRequest()
    elif code == GSSENC_REQUEST_CODE:
        packet = GSSENCRequest()
    else:
        packet = _startup_message(ProtocolVersion(code >> 16, code & 0xFFFF), reader)
    if reader.remaining:
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
    return packet


def _cancel_request(reader: FieldReader) -> CancelRequest:
    pid, key = reader.int32(), reader.rest()
    check_cancel_key(key, ProtocolViolation)
    return CancelRequest(pid, key)


def _startup_message(version: ProtocolVersion, reader: FieldReader) -> StartupMessage:
    if version.major != VERSION_3_0.major:
        raise UnsupportedVersion(f"unsupported frontend protocol {version}: server supports 3.0 to {VERSION_3_2}")
    return StartupMessage(version, read_pairs(reader))


class StartupBuffer:
    """Collects a connection's first bytes until a packet is complete; holds at most one packet and the last chunk."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Add bytes as they came from the client."""
        self._data += chunk

    def take(self) -> StartupPacket | None:
        """Give out the packet at the start, once it is complete; None: feed more.

        Raises:
            ProtocolViolation: As `decode_startup`; a bad length is refused as soon as its four bytes are here.
        """
        length = startup_length(self._data)
        if length is None or len(self._data) < length:
            return None
        packet = decode_startup(bytes(self._data[:length]))
        del self._data[:length]
        return packet

    def release(self) -> bytes:
        """Give up what came behind the last packet; behind a request for encryption nothing may (`SSL_ACCEPTED`)."""
        rest = bytes(self._data)
        self._data.clear()
        return rest


def negotiate_protocol_version(
    startup: StartupMessage, newest: ProtocolVersion = VERSION_3_0
) -> NegotiateProtocolVersion | None:
    """Return what a server of version `newest` that knows no `_pq_.` options answers; None: nothing.

    The message is due before the first authentication request. As in Postgres, it names the version that the two will
    speak: the older of the one asked for and `newest`.
    """
    unrecognised = startup.protocol_options
    if startup.version <= newest and not unrecognised:
        return None
    return NegotiateProtocolVersion(min(startup.version, newest).code, unrecognised)
