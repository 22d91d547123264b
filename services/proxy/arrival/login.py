"""Between a client's start-up packet and its session: the login, and what it is told and hands on.

A login takes over the client's connection with its start-up packet, has Postgres admit it, and begins the session. How
it does that is the cache's setting: `relayed_login` lets client and Postgres talk to each other, `scram_login` has the
client prove itself to the proxy, and the proxy to Postgres.
"""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass

import structlog

from services.proxy.arrival.raw_relay import RawRelay
from services.proxy.cached_database import CachedDatabase
from services.proxy.reasons import Reason
from services.proxy.session.relay import BackendRelay
from services.proxy.session.sharing_session import new_session
from services.proxy.tls.identity import TlsIdentity
from services.proxy.upstream.connection import UpstreamConnection
from services.proxy.upstream.dialler import Opening
from services.proxy.upstream.failure import explain
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.notice import error_response
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.pgwire.startup import StartupMessage
from services.shared.runtime.settings import Consistency

_PROCESS_ID_BYTES = 4  # what BackendKeyData begins with
_MAX_EARLY_BYTES = 64 * 1024  # beyond it the client is not read until its session begins

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client that has said who it is.

    Attributes:
        client: Its connection, under TLS where that was agreed on.
        startup: Its start-up packet.
        early: What it sent behind that.
        identity: What its TLS was made with; None: it is in the clear.
        local: Only users of this host can have come this way.
        deadline: Ends the connection when the start-up takes too long; cancelled when the session begins.
    """

    client: asyncio.Transport
    startup: StartupMessage
    early: bytes
    identity: TlsIdentity | None
    local: bool
    deadline: asyncio.TimerHandle


class Login(asyncio.Protocol, ABC):
    """The protocol of a client's connection from its start-up packet to its session, however it logs in."""

    def __init__(self, database: CachedDatabase, arrival: Arrival) -> None:
        """Take over a client."""
        self._database = database
        self._arrival = arrival
        self._client = arrival.client
        self._early = arrival.early  # what the client sent while it was not its turn
        self._upstream: UpstreamConnection | None = None
        self._relay = BackendRelay()
        self._ended = False
        self._step: asyncio.Task[None] | None = None  # what is waited for, and no byte of anybody's

    def begin(self) -> None:
        """Connect to Postgres and hand it the start-up packet, verbatim."""
        self._client.pause_reading()
        self._step = asyncio.get_running_loop().create_task(self._connect())

    @abstractmethod
    async def _connect(self) -> None:
        """Connect to Postgres, and let the exchange begin."""

    # -- the client's side, called by the loop

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, before its session began."""
        self._ended = True
        self._database.statistics.logins_failed += 1
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

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres closed: after an error that the client has seen, or without a word."""
        self._client.close()

    # -- steps

    async def _dial(self) -> Opening | None:
        """Connect to Postgres; None when it cannot be reached, which the client then knows."""
        upstream = self._database.upstream
        try:
            opening = await self._database.dialler.begin(self._arrival.startup.encode())
        except OSError as error:
            setting = "database_url" if self._database.replica is None else "replica_url"
            _log.warning("a client could not be connected to postgres", error=repr(error))
            self._refuse(Sqlstate.SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, *explain(upstream, error, setting))
            return None
        self._upstream = opening.connection
        return opening

    def _hold(self, data: bytes) -> None:
        """Keep what the client has sent for later."""
        self._early += data
        if len(self._early) > _MAX_EARLY_BYTES:
            self._client.pause_reading()

    def _finish(self, early: bytes, backend_key: bytes) -> None:
        """Postgres has let the client in: hand it to a session, or to a relay where it is a replica.

        Args:
            early: What the client has sent since.
            backend_key: Process id and cancel key, as BackendKeyData carried them; empty if there was none. A secret.
        """
        assert self._upstream is not None
        self._ended = True
        self._arrival.deadline.cancel()  # it is met
        if self._arrival.startup.is_replication:
            self._begin_raw_relay(self._upstream, early)
        else:
            self._begin_session(self._upstream, early, backend_key)

    def _begin_session(self, upstream: UpstreamConnection, early: bytes, backend_key: bytes) -> None:
        database, client = self._database, self._client
        startup = self._arrival.startup
        user = startup.user.encode()
        session = new_session(database, client, upstream, self._relay, _refusal(database, startup), user)
        upstream.listener = session
        database.sessions.add(session, backend_key)
        client.set_protocol(session)
        session.greet(READY_FOR_QUERY[TransactionStatus.IDLE], int.from_bytes(backend_key[:_PROCESS_ID_BYTES]))
        client.resume_reading()
        if early:
            session.data_received(early)
        if database.draining:
            session.drain()

    def _begin_raw_relay(self, upstream: UpstreamConnection, early: bytes) -> None:
        raw = RawRelay(self._client, upstream, self._database.statistics)
        upstream.listener = raw
        self._client.set_protocol(raw)
        self._client.write(READY_FOR_QUERY[TransactionStatus.IDLE] + self._relay.release())
        self._client.resume_reading()
        if early:
            raw.data_received(early)

    def _refuse(self, sqlstate: Sqlstate, message: str, hint: str | None = None) -> None:
        """Tell the client why it cannot come in, and end both connections."""
        self._ended = True
        refuse(self._client, sqlstate, message, hint)
        if self._upstream is not None:
            self._upstream.close()


def refuse(client: asyncio.Transport, sqlstate: str, message: str, hint: str | None = None) -> None:
    """Tell a client why it cannot come in, and end its connection."""
    client.write(error_response("FATAL", sqlstate, f"tidegate: {message}", hint=hint).encode())
    client.close()


def refuse_as_postgres(client: asyncio.Transport, sqlstate: str, message: str) -> None:
    """End a client's connection with an error that Postgres has too, in its words."""
    client.write(error_response("FATAL", sqlstate, message).encode())
    client.close()


def _refusal(database: CachedDatabase, startup: StartupMessage) -> str:
    """Return why nothing of a session is cached; empty when it may be."""
    if startup.database != database.upstream.database:
        return Reason.DATABASE_NOT_CACHED
    return Reason.CONSISTENCY_OFF if database.settings.consistency is Consistency.OFF else ""
