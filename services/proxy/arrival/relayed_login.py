"""`relay`: Postgres itself decides who may come in. The proxy passes the exchange on and only watches.

No client's password is configured here. What Postgres would grant to the proxy rather than to the client is not passed
on: see `handshake`. Where the login cannot succeed because it is bound to a TLS channel, it ends here: `binding_guard`.
"""

import asyncio
from enum import Enum, auto

import structlog

from services.proxy.arrival.binding_guard import BindingGuard
from services.proxy.arrival.handshake import Handshake
from services.proxy.arrival.login import Arrival, begin_session, refuse
from services.proxy.arrival.peer_user import is_our_user
from services.proxy.arrival.raw_relay import RawRelay
from services.proxy.cached_database import CachedDatabase
from services.proxy.session.relay import BackendRelay
from services.proxy.upstream.connection import UpstreamConnection
from services.proxy.upstream.failure import explain
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.sqlstate import Sqlstate

_MAX_EARLY_BYTES = 64 * 1024  # beyond it the client is not read until its session begins

_log = structlog.get_logger()


class _Owed(Enum):
    """What of the proxy's own Postgres may take for a proof, when it lets a client in without asking it for one."""

    ADDRESS = auto()  # `trust`: whoever is on this host has that too
    SYSTEM_USER = auto()  # `peer`, on a unix socket
    CERTIFICATE = auto()  # `cert`


_UNCHALLENGED = {
    _Owed.ADDRESS: (
        "Postgres admits this proxy without a password, so clients from elsewhere are refused",
        "Require scram-sha-256 for this host in pg_hba.conf, or let the proxy listen on loopback.",
    ),
    _Owed.SYSTEM_USER: (
        "Postgres may know this proxy by its system user, and asks clients for nothing, so they are refused",
        "Require scram-sha-256 in place of peer or trust for unix sockets in pg_hba.conf, or name Postgres by its TCP "
        "address in TIDEGATE_DATABASE_URL.",
    ),
    _Owed.CERTIFICATE: (
        "Postgres may know this proxy by its certificate, and asks clients for nothing, so they are refused",
        "Require scram-sha-256 (with clientcert=verify-ca, if you like) in place of cert or trust in pg_hba.conf.",
    ),
}


class RelayedLogin(asyncio.Protocol):
    """The protocol of a client's connection from its start-up packet to its session."""

    def __init__(self, database: CachedDatabase, arrival: Arrival) -> None:
        self._database = database
        self._arrival = arrival
        self._client = arrival.client
        self._early = arrival.early  # what the client sent ahead: before Postgres answered, or after it was let in
        self._upstream: UpstreamConnection | None = None
        self._relay = BackendRelay()
        self._handshake = Handshake(allow_unchallenged=False)
        self._owed_to = _Owed.ADDRESS
        self._guard: BindingGuard | None = None
        self._ended = False
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Connect to Postgres and hand it the start-up packet, verbatim."""
        self._client.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    # -- the client's side, called by the loop

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._upstream is not None and not self._handshake.admitted:
            self._pass_on(data)
        else:
            self._hold(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._arrival.deadline.cancel()
        self._database.statistics.sessions -= 1
        if self._upstream is not None:
            self._upstream.close()
        elif self._connecting is not None:
            self._connecting.cancel()

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
        if self._ended:
            return
        try:
            passed = self._relay.feed(data, self._handshake)
        except ProtocolViolation as violation:
            self._refuse(Sqlstate.CONNECTION_FAILURE, f"Postgres broke the protocol: {violation.message}")
            return
        if self._handshake.unprotected:
            self._refuse_unchallenged()
            return
        if self._handshake.offer:  # nothing comes behind it before the client has answered
            passed += self._handshake.offer
            self._handshake.offer = b""
        if passed:
            self._client.write(passed)
        if self._handshake.ready:
            self._finish()

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres closed: after an error that the client has seen, or without a word."""
        self._client.close()

    def upstream_full(self, *, full: bool) -> None:
        """Postgres reads slower than the client writes, or has caught up."""
        if full:
            self._client.pause_reading()
        else:
            self._client.resume_reading()

    # -- steps

    async def _connect(self) -> None:
        database = self._database
        try:
            opening = await database.dialler.begin(self._arrival.startup.encode())
        except OSError as error:
            _log.warning("a client could not be connected to postgres", error=repr(error))
            self._refuse(Sqlstate.SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, *explain(database.upstream, error))
            return
        upstream = self._upstream = opening.connection
        if database.upstream.socket_path is not None:
            self._owed_to = _Owed.SYSTEM_USER
        elif upstream.encrypted and database.dialler.shows_certificate:
            self._owed_to = _Owed.CERTIFICATE
        in_the_clear = self._arrival.identity is None
        self._handshake = Handshake(
            allow_unchallenged=self._arrival.local and self._is_entitled(),
            hide_binding=upstream.encrypted and in_the_clear,
        )
        if upstream.encrypted and not in_the_clear:
            self._guard = BindingGuard()
        opening.hand_over(self)
        if self._ended or self._handshake.ready:
            return
        if self._early and not self._handshake.admitted:
            early, self._early = self._early, b""
            self._pass_on(early)
        self._client.resume_reading()

    def _is_entitled(self) -> bool:
        """Whether a client from this host has anyway what Postgres may give the proxy unasked."""
        return self._owed_to is _Owed.ADDRESS or (self._owed_to is _Owed.SYSTEM_USER and is_our_user(self._client))

    def _pass_on(self, data: bytes) -> None:
        assert self._upstream is not None
        if self._guard is not None and self._handshake.asked_sasl:
            data = self._guard.feed(data)
            if self._guard.bound:
                self._refuse_bound()
                return
        self._upstream.write(data)

    def _hold(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > _MAX_EARLY_BYTES:
            self._client.pause_reading()

    def _finish(self) -> None:
        assert self._upstream is not None
        self._ended = True
        if self._arrival.startup.is_replication:
            self._relay_for_good(self._upstream)
        else:
            key = self._handshake.backend_key
            begin_session(self._database, self._arrival, self._upstream, self._relay, self._early, key)

    def _relay_for_good(self, upstream: UpstreamConnection) -> None:
        self._arrival.deadline.cancel()
        raw = RawRelay(self._client, upstream, self._database.statistics)
        upstream.listener = raw
        self._client.set_protocol(raw)
        self._client.write(READY_FOR_QUERY[TransactionStatus.IDLE] + self._relay.release())
        self._client.resume_reading()
        if self._early:
            raw.data_received(self._early)

    def _refuse_unchallenged(self) -> None:
        owed_to = self._owed_to if self._arrival.local else _Owed.ADDRESS
        self._refuse(Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION, *_UNCHALLENGED[owed_to])

    def _refuse_bound(self) -> None:
        self._refuse(
            Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION,
            "channel binding cannot be relayed: the client's TLS ends at the proxy, which has TLS of its own with "
            "Postgres",
            "Set auth = scram, or tls = auto, for this cache; or connect with channel_binding=disable.",
        )

    def _refuse(self, sqlstate: Sqlstate, message: str, hint: str | None = None) -> None:
        self._ended = True
        refuse(self._client, sqlstate, message, hint)
        if self._upstream is not None:
            self._upstream.close()
