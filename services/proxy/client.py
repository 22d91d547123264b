"""A client's connection until its session begins: start-up packet, connection to Postgres, relayed authentication.

Postgres itself decides who may come in; the proxy relays the exchange byte by byte and only watches (see `handshake`).
"""

import asyncio
from typing import cast

import structlog

from services.proxy.cached_database import CachedDatabase
from services.proxy.handshake import Handshake
from services.proxy.reasons import Reason
from services.proxy.relay import BackendRelay
from services.proxy.session import Session
from services.proxy.upstream import UpstreamConnection, connect_upstream, keep_alive, relay_cancel
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.notice import error_response
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.pgwire.startup import (
    ENCRYPTION_REFUSED,
    CancelRequest,
    StartupBuffer,
    StartupMessage,
    StartupPacket,
)
from services.shared.runtime.settings import Consistency

_STARTUP_SECONDS = 60.0  # Postgres's authentication_timeout: a half-open client is not kept longer
_MAX_EARLY_BYTES = 64 * 1024  # beyond it the client is not read until its session begins

_log = structlog.get_logger()


class ClientConnection(asyncio.Protocol):
    """The protocol of a client's connection while it is not in a session yet."""

    def __init__(self, database: CachedDatabase, *, loopback: bool) -> None:
        """Serve one client.

        Args:
            database: The cache behind the port that it came to.
            loopback: The port is reachable from this host only.
        """
        self._database = database
        self._client: asyncio.Transport | None = None
        self._upstream: UpstreamConnection | None = None
        self._startup: StartupBuffer | None = StartupBuffer()
        self._relay = BackendRelay()
        self._handshake = Handshake(allow_unchallenged=loopback)
        self._refusal = ""
        self._raw = False  # a replication connection: relayed for good, never looked at
        self._early = b""  # what a client sent before Postgres was connected
        self._deadline: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    # -- the client's side, called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._client = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        keep_alive(transport)
        self._database.statistics.sessions += 1
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(_STARTUP_SECONDS, self._time_out)

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._startup is not None:
            self._startup.feed(data)
            self._read_startup(self._startup)
        elif self._upstream is not None and (self._raw or not self._handshake.admitted):
            self._upstream.write(data)
        else:
            self._hold(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        self._database.statistics.sessions -= 1
        if self._upstream is not None:
            self._upstream.close()

    def pause_writing(self) -> None:
        """The client reads slower than Postgres writes."""
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._upstream is not None:
            self._upstream.resume_reading()

    # -- Postgres's side

    def upstream_received(self, data: bytes) -> None:
        """Postgres sent something."""
        assert self._client is not None
        if self._raw:
            self._client.write(data)
            return
        try:
            passed = self._relay.feed(data, self._handshake)
        except ProtocolViolation as violation:
            self._refuse(Sqlstate.CONNECTION_FAILURE, f"tidegate: Postgres broke the protocol: {violation.message}")
            return
        if self._handshake.unprotected:
            self._refuse(
                Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION,
                "tidegate: Postgres admits this proxy without a password, so clients from elsewhere are refused",
                hint="Require scram-sha-256 for this host in pg_hba.conf, or let the proxy listen on loopback.",
            )
            return
        if passed:
            self._client.write(passed)
        if self._handshake.ready:
            self._begin_session()

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres closed: after an error that the client has seen, or without a word."""
        if self._client is not None:
            self._client.close()

    def upstream_full(self, *, full: bool) -> None:
        """Postgres reads slower than the client writes, or has caught up."""
        if self._client is not None:
            if full:
                self._client.pause_reading()
            else:
                self._client.resume_reading()

    # -- steps

    def _hold(self, data: bytes) -> None:
        """Keep what a client sends ahead: before Postgres is connected, or before the session has begun."""
        self._early += data
        if self._client is not None and len(self._early) > _MAX_EARLY_BYTES:
            self._client.pause_reading()

    def _read_startup(self, startup: StartupBuffer) -> None:
        try:
            while self._startup is not None and (packet := startup.take()) is not None:
                self._handle_startup(startup, packet)
        except ProtocolViolation as violation:
            self._refuse(violation.sqlstate, f"tidegate: {violation.message}")

    def _handle_startup(self, startup: StartupBuffer, packet: StartupPacket) -> None:
        assert self._client is not None
        if isinstance(packet, StartupMessage):
            self._startup = None
            self._early = startup.release()
            self._client.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._connect(packet))
        elif isinstance(packet, CancelRequest):
            self._startup = None
            self._task = asyncio.get_running_loop().create_task(self._cancel(packet))
        else:
            self._client.write(ENCRYPTION_REFUSED)

    async def _connect(self, startup: StartupMessage) -> None:
        """Connect to Postgres and hand it the start-up packet, verbatim."""
        assert self._client is not None
        database = self._database
        try:
            self._upstream = await connect_upstream(database.upstream, self)
        except OSError as error:
            _log.warning("postgres cannot be reached", error=repr(error))
            self._refuse(
                Sqlstate.SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
                f"tidegate: Postgres at {database.upstream.host}:{database.upstream.port} cannot be reached",
                hint="The proxy is running. Start Postgres, or correct TIDEGATE_DATABASE_URL.",
            )
            return
        self._raw = startup.is_replication
        if startup.database != database.upstream.database:
            self._refusal = Reason.DATABASE_NOT_CACHED
        elif database.settings.consistency is Consistency.OFF:
            self._refusal = Reason.CONSISTENCY_OFF
        self._upstream.write(startup.encode() + self._early)
        self._early = b""
        if self._raw:
            self._stop_waiting()
        self._client.resume_reading()

    async def _cancel(self, packet: CancelRequest) -> None:
        """Pass a cancel request on; the session's key is Postgres's own, so Postgres knows whom it means."""
        try:
            await relay_cancel(self._database.upstream, packet.encode())
        except OSError as error:
            _log.warning("a cancel request could not be passed on", error=repr(error))
        if self._client is not None:
            self._client.close()

    def _begin_session(self) -> None:
        assert self._client is not None
        assert self._upstream is not None
        self._stop_waiting()
        session = Session(self._database, self._client, self._upstream, self._relay, self._refusal)
        self._upstream.listener = session
        self._database.sessions.add(session)
        self._client.set_protocol(session)
        session.greet(READY_FOR_QUERY[TransactionStatus.IDLE])
        self._client.resume_reading()
        if self._early:
            session.data_received(self._early)

    def _refuse(self, sqlstate: Sqlstate, message: str, hint: str | None = None) -> None:
        """Tell the client why, and end."""
        self._startup = None
        if self._client is not None:
            self._client.write(error_response("FATAL", sqlstate, message, hint=hint).encode())
            self._client.close()
        if self._upstream is not None:
            self._upstream.close()

    def _time_out(self) -> None:
        """The start-up took too long: close without a word, as Postgres does."""
        if self._client is not None:
            self._client.abort()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._task is not None and not self._task.done() and self._upstream is None:
            self._task.cancel()
