"""Reads, for tables that cannot be followed as they are, which statement would mend each of them."""

from collections.abc import Sequence

from services.cdc.control import ControlConnection
from services.cdc.statements import quote
from services.cdc.tables import LeftOut, Table

# An index can be a replica identity if it is unique, valid, immediate, whole, and of columns that are NOT NULL.
_INDEXES = """
    SELECT DISTINCT ON (i.indrelid) i.indrelid, c.relname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = ANY ($1::oid[]) AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) key
                      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key WHERE NOT a.attnotnull)
    ORDER BY i.indrelid, NOT i.indisprimary, i.indnatts, c.relname
"""
_SECURED = """
    SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relrowsecurity AND c.relkind IN ('r', 'p') ORDER BY 1
"""


async def mending_statements(control: ControlConnection, tables: Sequence[Table]) -> dict[int, str]:
    """Return what would make tables fit to be followed, by their OIDs; each is its owner's to run."""
    keyless = [table for table in tables if table.unfit is LeftOut.NO_IDENTITY]
    indexes = dict(await control.fetch(_INDEXES, [table.oid for table in keyless])) if keyless else {}
    statements = {table.oid: _identifying(table, indexes.get(table.oid)) for table in keyless}
    unlogged = [table for table in tables if table.unfit is LeftOut.UNLOGGED]
    return statements | {table.oid: f"ALTER TABLE {_name(table)} SET LOGGED" for table in unlogged}


async def secured_tables(control: ControlConnection) -> list[str]:
    """Return the names of the tables with row security."""
    return [name for (name,) in await control.fetch(_SECURED)]


def _identifying(table: Table, index: str | None) -> str:
    identity = "FULL" if index is None else f"USING INDEX {quote(index)}"
    return f"ALTER TABLE {_name(table)} REPLICA IDENTITY {identity}"


def _name(table: Table) -> str:
    return f"{quote(table.schema)}.{quote(table.name)}"
