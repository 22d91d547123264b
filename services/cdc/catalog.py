"""Reads what the catalog says of the tables of the database."""

from collections.abc import Sequence

from services.cdc.control import ControlConnection
from services.cdc.tables import IDENTITIES, LeftOut, Table
from services.shared.relation import ancestors_by_relation

# Partial and narrowed entries are read through to_jsonb, because 14 has neither row filters nor column lists.
_TABLES = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
           c.relreplident::text, pg_has_role(c.relowner, 'USAGE'), entry.oid,
           coalesce(to_jsonb(entry) ->> 'prqual', to_jsonb(entry) ->> 'prattrs') IS NOT NULL,
           described.names, described.types, described.keys,
           c.relhassubclass AND EXISTS (
               SELECT FROM pg_inherits h JOIN pg_class t ON t.oid = h.inhrelid
               WHERE h.inhparent = c.oid AND t.relpersistence = 't'),
           ARRAY(SELECT h.inhparent FROM pg_inherits h WHERE h.inhrelid = c.oid AND NOT h.inhdetachpending
                 ORDER BY h.inhseqno)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_publication_rel entry
        ON entry.prrelid = c.oid AND entry.prpubid = (SELECT oid FROM pg_publication WHERE pubname = $1)
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}') AS names,
               coalesce(array_agg(a.atttypid ORDER BY a.attnum), '{}') AS types,
               coalesce(array_agg(c.relreplident = 'f' OR a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                                  ORDER BY a.attnum), '{}') AS keys
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ) described
    WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tidegate')
      AND n.nspname NOT LIKE 'pg\\_toast%' AND c.relpersistence <> 't'
    ORDER BY n.nspname, c.relname
"""


async def read_tables(control: ControlConnection, publication: str) -> list[Table]:
    """Read all tables of the database that someone made, in order of their names."""
    rows = await control.fetch(_TABLES, publication)
    ancestors = ancestors_by_relation({row[0]: row[-1] for row in rows if row[-1]})
    return [_table(row[:-1], ancestors.get(row[0], ())) for row in rows]


def _table(row: Sequence[object], ancestors: tuple[int, ...]) -> Table:
    oid, schema, name, kind, persistence, identity, owned, entry, narrowed, *described, temporary_children = row
    names, types, keys = described
    assert isinstance(names, list)
    assert isinstance(types, list)
    assert isinstance(keys, list)
    key_columns = tuple(column for column, is_key in zip(names, keys, strict=True) if is_key)
    return Table(
        oid=int(str(oid)),
        schema=str(schema),
        name=str(name),
        unfit=_unfit(str(kind), str(persistence), bool(key_columns)),
        identity=IDENTITIES[str(identity)],
        columns=tuple(zip(names, types, strict=True)),
        key_columns=key_columns,
        owned=bool(owned),
        entry=None if entry is None else int(str(entry)),
        narrowed=bool(narrowed),
        partitioned=kind == "p",
        ancestors=ancestors,
        temporary_children=bool(temporary_children),
    )


def _unfit(kind: str, persistence: str, has_identity: bool) -> LeftOut | None:
    if kind == "f":
        return LeftOut.FOREIGN
    if kind == "p":
        return None
    if persistence != "p":
        return LeftOut.UNLOGGED
    return None if has_identity else LeftOut.NO_IDENTITY
