"""A session that reads the writes of others at once, as `token_scope` says.

The hot path of other sessions does not ask for what others write; this one does, before it.
"""

import asyncio

from services.proxy.cached_database import CachedDatabase
from services.proxy.session.relay import BackendRelay
from services.proxy.session.session import Session
from services.proxy.session.write_scope import SharedWrites
from services.proxy.upstream.connection import UpstreamConnection


class SharingSession(Session):
    """See `Session`."""

    __slots__ = ("_shared",)

    def __init__(
        self,
        database: CachedDatabase,
        client: asyncio.Transport,
        upstream: UpstreamConnection,
        relay: BackendRelay,
        refusal: str,
        shared: SharedWrites,
    ) -> None:
        super().__init__(database, client, upstream, relay, refusal, shared)
        self._shared = shared

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client. Called by the loop."""
        if self._shared.quiet:
            super().data_received(data)
        else:
            self.take(data)


def new_session(
    database: CachedDatabase,
    client: asyncio.Transport,
    upstream: UpstreamConnection,
    relay: BackendRelay,
    refusal: str,
    user: bytes,
) -> Session:
    """Take over a client that Postgres has let in, as this role; see `Session` for the rest."""
    shared = database.write_scopes.of(user)
    if shared is None:
        return Session(database, client, upstream, relay, refusal)
    return SharingSession(database, client, upstream, relay, refusal, shared)
