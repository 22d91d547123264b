"""Ordinary connections to the primary, beside the replication stream: the gate's, and the one for set-up and catalog.

Each sets `synchronous_commit = local`: what it commits, a heartbeat most of all, would else wait for a dead synchronous
standby for ever (H43). Each remembers its backend: behind a pooler that switches servers, snapshots and LSNs of several
servers would be mixed up (H48), so another backend is a lost connection.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import asyncpg

from services.cdc.errors import ConnectionLostError, StatementError
from services.cdc.gate import Look, Snapshot, parse_snapshot
from services.shared.lsn import Lsn, parse_lsn
from services.shared.runtime.upstream import Upstream
from services.shared.upstream_tls import asyncpg_context

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0
"""How long a statement may take. The catalog of a very large database is read in a fraction of that; what takes longer
hangs on a server that is gone."""

SESSION_SETTINGS = {
    "synchronous_commit": "local",
    "default_transaction_isolation": "read committed",  # each statement has a snapshot of its own
    "default_transaction_read_only": "off",
    "search_path": "pg_catalog",
    "lock_timeout": "500ms",  # whoever waits behind us should not wait for long; shorter than deadlock_timeout
    "statement_timeout": "0",
    "client_encoding": "utf8",
    "jit": "off",
}

READ_ONLY_SETTINGS = {
    name: value for name, value in SESSION_SETTINGS.items() if name != "default_transaction_isolation"
} | {"default_transaction_read_only": "on"}
"""For a session that only looks. How isolated sessions are by default is one of the things that it looks at."""

_LOOK = "SELECT pg_backend_pid(), pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text"
_SNAPSHOT = "SELECT pg_backend_pid(), pg_current_snapshot()::text"
_INSERT_LSN = "SELECT pg_backend_pid(), pg_current_wal_insert_lsn()::text"
_CURRENT_XID = "SELECT pg_backend_pid(), pg_current_xact_id()::text"
_EMIT_FLUSHED = "SELECT pg_backend_pid(), pg_logical_emit_message(false, 'tidegate', '', true)::text"
_EMIT_COMMITTED = "SELECT pg_backend_pid(), pg_logical_emit_message(true, 'tidegate', '')::text"
_FLUSHING_MESSAGES_SINCE = 17  # major version; before it only a transaction's commit flushes

_SERVER = """
    SELECT system_identifier::text,
           (SELECT oid FROM pg_database WHERE datname = current_database()),
           substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
           extract(epoch FROM pg_postmaster_start_time())::text
    FROM pg_control_system()
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Which server a connection leads to, and in which history it is.

    Attributes:
        system: System identifier (decimal).
        database: OID of the database.
        timeline: Eight hexadecimal digits. From the name of the current WAL file: `pg_control_checkpoint()` still shows
            the old timeline after a promotion (H54).
        started_at: When it was started, in its own words; tells two servers of one system apart.
    """

    system: str
    database: int
    timeline: str
    started_at: str


SERVER_QUERY = _SERVER
"""Asks for the fields of `Server`, in order."""


class ControlConnection:
    """One ordinary connection. Its methods raise `ConnectionLostError` and `StatementError`."""

    def __init__(self, connection: Any, application_name: str) -> None:
        self._connection = connection
        self._pid: int = connection.get_server_pid()
        self._emit = _EMIT_FLUSHED if self.version >= _FLUSHING_MESSAGES_SINCE else _EMIT_COMMITTED
        self.application_name = application_name

    @classmethod
    async def open(cls, upstream: Upstream, application_name: str, *, read_only: bool = False) -> Self:
        """Connect.

        Args:
            upstream: Where to.
            application_name: What the session calls itself.
            read_only: Whether Postgres itself is to refuse whatever would change something.

        Raises:
            ConnectionLostError: There is no server, or it does not let us in.
        """
        settings = READ_ONLY_SETTINGS if read_only else SESSION_SETTINGS
        with _translated():
            connection = await asyncpg.connect(
                upstream.url,
                ssl=asyncpg_context(upstream),  # None: as the URL says
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings=settings | {"application_name": application_name},
            )
        return cls(connection, application_name)

    async def close(self) -> None:
        """Give the connection up; never raises a `ControlError`."""
        self._connection.terminate()

    @property
    def version(self) -> int:
        """Major version of the server."""
        return int(self._connection.get_server_version().major)

    async def look(self) -> Look:
        """Take a snapshot by a statement of its own, and then read where the next WAL record will be inserted."""
        snapshot, insert_lsn = await self._ask(_LOOK)
        return Look(parse_snapshot(snapshot), parse_lsn(insert_lsn))

    async def snapshot(self) -> Snapshot:
        """Take a snapshot by a statement of its own."""
        return parse_snapshot(*await self._ask(_SNAPSHOT))

    async def insert_lsn(self) -> Lsn:
        """Return where the next WAL record will be inserted."""
        return parse_lsn(*await self._ask(_INSERT_LSN))

    async def assign_xid(self) -> int:
        """Return a transaction id, above all that were given out before."""
        return int(*await self._ask(_CURRENT_XID))

    async def emit_message(self) -> Lsn:
        """Write a record of our own and flush the WAL up to it; return the LSN that no other record has."""
        return parse_lsn(*await self._ask(self._emit))

    async def server(self) -> Server:
        """Ask which server this is. Fails on a standby."""
        (row,) = await self.fetch(_SERVER)
        return Server(row[0], row[1], row[2], row[3])

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """Run a statement and return its rows."""
        with _translated():
            rows: Sequence[Any] = await self._connection.fetch(sql, *arguments)
        return rows

    async def execute(self, sql: str) -> None:
        """Run statements without parameters."""
        with _translated():
            await self._connection.execute(sql)

    async def _ask(self, sql: str) -> list[str]:
        """Run a statement that returns the backend's process id and texts; return the texts."""
        with _translated():
            row = await self._connection.fetchrow(sql)
        pid, *texts = map(str, row)
        if pid != str(self._pid):
            raise ConnectionLostError("another backend answers than before: connect to Postgres itself, not a pooler")
        return texts


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise ConnectionLostError(f"{type(error).__name__}: {error}") from error
    except asyncpg.PostgresError as error:
        state = error.sqlstate or "XX000"
        if state[:2] in ("28", "3D", "53", "57"):  # not let in, no such database, no resources, shut down
            raise ConnectionLostError(f"{error} ({state})") from error
        raise StatementError(state, str(error)) from error
