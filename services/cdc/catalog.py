"""Reads what the catalog says of the tables of the database."""

from collections.abc import Sequence

from services.cdc.control import ControlConnection
from services.cdc.tables import IDENTITIES, LeftOut, Table
from services.shared.relation import ancestors_by_relation

# What not every version has is read through to_jsonb: row filters and column lists (15), generated columns that are
# published (18, where they have to be if they belong to the replica identity: UPDATE and DELETE fail otherwise).
_TABLES = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
           c.relreplident::text, pg_has_role(c.relowner, 'USAGE'), entry.oid,
           coalesce(to_jsonb(entry) ->> 'prqual', to_jsonb(entry) ->> 'prattrs') IS NOT NULL,
           described.names, described.types, described.keys, described.generated_key,
           c.relhassubclass AND EXISTS (
               SELECT FROM pg_inherits h JOIN pg_class t ON t.oid = h.inhrelid
               WHERE h.inhparent = c.oid AND t.relpersistence = 't'),
           ARRAY(SELECT h.inhparent FROM pg_inherits h WHERE h.inhrelid = c.oid AND NOT h.inhdetachpending
                 ORDER BY h.inhseqno)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_publication p ON p.pubname = $1
    LEFT JOIN pg_publication_rel entry ON entry.prrelid = c.oid AND entry.prpubid = p.oid
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''), '{}') AS names,
               coalesce(array_agg(a.atttypid ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''), '{}') AS types,
               coalesce(array_agg(k.is_key ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''), '{}') AS keys,
               coalesce(bool_or(k.is_key AND k.unpublished), false) AS generated_key
        FROM pg_attribute a
        CROSS JOIN LATERAL (
            SELECT coalesce(c.relreplident = 'f' OR a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]), false),
                   current_setting('server_version_num')::int >= 180000
                   AND a.attgenerated::text NOT IN ('', coalesce(to_jsonb(p) ->> 'pubgencols', ''))
        ) k(is_key, unpublished)
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
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
    names, types, keys, generated_key = described
    assert isinstance(names, list)
    assert isinstance(types, list)
    assert isinstance(keys, list)
    key_columns = tuple(column for column, is_key in zip(names, keys, strict=True) if is_key)
    return Table(
        oid=int(str(oid)),
        schema=str(schema),
        name=str(name),
        unfit=_unfit(str(kind), str(persistence), bool(key_columns), bool(generated_key)),
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


def _unfit(kind: str, persistence: str, has_identity: bool, generated_key: bool) -> LeftOut | None:
    if kind == "f":
        return LeftOut.FOREIGN
    if kind == "p":
        return None
    if persistence != "p":
        return LeftOut.UNLOGGED
    if generated_key:
        return LeftOut.GENERATED_IDENTITY
    return None if has_identity else LeftOut.NO_IDENTITY
