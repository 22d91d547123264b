"""The whole of pg_catalog as values to compare, to show that nothing has changed, or that nothing is left."""

from dataclasses import dataclass

from tests.servers.postgres import PostgresServer

_CATALOGS = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'pg_statistic%'
    ORDER BY 1
"""
_ROWS = "SELECT coalesce(array_agg(row::text ORDER BY row::text), '{{}}') FROM pg_catalog.{} row"
_NEXT_XID = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"

QUIET = {"autovacuum": "off", "max_slot_wal_keep_size": "64MB"}
"""Settings of a server that changes nothing by itself."""


@dataclass(frozen=True)
class CatalogPrint:
    """What a database holds about itself at one moment.

    Attributes:
        rows: Every row of every catalog, by its catalog.
        slots: Names of the replication slots.
        next_xid: The transaction id that would be given out next.
    """

    rows: dict[str, list[str]]
    slots: list[str]
    next_xid: str


def take_print(server: PostgresServer, database: str) -> CatalogPrint:
    """Read it all."""
    with server.connect(database) as connection:
        catalogs = [str(name) for (name,) in connection.execute(_CATALOGS)]
        rows = {name: connection.execute(_ROWS.format(name)).fetchall()[0][0] for name in catalogs}
        slots = [str(name) for (name,) in connection.execute("SELECT slot_name FROM pg_replication_slots ORDER BY 1")]
        return CatalogPrint(rows, slots, str(connection.execute(_NEXT_XID).fetchall()[0][0]))


def differences(before: CatalogPrint, after: CatalogPrint) -> dict[str, set[str]]:
    """Return the rows that only one of the two has."""
    changed = {name: set(before.rows[name]) ^ set(after.rows[name]) for name in before.rows}
    return {name: rows for name, rows in changed.items() if rows}
