"""`relay`: Postgres itself decides who may come in. The proxy passes the exchange on and only watches.

No client's password is configured here. What Postgres would grant to the proxy rather than to the client is not passed
on: see `handshake`. Where the login cannot succeed because it is bound to a TLS channel, it ends here: `binding_guard`.
"""

from enum import Enum, auto

from services.proxy.arrival.binding_guard import BindingGuard
from services.proxy.arrival.handshake import Handshake
from services.proxy.arrival.login import Arrival, Login
from services.proxy.arrival.peer_user import is_our_user
from services.proxy.cached_database import CachedDatabase
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.sqlstate import Sqlstate


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


class RelayedLogin(Login):
    """A login that Postgres and the client make out between themselves."""

    def __init__(self, database: CachedDatabase, arrival: Arrival) -> None:
        """Take over a client."""
        super().__init__(database, arrival)
        self._handshake = Handshake(allow_unchallenged=False)
        self._owed_to = _Owed.ADDRESS
        self._guard: BindingGuard | None = None

    # -- the client's side, called by the loop

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._upstream is not None and not self._handshake.admitted:
            self._pass_on(data)
        else:
            self._hold(data)

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
            self._finish(self._early, self._handshake.backend_key)

    def upstream_full(self, *, full: bool) -> None:
        """Postgres reads slower than the client writes, or has caught up."""
        if full:
            self._client.pause_reading()
        else:
            self._client.resume_reading()

    # -- steps

    async def _connect(self) -> None:
        opening = await self._dial()
        if opening is None:
            return
        database, upstream = self._database, opening.connection
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
