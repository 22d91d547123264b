"""Between a client's start-up packet and its session: the login, and what it is told and hands on.

A login takes over the client's connection with its start-up packet, has Postgres admit it, and begins the session. How
it does that is the cache's setting: `relayed_login` lets client and Postgres talk to each other.
"""

import asyncio
from dataclasses import dataclass

from services.proxy.cached_database import CachedDatabase
from services.proxy.reasons import Reason
from services.proxy.session.relay import BackendRelay
from services.proxy.session.session import Session
from services.proxy.tls.identity import TlsIdentity
from services.proxy.upstream.connection import UpstreamConnection
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.notice import error_response
from services.shared.pgwire.startup import StartupMessage
from services.shared.runtime.settings import Consistency


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


def refuse(client: asyncio.Transport, sqlstate: str, message: str, hint: str | None = None) -> None:
    """Tell a client why it cannot come in, and end its connection."""
    client.write(error_response("FATAL", sqlstate, f"tidegate: {message}", hint=hint).encode())
    client.close()


def refuse_as_postgres(client: asyncio.Transport, sqlstate: str, message: str) -> None:
    """End a client's connection with an error that Postgres has too, in its words."""
    client.write(error_response("FATAL", sqlstate, message).encode())
    client.close()


def begin_session(
    database: CachedDatabase,
    arrival: Arrival,
    upstream: UpstreamConnection,
    relay: BackendRelay,
    early: bytes,
    backend_key: bytes,
) -> None:
    """Hand a client that Postgres has let in to a session.

    Args:
        database: The cache.
        arrival: The client; its deadline is met.
        upstream: Its connection to Postgres. The first ReadyForQuery has come on it and was not passed on.
        relay: What has cut that connection's bytes so far.
        early: What the client has sent since it was let in.
        backend_key: Process id and cancel key, as BackendKeyData carried them; empty if there was none. A secret.
    """
    arrival.deadline.cancel()
    session = Session(database, arrival.client, upstream, relay, _refusal(database, arrival.startup))
    upstream.listener = session
    database.sessions.add(session, backend_key)
    arrival.client.set_protocol(session)
    session.greet(READY_FOR_QUERY[TransactionStatus.IDLE])
    arrival.client.resume_reading()
    if early:
        session.data_received(early)
    if database.draining:
        session.drain()


def _refusal(database: CachedDatabase, startup: StartupMessage) -> str:
    """Return why nothing of a session is cached; empty when it may be."""
    if startup.database != database.upstream.database:
        return Reason.DATABASE_NOT_CACHED
    return Reason.CONSISTENCY_OFF if database.settings.consistency is Consistency.OFF else ""
