"""A Postgres that is further away: a TCP relay on the loopback that holds back what passes for half of the distance.

It is a delay and no bottleneck: pieces follow each other as closely as they came. The loop waits by `select`, whose
time-out is exact to a tenth of a millisecond where that of epoll is rounded up to a whole one. It runs in a thread, as
the process that measures only waits for others meanwhile.
"""

import asyncio
import selectors
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from services.shared.runtime.upstream import Upstream, parse_upstream

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 5.0


class Distance:
    """How far away something is; may be changed at any time, from any thread.

    Attributes:
        milliseconds: What there and back take.
    """

    def __init__(self, milliseconds: float = 0.0) -> None:
        self.milliseconds = milliseconds

    @property
    def seconds_each_way(self) -> float:
        """How long a piece is held back."""
        return self.milliseconds / 2000


@contextmanager
def farther(url: str, distance: Distance) -> Iterator[str]:
    """Give a URL that leads to the same database from so far away."""
    upstream = parse_upstream(url)
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    thread = threading.Thread(target=loop.run_forever, name="distance", daemon=True)
    thread.start()
    relay = _Relay(upstream, distance)
    try:
        port = asyncio.run_coroutine_threadsafe(relay.serve(), loop).result(_PATIENCE_SECONDS)
        yield Upstream(_HOST, port, upstream.user, upstream.database, upstream.password).url
    finally:
        asyncio.run_coroutine_threadsafe(relay.close(), loop).result(_PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_SECONDS)
        loop.close()


class _Relay:
    """Accepts clients, and connects each to the Postgres."""

    def __init__(self, upstream: Upstream, distance: Distance) -> None:
        self.distance = distance
        self.transports: set[asyncio.BaseTransport] = set()
        self._upstream = upstream
        self._joining: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def serve(self) -> int:
        """Begin, and return the port."""
        self._server = await asyncio.get_running_loop().create_server(self._accept, _HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
        for transport in list(self.transports):
            transport.close()
        for task in self._joining:
            task.cancel()
        await asyncio.sleep(0)  # the sockets are closed by what has just been scheduled

    def _accept(self) -> "_End":
        client = _End(self)
        task = asyncio.get_running_loop().create_task(client.join(self._upstream))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)
        return client


class _End(asyncio.Protocol):
    """One end of a connection: what arrives at it leaves by the other, later."""

    def __init__(self, relay: _Relay) -> None:
        self._relay = relay
        self._transport: asyncio.Transport | None = None
        self._way: deque[bytes | None] = deque()  # None: the end of it
        self._other: _End | None = None

    async def join(self, upstream: Upstream) -> None:
        """Connect a client's end to the Postgres."""
        other = _End(self._relay)
        other._other = self
        try:
            await asyncio.get_running_loop().create_connection(lambda: other, upstream.host, upstream.port)
        except OSError:
            self.close()
            return
        self._other = other
        for _ in self._way:
            self._hold()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._relay.transports.add(transport)

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._relay.transports.discard(self._transport)
        self._take(None)

    def deliver(self, piece: bytes | None) -> None:
        """Send what has come all the way."""
        if piece is None or self._transport is None:
            self.close()
        else:
            self._transport.write(piece)

    def close(self) -> None:
        """Close this end once all is sent."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, piece: bytes | None) -> None:
        self._way.append(piece)
        if self._other is not None:
            self._hold()

    def _hold(self) -> None:
        """Let the oldest piece go after the time that the newest has to wait: they stay in order."""
        asyncio.get_running_loop().call_later(self._relay.distance.seconds_each_way, self._release)

    def _release(self) -> None:
        assert self._other is not None
        self._other.deliver(self._way.popleft())
