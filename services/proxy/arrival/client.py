"""A client's connection until it has said who it is: encryption, cancel requests, and whether it may come at all.

Nothing here waits for Postgres but what has to: a client is told no before a connection is made on its behalf.
"""

import asyncio
import ssl
from collections.abc import Coroutine
from typing import cast

import structlog

from services.proxy.arrival.allowed_clients import client_address
from services.proxy.arrival.door import Door
from services.proxy.arrival.login import Arrival, refuse, refuse_as_postgres
from services.proxy.arrival.negotiation import DirectTls, Negotiation
from services.proxy.arrival.relayed_login import RelayedLogin
from services.proxy.arrival.scram_login import ScramLogin
from services.proxy.cached_database import CachedDatabase
from services.proxy.tls.identity import TlsIdentity
from services.proxy.tls.upgrade import start_server_tls
from services.proxy.upstream.connection import keep_alive
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.pgwire.startup import (
    ENCRYPTION_REFUSED,
    SSL_ACCEPTED,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
)
from services.shared.upstream_tls import ALPN_PROTOCOL

_STARTUP_SECONDS = 60.0  # Postgres's authentication_timeout: a half-open client is not kept longer

_log = structlog.get_logger()


class ClientConnection(asyncio.Protocol):
    """The protocol of a client's connection up to its start-up packet."""

    def __init__(self, database: CachedDatabase, door: Door, startup_seconds: float = _STARTUP_SECONDS) -> None:
        """Serve one client.

        Args:
            database: The cache behind the port that it came to.
            door: What that port asks of clients.
            startup_seconds: How long it may take until its session begins.
        """
        self._database = database
        self._door = door
        self._startup_seconds = startup_seconds
        self._client: asyncio.Transport | None = None
        self._negotiation = Negotiation()
        self._identity: TlsIdentity | None = None  # what its TLS was made with
        self._deadline: asyncio.TimerHandle | None = None
        self._step: asyncio.Task[None] | None = None  # under way; the client's bytes wait for its end
        self._cancelling = False
        self._over = False  # handed on, turned away, or gone

    # -- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._client = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        keep_alive(transport, probes=self._database.settings.tcp_keepalive)
        if not self._database.clients.arrive():
            self._client.abort()
        self._deadline = asyncio.get_running_loop().call_later(self._startup_seconds, self._time_out)

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        self._negotiation.feed(data)
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. A cancel request goes on: many clients send it and leave."""
        if self._step is not None and not self._cancelling:
            self._step.cancel()
        self._gone()

    # -- steps

    def _advance(self) -> None:
        """Take the steps that the client has asked for, until one has to wait."""
        assert self._client is not None
        while self._step is None and not self._over:
            try:
                wanted = self._negotiation.take()
            except ProtocolViolation as violation:
                self._refuse(violation.sqlstate, violation.message)
                return
            match wanted:
                case None:
                    return
                case GSSENCRequest():
                    self._client.write(ENCRYPTION_REFUSED)
                case SSLRequest() | DirectTls():
                    self._begin_step(self._encrypt(direct=isinstance(wanted, DirectTls)))
                case CancelRequest():
                    self._cancelling = True
                    self._begin_step(self._cancel(wanted))
                case StartupMessage():
                    self._admit(wanted)

    def _begin_step(self, step: Coroutine[None, None, None]) -> None:
        assert self._client is not None
        self._client.pause_reading()
        self._step = asyncio.get_running_loop().create_task(step)

    async def _encrypt(self, *, direct: bool) -> None:
        """Bring the connection under TLS, if the door offers it."""
        assert self._client is not None
        identity = await self._door.tls.identity()
        if identity is not None:
            if not await self._shake_hands(identity, direct=direct):
                return
        elif direct:
            self._negotiation.refuse_direct_tls()
        else:
            self._client.write(ENCRYPTION_REFUSED)
        self._step = None
        self._client.resume_reading()
        self._advance()

    async def _shake_hands(self, identity: TlsIdentity, *, direct: bool) -> bool:
        """Do the TLS handshake. Returns False when the client is gone, or has been turned away."""
        assert self._client is not None
        try:
            handshake = self._negotiation.begin_tls()
        except ProtocolViolation as violation:
            self._refuse(violation.sqlstate, violation.message)
            return False
        if not direct:
            self._client.write(SSL_ACCEPTED)
        try:
            encrypted = await start_server_tls(
                self._client, self, identity.context, handshake, timeout=self._startup_seconds
            )
        except (OSError, ssl.SSLError) as error:
            _log.info("a client's TLS handshake failed", error=str(error) or repr(error))
            self._gone()
            return False
        self._client, self._identity = encrypted, identity
        if direct and encrypted.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN_PROTOCOL:
            _log.info("a client began with TLS and did not ask for the protocol postgresql (ALPN)")
            encrypted.close()
            return False
        return True

    def _admit(self, startup: StartupMessage) -> None:
        """Let the client go on to its login, if it may come from where it is, as it does."""
        client, deadline = self._client, self._deadline
        assert client is not None
        assert deadline is not None
        address = client_address(client.get_extra_info("peername"))
        encrypted = self._identity is not None
        if not self._door.clients.allows(address):
            self._refuse(
                Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION,
                f'no allow_clients entry for host "{address}", user "{startup.user}", database "{startup.database}", '
                f"{'SSL encryption' if encrypted else 'no encryption'}",
            )
        elif self._door.tls.required and not encrypted:
            self._refuse(
                Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION,
                "connections have to be under TLS here",
                "Connect with sslmode=require, or stronger.",
            )
        elif self._database.draining:
            self._over = True
            refuse_as_postgres(client, Sqlstate.CANNOT_CONNECT_NOW, "the database system is shutting down")
        elif not self._database.clients.become_client():
            self._over = True
            refuse_as_postgres(client, Sqlstate.TOO_MANY_CONNECTIONS, "sorry, too many clients already")
        else:
            self._over = True
            early = self._negotiation.release()
            arrival = Arrival(client, startup, early, self._identity, self._door.local, deadline)
            verifiers = self._database.verifiers
            login = (
                RelayedLogin(self._database, arrival)
                if verifiers is None
                else ScramLogin(self._database, arrival, verifiers)
            )
            client.set_protocol(login)
            login.begin()

    async def _cancel(self, packet: CancelRequest) -> None:
        """Serve a cancel request; its connection is closed when it has been."""
        assert self._client is not None
        if self._door.clients.allows(client_address(self._client.get_extra_info("peername"))):
            await self._database.cancelling.request(packet)
        self._over = True
        if self._client is not None:
            self._client.close()

    def _refuse(self, sqlstate: Sqlstate, message: str, hint: str | None = None) -> None:
        assert self._client is not None
        self._over = True
        refuse(self._client, sqlstate, message, hint)

    def _time_out(self) -> None:
        """The start-up took too long: close without a word, as Postgres does."""
        if self._client is not None:
            self._client.abort()

    def _gone(self) -> None:
        """Count the client out, once: the loop does not say that it is gone when a TLS handshake fails."""
        if self._client is not None:
            self._client = None
            self._over = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._database.clients.leave()
