"""Reads which tables there are, what they have been through and how long their rows are, for advice on identities.

Nothing but SELECT: rows are looked at in a few pages of each table, and what is in TOAST is not fetched.
"""

from collections.abc import Iterable

from services.cdc.control import ControlConnection
from services.cdc.statements import quote
from services.cdc.tables import IDENTITIES
from services.installation.identity_facts import Counting, ReadRelation, RowTable
from services.installation.wal_cost import SampledColumn

_SAMPLED_PAGES = 32  # of a table, about: a quarter of a megabyte
_SAMPLED_VALUES = 20_000
_LEAST_ROWS = 50

_ALIGNMENTS = {"c": 1, "s": 2, "i": 4, "d": 8}

# Relations and whatever below them has rows. Key columns are those of the identity that there is.
_TABLES = """
    WITH RECURSIVE tree(root, oid) AS (
        SELECT root, root FROM unnest($1::oid[]) root
        UNION SELECT tree.root, i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
    ), member AS (
        SELECT tree.oid, array_agg(tree.root ORDER BY tree.root) AS roots
        FROM tree JOIN pg_class c ON c.oid = tree.oid AND c.relkind = 'r' GROUP BY tree.oid
    )
    SELECT c.oid, format('%s.%s', n.nspname, c.relname), format('%I.%I', n.nspname, c.relname), c.relreplident::text,
           m.roots, greatest(c.relpages, 0), coalesce(s.n_tup_upd, 0), coalesce(s.n_tup_del, 0),
           ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a
                 ON a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                 WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                   AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END)
    FROM member m JOIN pg_class c ON c.oid = m.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    ORDER BY n.nspname, c.relname
"""
# An index can be a replica identity if it is unique, valid, immediate, whole, and of columns that are NOT NULL.
_INDEXES = """
    SELECT i.indrelid, quote_ident(x.relname), ARRAY(SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = ANY ($1::oid[]) AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) key
                      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key
                      WHERE NOT a.attnotnull OR a.attgenerated <> '')
    ORDER BY i.indnkeyatts, x.relname
"""
_NAMES = """
    SELECT c.oid, format('%s.%s', n.nspname, c.relname), format('%I.%I', n.nspname, c.relname),
           c.relkind = 'p' AND c.relreplident <> 'f'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])
"""
_COLUMNS = """
    SELECT attname::text, attalign::text, attlen < 0 FROM pg_attribute
    WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attgenerated <> 'v' ORDER BY attnum
"""
# Counters of tables go back to the database's reset, or if there was none to when all counters began (up to 14 that is
# the same). Where an archiver's or a writer's were reset by themselves, the older one tells more.
_COUNTING = """
    SELECT extract(epoch FROM now() - coalesce(d.stats_reset, least(w.stats_reset, a.stats_reset, b.stats_reset))),
           w.wal_bytes, extract(epoch FROM now() - w.stats_reset), (pg_current_wal_insert_lsn() - '0/0')
    FROM pg_stat_wal w, pg_stat_archiver a, pg_stat_bgwriter b,
         (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) d
"""


async def read_row_tables(control: ControlConnection, relations: Iterable[int]) -> list[RowTable]:
    """Read the tables in which rows of these relations are: they themselves, their partitions and children."""
    rows = await control.fetch(_TABLES, sorted(set(relations)))
    indexes: dict[int, list[tuple[str, frozenset[str]]]] = {}
    for oid, name, columns in await control.fetch(_INDEXES, [row[0] for row in rows]):
        indexes.setdefault(oid, []).append((name, frozenset(columns)))
    return [
        RowTable(
            oid, name, quoted, IDENTITIES[identity], tuple(roots), pages, updates, deletes,
            frozenset(key), tuple(indexes.get(oid, ())),
        )
        for oid, name, quoted, identity, roots, pages, updates, deletes, key in rows
    ]  # fmt: skip


async def read_names(control: ControlConnection, relations: Iterable[int]) -> dict[int, ReadRelation]:
    """Read what relations are called."""
    return {oid: ReadRelation(*rest) for oid, *rest in await control.fetch(_NAMES, sorted(set(relations)))}


async def read_counting(control: ControlConnection) -> Counting:
    """Read since when Postgres counts, and how much WAL it has written."""
    (row,) = await control.fetch(_COUNTING)
    seconds, wal_bytes, wal_seconds, insert_lsn = row
    return Counting(
        None if seconds is None else float(seconds),
        float(wal_bytes),
        None if wal_seconds is None else float(wal_seconds),
        int(insert_lsn),
    )


async def read_sample(control: ControlConnection, table: RowTable) -> list[SampledColumn]:
    """Look at some rows of a table; return how long the values in each column are, and nothing where there is no row.

    `pg_column_size` tells of a value in TOAST how long it is there, without fetching it.

    Raises:
        StatementError: Our role may not read it.
    """
    columns = await control.fetch(_COLUMNS, table.oid)
    if not columns:
        return []
    lengths = ", ".join(f"pg_column_size({quote(name)})" for name, *_ in columns)
    share = min(100.0, 100.0 * _SAMPLED_PAGES / max(1, table.pages))
    rows = await control.fetch(
        f"SELECT {lengths} FROM ONLY {table.quoted} TABLESAMPLE SYSTEM ({share:.9f}) "  # noqa: S608 - quoted names
        f"LIMIT {max(_LEAST_ROWS, _SAMPLED_VALUES // len(columns))}"
    )
    if not rows:
        return []
    return [
        SampledColumn(name, _ALIGNMENTS[alignment], varying, [row[place] for row in rows])
        for place, (name, alignment, varying) in enumerate(columns)
    ]
