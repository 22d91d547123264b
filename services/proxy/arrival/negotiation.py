"""The first bytes of a client's connection: whether it is to be encrypted, and what it is for. Pure.

    0x16 …                        direct TLS, then as below inside it
    SSLRequest, GSSENCRequest     each at most once, answered with one byte; TLS may begin after the answer
    StartupMessage                a session
    CancelRequest                 no session

What came in the clear must not be taken for something that came encrypted: behind a request that is answered with yes
there may be nothing (CVE-2021-23214 in Postgres).
"""

from dataclasses import dataclass

from services.shared.pgwire.errors import ProtocolViolation, UnsupportedVersion
from services.shared.pgwire.startup import (
    GSSENC_REQUEST_CODE,
    SSL_REQUEST_CODE,
    VERSION_3_0,
    GSSENCRequest,
    SSLRequest,
    StartupBuffer,
    StartupPacket,
)

_TLS_HANDSHAKE = 0x16  # first byte of a TLS record that holds a ClientHello


@dataclass(frozen=True, slots=True)
class DirectTls:
    """The client begins with a TLS handshake, without asking (`sslnegotiation=direct`)."""


class Negotiation:
    """Reads what a client sends before its session begins."""

    def __init__(self) -> None:
        self._buffer = StartupBuffer()
        self._first: bytes | None = b""  # what came, until the first byte has been looked at
        self._encryption_asked: set[type] = set()
        self._encrypted = False

    def feed(self, chunk: bytes) -> None:
        """Add bytes as they came from the client."""
        if self._first is None:
            self._buffer.feed(chunk)
        else:
            self._first += chunk

    def take(self) -> StartupPacket | DirectTls | None:
        """Give out what the client wants next; None: feed more.

        Raises:
            ProtocolViolation: It is nothing that a client may send here.
        """
        if self._first is not None:
            if not self._first:
                return None
            if self._first[0] == _TLS_HANDSHAKE and not self._encrypted:
                return DirectTls()
            self._settle_first()
        packet = self._buffer.take()
        if isinstance(packet, SSLRequest | GSSENCRequest):
            self._check_order(packet)
        return packet

    def begin_tls(self) -> bytes:
        """Go on inside TLS. Returns the bytes of the TLS handshake that are here already (direct TLS only).

        Raises:
            ProtocolViolation: Something came behind the request for TLS.
        """
        handshake, self._first = self._first or b"", b""
        if self._buffer.release():
            raise ProtocolViolation("received unencrypted data after SSL request")
        self._encrypted = True
        return handshake

    def refuse_direct_tls(self) -> None:
        """Take the TLS handshake for the start-up packet that it is not: `take` will say so."""
        self._settle_first()

    def release(self) -> bytes:
        """Give up what came behind the last packet."""
        return self._buffer.release()

    def _settle_first(self) -> None:
        assert self._first is not None
        self._buffer.feed(self._first)
        self._first = None

    def _check_order(self, request: SSLRequest | GSSENCRequest) -> None:
        """Refuse a second request of a kind, and any inside TLS, as Postgres does: there they are versions."""
        if self._encrypted or type(request) in self._encryption_asked:
            code = SSL_REQUEST_CODE if isinstance(request, SSLRequest) else GSSENC_REQUEST_CODE
            version = f"{code >> 16}.{code & 0xFFFF}"
            raise UnsupportedVersion(f"unsupported frontend protocol {version}: server supports {VERSION_3_0}")
        self._encryption_asked.add(type(request))
