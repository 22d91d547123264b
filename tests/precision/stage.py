"""Where cases are played: a database whose changes are decoded as the CDC service decodes them.

Each case has a schema of its own, which is dropped afterwards. Results are read through a session, changes through a
slot of pgoutput; the catalog is read as the proxy and the CDC service read it.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import asyncpg
import psycopg
from psycopg import pq

from schemas.changes import Changes
from schemas.relation_event import RelationWide
from services.cdc.catalog import read_tables
from services.cdc.change_events import ChangeEvents
from services.cdc.control import ControlConnection
from services.cdc.pgoutput.decoder import Decoder
from services.cdc.replication.stream import VALUE_SETTINGS
from services.cdc.tables import Table, ancestors_of
from services.cdc.transactions import Assembler, Bounds
from services.proxy.sql.catalog import Catalog, load_catalog
from tests.precision.case import Query
from tests.precision.judging import Answer
from tests.servers.postgres import PostgresServer

SCHEMA = "played"
PUBLICATION = "tidegate_precision"
_SLOT = "precision"
_STATEMENT_MS = 1_000  # what takes longer is not worth waiting for
_SESSION_ZONE = "Asia/Kathmandu"  # of the statements; row changes come in the zone of the change stream
_ENVELOPE = {"cache": "test", "epoch": "1/1/1/1/1/1", "incarnation": "0/1", "k": 0}

# In this collation, A and a are equal, where the server knows such.
_FREE = "CREATE COLLATION free (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
_NOT_FREE = "CREATE COLLATION free (locale = 'C')"

Event = Changes | RelationWide
_ORDERED = re.compile(r" ORDER BY [^()]*$")


class NotRun(Exception):
    """Postgres would not do it."""


@dataclass
class Scene:
    """What the catalogs say of a schema.

    Attributes:
        catalog: As the proxy reads it.
        type_oids: OIDs of types by name.
        events: What transactions said, by their ids.
    """

    catalog: Catalog
    ancestors: dict[int, tuple[Table, ...]]
    type_oids: dict[str, int]
    events: dict[int, list[Event]] = field(default_factory=dict)


class Stage:
    """A database with a slot."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._url = server.url(database)
        self._connection = psycopg.connect(self._url, autocommit=True, prepare_threshold=None)
        self._pgconn = self._connection.pgconn
        self._loop = asyncio.new_event_loop()
        self._catalogs = self._loop.run_until_complete(asyncpg.connect(self._url))
        settings = VALUE_SETTINGS | {
            "statement_timeout": str(_STATEMENT_MS),
            "jit": "off",
            "client_min_messages": "error",
        }
        for name, value in settings.items():
            self._connection.execute(f"SET {name} = '{value}'")
        self._connection.execute(f"SET TimeZone = '{_SESSION_ZONE}'")
        (icu,) = self._connection.execute("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'").fetchall() or (
            None,
        )
        self._collation = _FREE if icu is not None else _NOT_FREE
        self._connection.execute(f"CREATE PUBLICATION {PUBLICATION}")
        self._connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [_SLOT])

    def close(self) -> None:
        """End its sessions."""
        self._loop.run_until_complete(self._catalogs.close())
        self._loop.close()
        self._connection.close()

    @contextlib.contextmanager
    def scene(self, setup: Sequence[str]) -> Iterator[Scene]:
        """Make tables and rows, and remove them afterwards.

        Raises:
            NotRun: Postgres refuses one of the statements.
        """
        self._connection.execute(f"CREATE SCHEMA {SCHEMA}; SET search_path = {SCHEMA}")
        try:
            self.run(self._collation, *setup)
            self._publish()
            yield self._look()
        finally:
            self._connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")

    def run(self, *statements: str) -> None:
        """Run statements, each on its own.

        Raises:
            NotRun: Postgres refuses one.
        """
        try:
            for statement in statements:
                self._connection.execute(statement.encode())
        except psycopg.Error as error:
            raise NotRun(f"{error}: {statement}") from error

    def transact(self, statements: Sequence[str]) -> int:
        """Run statements in one transaction, and return its id.

        Raises:
            NotRun: Postgres refuses one of them: nothing happened.
        """
        self.run("BEGIN")
        try:
            self.run(*statements)
            (row,) = self._connection.execute("SELECT txid_current()").fetchall()
            self.run("COMMIT")
        except NotRun:
            self.run("ROLLBACK")
            raise
        return int(row[0])

    def answer(self, scene: Scene, query: Query) -> Answer:
        """Run a query.

        Raises:
            NotRun: Postgres refuses it.
        """
        values = [parameter.value for parameter in query.parameters]
        types = [scene.type_oids.get(parameter.declared, 0) for parameter in query.parameters]
        formats = [int(parameter.is_binary) for parameter in query.parameters]
        result = self._pgconn.exec_params(query.text.encode(), values, types, formats, 0)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise NotRun(result.error_message.decode())
        width = result.nfields
        rows = (tuple(result.get_value(row, column) for column in range(width)) for row in range(result.ntuples))
        return tuple(rows if _ORDERED.search(query.text) else sorted(rows, key=_sortable))

    def shuffled(self, scene: Scene, query: Query, order: str) -> Answer:
        """Run a query on the same rows in another physical order.

        Raises:
            NotRun: Postgres refuses it.
        """
        self.run("BEGIN")
        try:
            for relation in scene.catalog.relations.values():
                if relation.schema == SCHEMA and relation.kind == "r":
                    self._move(relation.name, relation.oid, order)
            return self.answer(scene, query)
        finally:
            self.run("ROLLBACK")

    def decode(self, scene: Scene) -> None:
        """Read what the transactions since the last call said, into `scene.events`."""
        options = f"'proto_version', '1', 'publication_names', '{PUBLICATION}'"
        self._connection.execute(f"SET TimeZone = '{VALUE_SETTINGS['timezone']}'")
        (*rows,) = self._connection.execute(
            f"SELECT data FROM pg_logical_slot_get_binary_changes('{_SLOT}', NULL, NULL, {options})", binary=True
        ).fetchall()
        self._connection.execute(f"SET TimeZone = '{_SESSION_ZONE}'")
        decoder, assembler, events = Decoder(), Assembler(Bounds()), ChangeEvents(frozenset())
        events.ancestors = scene.ancestors
        for (data,) in rows:
            transaction = assembler.feed(decoder.decode(bytes(data)), len(data))
            if transaction is not None:
                bodies = events.bodies(transaction, transaction.xid)
                scene.events[transaction.xid] = [body.model.trusted(body.fields | _ENVELOPE) for body in bodies]

    def _move(self, name: str, oid: int, order: str) -> None:
        """Write the rows of a table anew, one after the other."""
        columns = self._connection.execute(
            "SELECT attname FROM pg_attribute "
            "WHERE attrelid = %s AND attnum > 0 AND attgenerated = '' AND NOT attisdropped LIMIT 1",
            [oid],
        ).fetchall()
        places = self._connection.execute(f'SELECT ctid::text FROM "{name}" ORDER BY {order}').fetchall()
        column = columns[0][0]
        for (place,) in places:
            self.run(f"""UPDATE "{name}" SET "{column}" = "{column}" WHERE ctid = '{place}'""")

    def _publish(self) -> None:
        tables = self._connection.execute(
            "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace",
            [SCHEMA],
        ).fetchall()
        self.run(f"ALTER PUBLICATION {PUBLICATION} SET TABLE {', '.join(name for (name,) in tables)}")
        self.run(f"SELECT pg_replication_slot_advance('{_SLOT}', pg_current_wal_insert_lsn())")

    def _look(self) -> Scene:
        async def look() -> tuple[Catalog, list[Table]]:
            control = cast(ControlConnection, _Control(self._catalogs))
            return await load_catalog(self._catalogs, PUBLICATION), await read_tables(control, PUBLICATION)

        catalog, tables = self._loop.run_until_complete(look())
        types = self._connection.execute(
            "SELECT typname, oid FROM pg_type WHERE typnamespace IN ('pg_catalog'::regnamespace, %s::regnamespace)",
            [SCHEMA],
        ).fetchall()
        return Scene(catalog, ancestors_of(tables), {name: int(oid) for name, oid in types})


class _Control:
    """A connection as `read_tables` knows it."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def fetch(self, sql: str, *parameters: object) -> list[Any]:
        """Return the rows of a query."""
        return await self._connection.fetch(sql, *parameters)


def _sortable(row: tuple[bytes | None, ...]) -> tuple[tuple[bool, bytes], ...]:
    return tuple((value is None, value or b"") for value in row)


@contextlib.contextmanager
def open_stage(server: PostgresServer, database: str = "precision") -> Iterator[Stage]:
    """Make a database, and remove it afterwards."""
    with server.database(database) as name:
        stage = Stage(server, name)
        try:
            yield stage
        finally:
            stage.close()
