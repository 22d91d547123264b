"""A session on a cache of its own, with no server: what the client and Postgres would say is handed to it by the test.

Its cache follows a feed that says nothing, on the small catalog, and is fresh until the test says otherwise.
"""

import asyncio
from typing import Any, cast

from services.proxy.cached_database import CachedDatabase
from services.proxy.session.relay import BackendRelay
from services.proxy.session.session import Session
from services.proxy.session.sharing_session import SharingSession
from services.proxy.session.write_scope import SharedWrites
from services.proxy.upstream.connection import UpstreamConnection
from services.shared.epoch import StreamEpoch
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket
from services.shared.lsn import Lsn
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.redis_client import connect
from services.shared.runtime.settings_loading import load_settings
from tests.unit.proxy.scripted_postgres import ScriptedPostgres
from tests.unit.sql.small_catalog import small_catalog

CATALOG = small_catalog()


class Transport:
    """One connection, of which nothing is lost."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def take(self) -> bytes:
        """Take what was written since the last time."""
        written = b"".join(self.written)
        self.written.clear()
        return written

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def lone_database(**settings: str) -> CachedDatabase:
    """Make a cache that is ready, as far as one can be without Redis and Postgres."""
    given = {"DATABASE_URL": "postgresql://app@127.0.0.1:1/app", "AUDIT_RATE": "0", "MAX_STALENESS": "9min"}
    environment = {f"TIDEGATE_{name}": value for name, value in (given | settings).items()}
    redis = connect("redis://127.0.0.1:1/0", "tidegate:{x}:", 1.0, None)
    bucket = Bucket(redis, "default", 1, 600.0, timeout=1.0)
    database = CachedDatabase(load_settings(environment).caches["default"], bucket, Feed(redis, "default", 1))
    database.store.available = False
    database.store.put = lambda fill: None  # type: ignore[method-assign]
    database.templates.use(CATALOG)
    follower, watch = database.follower, database.catalog_watch
    follower.epoch, follower.stream = "e", StreamEpoch("1", 1, "00000001", "c0ffee", "slot", "log")
    follower.followed = {oid: entry for oid, one in CATALOG.by_oid.items() if (entry := one.publication_entry)}
    follower.refusal_of_shapes = lambda shapes, at: ""  # type: ignore[method-assign]
    watch.completed, watch.readable, watch._expires_at = 1, True, 1e18
    database.freshness.restart(Lsn(100))
    prove_fresh(database)
    return database


def prove_fresh(database: CachedDatabase) -> None:
    """A probe was sent, answered and covered: all that was written before it has been evicted."""
    freshness = database.freshness
    at = freshness.watermark
    freshness.answer(freshness.send(), at)
    freshness.advance(Lsn(at + 1))


def _watched(
    counter: "LoneSession",
    database: CachedDatabase,
    client: asyncio.Transport,
    upstream: UpstreamConnection,
    shared: SharedWrites | None,
) -> Session:
    """Make a session that counts what it does not do the express way."""

    class Watched(Session if shared is None else SharingSession):  # type: ignore[misc]  # either is one
        def take(self, data: bytes) -> None:
            counter.cut += 1
            super().take(data)

    return Watched(database, client, upstream, BackendRelay(), "", *(() if shared is None else (shared,)))


class LoneSession:
    """One session, and both its ends. Needs a running loop."""

    def __init__(
        self, database: CachedDatabase | None = None, *, shared: SharedWrites | None = None, **state: Any
    ) -> None:
        """Log in; `state` is what is special in the session's state."""
        self.database = database or lone_database()
        self.client, self.upstream, self.postgres = Transport(), Transport(), ScriptedPostgres(**state)
        self.cut = 0
        ends = cast(asyncio.Transport, self.client), cast(UpstreamConnection, self.upstream)
        self.session: Session = _watched(self, self.database, *ends, shared)
        self.sent = b""
        self.session.greet(READY_FOR_QUERY[TransactionStatus.IDLE], 0)
        self.exchange(b"")

    def exchange(self, *chunks: bytes, split_at: int | None = None) -> tuple[bytes, bytes]:
        """Have the client send chunks, and Postgres answer; return what went upstream, and what the client got.

        Args:
            chunks: What the client sends.
            split_at: Where Postgres's answers come in two pieces; None: they come whole.
        """
        for chunk in chunks:
            if chunk:
                self.session.data_received(chunk)
        sent: list[bytes] = []
        while asked := self.upstream.take():
            sent.append(asked)
            answer = self.postgres.answer(asked)
            at = (split_at or 0) % len(answer) if answer else 0
            for piece in (answer[:at], answer[at:]):
                if piece:
                    self.session.upstream_received(piece)
        return b"".join(sent), self.client.take()

    @property
    def inside_turn(self) -> bool:
        """Whether the client's turn has begun and not ended: what comes of it then may be passed on at once."""
        turns, assembler = self.session._turns, self.session._assembler
        return turns.inside_turn or turns.goes_on_upstream or not assembler.between_turns

    def expressly(self, turn: bytes, *, split_at: int | None = None) -> tuple[bytes, bytes] | None:
        """As `exchange`, of one turn; None when it went the long way."""
        before = self.cut
        came = self.exchange(turn, split_at=split_at)
        return came if self.cut == before else None
