"""`scram`: the client proves itself to the proxy, the proxy proves itself to Postgres; see `scram.broker`.

This is what a relayed login cannot do: each side's exchange is bound to its own TLS channel.
"""

import asyncio

import structlog

from services.proxy.arrival.login import Arrival, begin_session, refuse
from services.proxy.arrival.raw_relay import RawRelay
from services.proxy.cached_database import CachedDatabase
from services.proxy.scram.binding import end_point
from services.proxy.scram.broker import Broker, Stage
from services.proxy.session.relay import BackendRelay
from services.proxy.upstream.connection import UpstreamConnection
from services.proxy.upstream.failure import explain
from services.proxy.verifiers.absence import VerifiersUnavailable
from services.proxy.verifiers.finder import VerifierFinder
from services.proxy.verifiers.role_name import printable
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.sqlstate import Sqlstate

_MAX_EARLY_BYTES = 64 * 1024  # beyond it the client is not read until its session begins

_log = structlog.get_logger()


class ScramLogin(asyncio.Protocol):
    """The protocol of a client's connection from its start-up packet to its session."""

    def __init__(self, database: CachedDatabase, arrival: Arrival, verifiers: VerifierFinder) -> None:
        """Take over a client.

        Args:
            database: The cache.
            arrival: The client.
            verifiers: Where verifiers come from.
        """
        self._database = database
        self._arrival = arrival
        self._verifiers = verifiers
        self._client = arrival.client
        self._early = arrival.early  # what the client sent while it was not its turn
        self._upstream: UpstreamConnection | None = None
        self._relay = BackendRelay()
        self._broker = Broker(arrival.startup.user, client_end_point=None, server_end_point=None)
        self._ended = False
        self._step: asyncio.Task[None] | None = None  # what is waited for, and no byte of anybody's

    def begin(self) -> None:
        """Connect to Postgres and hand it the start-up packet, verbatim."""
        self._client.pause_reading()
        self._step = asyncio.get_running_loop().create_task(self._connect())

    # -- the client's side, called by the loop

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._broker.stage is Stage.PROOF:
            self._broker.client_received(data)
            self._advance(b"")
            return
        self._early += data
        if len(self._early) > _MAX_EARLY_BYTES:
            self._client.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._ended = True
        self._arrival.deadline.cancel()
        self._database.statistics.sessions -= 1
        if self._step is not None:
            self._step.cancel()
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
        if self._ended:
            return
        try:
            passed = self._relay.feed(data, self._broker)
        except ProtocolViolation as violation:
            self._refuse(Sqlstate.CONNECTION_FAILURE, f"Postgres broke the protocol: {violation.message}")
            return
        self._advance(passed)

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres closed: after an error that the client has seen, or without a word."""
        self._client.close()

    def upstream_full(self, *, full: bool) -> None:
        """A login fills nothing."""

    # -- steps

    async def _connect(self) -> None:
        database = self._database
        try:
            opening = await database.dialler.begin(self._arrival.startup.encode())
        except OSError as error:
            _log.warning("a client could not be connected to postgres", error=repr(error))
            self._refuse(Sqlstate.SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, *explain(database.upstream, error))
            return
        self._upstream = opening.connection
        identity, certificate = self._arrival.identity, opening.connection.certificate
        self._broker = Broker(
            self._arrival.startup.user,
            client_end_point=None if identity is None else end_point(identity.certificate),
            server_end_point=None if certificate is None else end_point(certificate),
        )
        self._step = None
        opening.hand_over(self)

    async def _find_verifier(self) -> None:
        wanted = self._broker.wanted
        assert wanted is not None
        try:
            verifier = await self._verifiers.find(self._arrival.startup.user, wanted)
        except VerifiersUnavailable as error:
            _log.warning("a login could not be checked", error=str(error))
            self._refuse(Sqlstate.CANNOT_CONNECT_NOW, "passwords cannot be checked now", hint="See the proxy's log.")
            return
        self._step = None
        if self._broker.stage is not Stage.VERIFIER:
            return  # Postgres has given up meanwhile, and said so
        self._broker.use(verifier)
        self._client.resume_reading()
        self._advance(b"")

    def _advance(self, passed: bytes) -> None:
        """Do what the broker wants; what the relay passed on goes to the client behind what the broker says."""
        broker, upstream = self._broker, self._upstream
        assert upstream is not None
        upstream.write(broker.take_for_postgres())
        self._client.write(broker.take_for_client() + passed)
        if broker.refusal is not None:
            self._ended = True
            if broker.advice:
                _log.warning("a login by scram is not possible", reason=printable(broker.advice))
            self._client.write(broker.refusal.encode())
            self._client.close()
            upstream.close()
        elif broker.ready:
            self._finish(upstream)
        elif broker.wanted is not None and self._step is None:
            self._step = asyncio.get_running_loop().create_task(self._find_verifier())
        elif broker.stage is Stage.PROOF and self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def _finish(self, upstream: UpstreamConnection) -> None:
        self._ended = True
        early = self._broker.early + self._early
        if not self._arrival.startup.is_replication:
            begin_session(self._database, self._arrival, upstream, self._relay, early, self._broker.backend_key)
            return
        self._arrival.deadline.cancel()
        raw = RawRelay(self._client, upstream, self._database.statistics)
        upstream.listener = raw
        self._client.set_protocol(raw)
        self._client.write(READY_FOR_QUERY[TransactionStatus.IDLE] + self._relay.release())
        self._client.resume_reading()
        if early:
            raw.data_received(early)

    def _refuse(self, sqlstate: Sqlstate, message: str, hint: str | None = None) -> None:
        self._ended = True
        refuse(self._client, sqlstate, message, hint)
        if self._upstream is not None:
            self._upstream.close()
