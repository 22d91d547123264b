"""Reads which indexes could be replica identities: unique, whole, immediate, of columns that are NOT NULL."""

from typing import Any

_INDEXES = """
    SELECT i.indrelid AS relation, pg_catalog.quote_ident(x.relname) AS name,
           ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = i.indrelid
                   AND a.attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1])) AS columns
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid >= 16384 AND i.indisunique AND i.indisvalid AND i.indimmediate AND NOT i.indisprimary
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) key
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key
                      WHERE NOT a.attnotnull OR a.attgenerated <> '')
    ORDER BY i.indnkeyatts, x.relname
"""


async def read_indexes(connection: Any) -> dict[int, list[tuple[str, frozenset[str]]]]:
    """Return them by table, the narrowest first, each with its name as SQL and its key columns."""
    found: dict[int, list[tuple[str, frozenset[str]]]] = {}
    for row in await connection.fetch(_INDEXES):
        found.setdefault(row["relation"], []).append((row["name"], frozenset(row["columns"])))
    return found
