"""The tables of the database, as the catalog shows them, and which of them can be followed.

Followed are ordinary permanent tables whose old rows Postgres identifies. The others stay out of the publication, with
a named reason: an UPDATE of a published table without a replica identity *fails in the application* (H9), and what
happens to partitioned, inherited, unlogged and foreign tables does not come under their own name, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Literal

from services.cdc.control import ControlConnection

Identity = Literal["default", "index", "full", "nothing"]

IDENTITIES: dict[str, Identity] = {"d": "default", "i": "index", "f": "full", "n": "nothing"}
"""`pg_class.relreplident`."""

# Partial and narrowed entries are read through to_jsonb, because 14 has neither row filters nor column lists.
_TABLES = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
           c.relispartition OR EXISTS (SELECT FROM pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent)),
           c.relreplident::text, pg_has_role(c.relowner, 'USAGE'), entry.oid,
           coalesce(to_jsonb(entry) ->> 'prqual', to_jsonb(entry) ->> 'prattrs') IS NOT NULL,
           described.names, described.types, described.keys
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


class LeftOut(StrEnum):
    """Why a table is not followed."""

    PARTITIONED = "it is partitioned, or a partition, or in an inheritance tree"
    FOREIGN = "it is a foreign table"
    UNLOGGED = "it is unlogged"
    NO_IDENTITY = "it has no primary key, and no other replica identity"
    NOT_PUBLISHED = "it is not in the publication, and only its owner can add it"
    REMOVED = "someone removed it from the publication"
    NARROWED = "the publication gives only some of its rows, columns or operations"


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and how it stands in our publication.

    Attributes:
        oid: Its OID.
        schema: Its schema.
        name: Its name.
        unfit: Why it cannot be followed, whatever the publication says; None if it can.
        identity: Its replica identity.
        columns: Names and type OIDs of its columns, those that are not generated.
        key_columns: Columns of the replica identity.
        owned: Whether our role may add it to a publication.
        entry: OID of its row in pg_publication_rel; None if it is not in our publication.
        narrowed: Whether that row holds a row filter or a column list.
    """

    oid: int
    schema: str
    name: str
    unfit: LeftOut | None
    identity: Identity
    columns: tuple[tuple[str, int], ...]
    key_columns: tuple[str, ...]
    owned: bool
    entry: int | None
    narrowed: bool

    @property
    def fingerprint(self) -> str:
        """Another one if anything that the `schema` record says has changed, apart from the publication's row."""
        described = repr((self.schema, self.name, self.identity, self.columns, self.key_columns))
        return blake2b(described.encode(), digest_size=12).hexdigest()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


async def read_tables(control: ControlConnection, publication: str) -> list[Table]:
    """Read all tables of the database that someone made, in order of their names."""
    return [_table(row) for row in await control.fetch(_TABLES, publication)]


def _table(row: Sequence[object]) -> Table:
    oid, schema, name, kind, persistence, in_tree, identity, owned, entry, narrowed, names, types, keys = row
    assert isinstance(names, list)  # these three are arrays
    assert isinstance(types, list)
    assert isinstance(keys, list)
    key_columns = tuple(column for column, is_key in zip(names, keys, strict=True) if is_key)
    return Table(
        oid=int(str(oid)),
        schema=str(schema),
        name=str(name),
        unfit=_unfit(str(kind), str(persistence), bool(in_tree), bool(key_columns)),
        identity=IDENTITIES[str(identity)],
        columns=tuple(zip(names, types, strict=True)),
        key_columns=key_columns,
        owned=bool(owned),
        entry=None if entry is None else int(str(entry)),
        narrowed=bool(narrowed),
    )


def _unfit(kind: str, persistence: str, in_tree: bool, has_identity: bool) -> LeftOut | None:
    if kind == "f":
        return LeftOut.FOREIGN
    if kind == "p" or in_tree:
        return LeftOut.PARTITIONED
    if persistence != "p":
        return LeftOut.UNLOGGED
    return None if has_identity else LeftOut.NO_IDENTITY
