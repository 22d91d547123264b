"""A connection whose bytes are moved and never looked at: replication, once Postgres has let the client in."""

import asyncio

from services.proxy.statistics import ProxyStatistics
from services.proxy.upstream.connection import UpstreamConnection


class RawRelay(asyncio.Protocol):
    """The protocol of the client's connection, and the listener of the one to Postgres."""

    def __init__(self, client: asyncio.Transport, upstream: UpstreamConnection, statistics: ProxyStatistics) -> None:
        self._client = client
        self._upstream = upstream
        self._statistics = statistics

    def data_received(self, data: bytes) -> None:
        """The client sent something. Called by the loop."""
        self._upstream.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. Called by the loop."""
        self._statistics.sessions -= 1
        self._upstream.close()

    def pause_writing(self) -> None:
        """The client reads slower than Postgres writes. Called by the loop."""
        self._upstream.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up. Called by the loop."""
        self._upstream.resume_reading()

    def upstream_received(self, data: bytes) -> None:
        """Postgres sent something."""
        self._client.write(data)

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres closed."""
        self._client.close()

    def upstream_full(self, *, full: bool) -> None:
        """Postgres reads slower than the client writes, or has caught up."""
        if full:
            self._client.pause_reading()
        else:
            self._client.resume_reading()
