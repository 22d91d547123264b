"""The connection to Postgres that a session leases; it carries the client's bytes and nothing decides here."""

import asyncio
import socket
from typing import Protocol, cast


class UpstreamListener(Protocol):
    """Who hears what Postgres sends."""

    def upstream_received(self, data: bytes) -> None:
        """Bytes came."""

    def upstream_lost(self, error: Exception | None) -> None:
        """The connection ended."""

    def upstream_full(self, *, full: bool) -> None:
        """Postgres reads slower than we write, or has caught up."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to Postgres.

    Attributes:
        listener: Who hears it: first the start-up, then the session.
        certificate: Under TLS, the certificate that Postgres showed (DER), which channel binding binds a login to.
    """

    __slots__ = ("_transport", "certificate", "listener")

    def __init__(self, listener: UpstreamListener) -> None:
        self.listener = listener
        self.certificate: bytes | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def encrypted(self) -> bool:
        """Whether it is under TLS."""
        return self.certificate is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop, or by who has brought the connection under TLS."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.certificate = tls.getpeercert(binary_form=True)
        keep_alive(transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self.listener.upstream_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        self.listener.upstream_lost(exc)

    def pause_writing(self) -> None:
        """Called by the loop."""
        self.listener.upstream_full(full=True)

    def resume_writing(self) -> None:
        """Called by the loop."""
        self.listener.upstream_full(full=False)

    def write(self, data: bytes) -> None:
        """Send bytes to Postgres."""
        if self._transport is not None:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """The client reads slower than Postgres writes: stop, so that nothing piles up here."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """End the connection once what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()


def keep_alive(transport: asyncio.BaseTransport, *, probes: bool = True) -> None:
    """Send small messages at once and, with probes, have the kernel notice a lost peer within some two minutes."""
    raw = transport.get_extra_info("socket")
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if probes:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
