"""What the tables hold, read around the proxy: the truth that both oracles compare with.

Values are the texts that Postgres's output functions give, as pgoutput sends them, so that they can be compared byte by
byte. A table that an open transaction has locked is not read: whoever holds ACCESS EXCLUSIVE keeps all others from
changing it, so it holds what it held.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.changes.definitions import PUBLICATION

Row = tuple[str | None, ...]
Connection = psycopg.Connection[tuple[Any, ...]]

_LOCK_TIMEOUT_MS = 1

# In one statement, so in one snapshot. `prqual` and `prattrs` are no columns before 15.
_TABLES = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relreplident::text,
           entry.oid, coalesce(to_jsonb(entry) ->> 'prqual', to_jsonb(entry) ->> 'prattrs') IS NOT NULL,
           ARRAY(SELECT (a.attname, a.attnum, a.atttypid, a.atttypmod)::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 ORDER BY a.attnum),
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 ORDER BY a.attnum),
           ARRAY(WITH RECURSIVE above AS (
                     SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid AND NOT inhdetachpending
                     UNION SELECT h.inhparent FROM pg_inherits h JOIN above ON h.inhrelid = above.inhparent
                     WHERE NOT h.inhdetachpending)
                 SELECT inhparent FROM above ORDER BY 1),
           coalesce((SELECT array_agg(a.attname::text)
                     FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) key(number)
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.number
                     WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                       AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                           ELSE false END), '{}'),
           has_table_privilege('reader', c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_publication_rel entry
        ON entry.prrelid = c.oid AND entry.prpubid = (SELECT oid FROM pg_publication WHERE pubname = %(publication)s)
    WHERE n.nspname IN ('s1', 's2') AND c.relkind IN ('r', 'p', 'v')
    ORDER BY c.oid
"""
_COMPLETE = """
    SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND NOT pubviaroot
    FROM pg_publication WHERE pubname = %(publication)s
"""


@dataclass(frozen=True, slots=True)
class TableState:
    """A table at one moment.

    Attributes:
        oid: Its OID.
        schema: Its schema.
        name: Its name.
        kind: `r`, `p` (partitioned) or `v` (view).
        persistence: `p`, `u`.
        identity: `d`, `i`, `f`, `n`.
        entry: OID of its row in our publication; None without one.
        narrowed: Whether that row holds a filter.
        described: Its columns in full: another one if anything about them has changed.
        columns: Their names, without generated ones.
        ancestors: The tables above it, partitioned ones and parents.
        key: Columns of its replica identity, unless that is FULL.
        readable: Whether the role `reader` may read it.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    identity: str
    entry: int | None
    narrowed: bool
    described: tuple[str, ...]
    columns: tuple[str, ...]
    ancestors: tuple[int, ...]
    key: tuple[str, ...]
    readable: bool

    @property
    def named(self) -> str:
        """Its name in SQL."""
        return f"{self.schema}.{self.name}"

    @property
    def identified(self) -> bool:
        """Whether Postgres identifies its old rows."""
        return self.identity == "f" or bool(self.key)


@dataclass(frozen=True, slots=True)
class Content:
    """The database at one moment.

    Attributes:
        lsn: End of the WAL: everything that is in here lies below.
        complete: Whether our publication gives every kind of change.
        tables: By OID.
        rows: Of each table by OID, its own ones only.
        locked: OIDs of the tables that could not be read: their rows are those of before.
    """

    lsn: int
    complete: bool
    tables: Mapping[int, TableState]
    rows: Mapping[int, tuple[Row, ...]]
    locked: frozenset[int] = field(default_factory=frozenset)

    def below(self, oid: int) -> frozenset[int]:
        """Return the OIDs of the tables with rows of their own that are below another one."""
        return frozenset(one for one, table in self.tables.items() if table.kind == "r" and oid in table.ancestors)

    def published(self, oid: int) -> bool:
        """Tell whether every change of a table is sent, as it stands."""
        table = self.tables.get(oid)
        return (
            table is not None
            and self.complete
            and table.entry is not None
            and not table.narrowed
            and table.persistence == "p"
            and table.identified
        )


class ContentReader:
    """Reads content over a connection of its own."""

    def __init__(self, url: str) -> None:
        """Connect."""
        self._connection: Connection = psycopg.connect(
            url, autocommit=True, prepare_threshold=None, options=f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c TimeZone=UTC"
        )

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def read(self, before: Content | None) -> Content:
        """Read everything; what is locked is taken from `before`."""
        parameters = {"publication": PUBLICATION}
        tables = {row[0]: _state(row) for row in self._connection.execute(_TABLES, parameters).fetchall()}
        complete = self._connection.execute(_COMPLETE, parameters).fetchone()
        rows: dict[int, tuple[Row, ...]] = {}
        locked: set[int] = set()
        for table in tables.values():
            if table.kind != "r":
                continue
            try:
                rows[table.oid] = self._rows(table)
            except psycopg.errors.LockNotAvailable:
                locked.add(table.oid)
                rows[table.oid] = before.rows.get(table.oid, ()) if before is not None else ()
        lsn = self._connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert lsn is not None
        return Content(int(lsn[0]), bool(complete and complete[0]), tables, rows, frozenset(locked))

    def _rows(self, table: TableState) -> tuple[Row, ...]:
        columns = ", ".join(f'"{name}"' for name in table.columns)
        cursor = self._connection.execute(f"SELECT {columns} FROM ONLY {table.named}".encode())
        result = cursor.pgresult
        assert result is not None
        return tuple(
            tuple(
                None if (value := result.get_value(row, column)) is None else value.decode()
                for column in range(len(table.columns))
            )
            for row in range(result.ntuples)
        )


def _state(row: tuple[Any, ...]) -> TableState:
    fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    return TableState(*fields)
