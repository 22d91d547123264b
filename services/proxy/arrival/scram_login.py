"""`scram`: the client proves itself to the proxy, the proxy proves itself to Postgres; see `scram.broker`.

This is what a relayed login cannot do: each side's exchange is bound to its own TLS channel.
"""

import asyncio

import structlog

from services.proxy.arrival.login import Arrival, Login
from services.proxy.cached_database import CachedDatabase
from services.proxy.scram.binding import end_point
from services.proxy.scram.broker import Broker, Stage
from services.proxy.verifiers.absence import VerifiersUnavailable
from services.proxy.verifiers.finder import VerifierFinder
from services.proxy.verifiers.role_name import printable
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.sqlstate import Sqlstate

_log = structlog.get_logger()


class ScramLogin(Login):
    """A login in two exchanges: of the client with the proxy, and of the proxy with Postgres."""

    def __init__(self, database: CachedDatabase, arrival: Arrival, verifiers: VerifierFinder) -> None:
        """Take over a client.

        Args:
            database: The cache.
            arrival: The client.
            verifiers: Where verifiers come from.
        """
        super().__init__(database, arrival)
        self._verifiers = verifiers
        self._broker = Broker(arrival.startup.user, client_end_point=None, server_end_point=None)

    # -- the client's side, called by the loop

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._broker.stage is Stage.PROOF:
            self._broker.client_received(data)
            self._advance(b"")
            return
        self._hold(data)

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

    def upstream_full(self, *, full: bool) -> None:
        """A login fills nothing."""

    # -- steps

    async def _connect(self) -> None:
        opening = await self._dial()
        if opening is None:
            return
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
            self._finish(broker.early + self._early, broker.backend_key)
        elif broker.wanted is not None and self._step is None:
            self._step = asyncio.get_running_loop().create_task(self._find_verifier())
        elif broker.stage is Stage.PROOF and self._early:
            early, self._early = self._early, b""
            self.data_received(early)
