"""The connection to Postgres that a session leases; it carries the client's bytes and nothing decides here."""

import asyncio
import socket
from typing import Protocol, cast

from services.shared.runtime.upstream import Upstream

_CONNECT_SECONDS = 10.0


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
    """

    def __init__(self, listener: UpstreamListener) -> None:
        self.listener = listener
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

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


async def connect_upstream(upstream: Upstream, listener: UpstreamListener) -> UpstreamConnection:
    """Open a connection to Postgres.

    Raises:
        OSError: Postgres cannot be reached; TimeoutError is one of its kind.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_CONNECT_SECONDS):
        if upstream.socket_path is not None:
            _, connection = await loop.create_unix_connection(
                lambda: UpstreamConnection(listener), upstream.socket_path
            )
        else:
            transport, connection = await loop.create_connection(
                lambda: UpstreamConnection(listener), upstream.host, upstream.port
            )
            keep_alive(transport)
    return connection


async def relay_cancel(upstream: Upstream, packet: bytes) -> None:
    """Hand a cancel request to Postgres, which knows the process that it names.

    Raises:
        OSError: Postgres cannot be reached.
    """
    async with asyncio.timeout(_CONNECT_SECONDS):
        if upstream.socket_path is not None:
            reader, writer = await asyncio.open_unix_connection(upstream.socket_path)
        else:
            reader, writer = await asyncio.open_connection(upstream.host, upstream.port)
        try:
            writer.write(packet)
            await writer.drain()
            # Postgres closes once it has signalled; the client waits for our close as it would for Postgres's.
            await reader.read()
        finally:
            writer.close()


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Have the kernel notice a peer that vanished, within some two minutes."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
