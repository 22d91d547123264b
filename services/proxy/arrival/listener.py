"""What a cache listens on: its TCP port, and a unix-domain socket beside it."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.proxy.arrival.unix_socket import UnixSocket
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.settings import CacheSettings

_BACKLOG = 1024  # clients that may wait to be accepted, as a pool that starts up opens all at once

NewConnection = Callable[[], asyncio.Protocol]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers share a port, and which of them this one is."""

    count: int
    index: int


@dataclass(frozen=True, slots=True)
class Listeners:
    """The open ones."""

    tcp: asyncio.Server
    unix: asyncio.AbstractServer | None
    unix_socket: UnixSocket | None

    def close(self) -> None:
        """Accept nobody any more; those who are in stay."""
        self.tcp.close()
        if self.unix is not None:
            self.unix.close()
        if self.unix_socket is not None:
            self.unix_socket.remove()


async def open_listeners(
    settings: CacheSettings, from_network: NewConnection, from_unix: NewConnection, workers: Workers
) -> Listeners:
    """Listen.

    Workers of one proxy share the TCP port: the kernel spreads connections over them (SO_REUSEPORT). It does not do so
    for a unix-domain socket, so the first worker has that alone.

    Args:
        settings: Of the cache.
        from_network: Makes the protocol of a TCP connection.
        from_unix: Makes that of a unix-domain connection.
        workers: Who shares the port. Nobody else may, or two proxies would split their clients unnoticed.

    Raises:
        Refusal: An address cannot be had.
    """
    tcp = await _listen_tcp(settings, from_network, shares_port=workers.count > 1)
    host, port = tcp.sockets[0].getsockname()[:2]
    _log.info("listening", host=host, port=port, consistency=str(settings.consistency), tls=str(settings.tls))
    if not settings.listen_unix or workers.index > 0:
        return Listeners(tcp, None, None)
    try:
        bound = UnixSocket(settings.listen_unix, port, settings.listen_unix_mode)
    except Refusal:
        tcp.close()
        raise
    unix = await _listen_unix(bound.socket, from_unix)
    _log.info("listening", path=str(bound.path))
    return Listeners(tcp, unix, bound)


async def _listen_tcp(settings: CacheSettings, make: NewConnection, *, shares_port: bool) -> asyncio.Server:
    host, port = settings.listen_address
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(make, host, port, reuse_port=shares_port, backlog=_BACKLOG)
    except OSError as error:
        raise Refusal(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Choose another TIDEGATE_LISTEN."
        ) from error


async def _listen_unix(bound: socket.socket, make: NewConnection) -> asyncio.AbstractServer:
    return await asyncio.get_running_loop().create_unix_server(make, sock=bound, backlog=_BACKLOG)
