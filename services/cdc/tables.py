"""The tables of the database, as values, and why some of them cannot be followed. Pure.

Followed are ordinary permanent tables whose old rows Postgres identifies, partitions among them. The others stay out of
the publication, with a named reason: an UPDATE of a published table without a replica identity *fails in the
application* (H9), and what happens to inherited, unlogged and foreign tables does not come under their own name, or not
at all.

A partitioned table has no rows of its own and is never in the publication. What happens to its partitions comes under
their names (H6), and is told under the names of the tables above them too. So it is followed when all of them are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Literal

Identity = Literal["default", "index", "full", "nothing"]

IDENTITIES: dict[str, Identity] = {"d": "default", "i": "index", "f": "full", "n": "nothing"}
"""`pg_class.relreplident`."""


class LeftOut(StrEnum):
    """Why a table is not followed."""

    INHERITED = "it has parents or children by INHERITS"
    PARTITIONS = "one of its partitions is not followed"
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
        entry: OID of its row in pg_publication_rel; None if it is not in our publication. Of a partitioned table see
            `tree_entry`.
        narrowed: Whether that row holds a row filter or a column list.
        partitioned: Whether its rows are in partitions.
        ancestors: OIDs of the partitioned tables that it is a part of, the nearest first.
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
    partitioned: bool = False
    ancestors: tuple[int, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Another one if anything that the `schema` record says has changed, apart from the publication's row."""
        described = repr((self.schema, self.name, self.identity, self.columns, self.key_columns, self.ancestors))
        return blake2b(described.encode(), digest_size=12).hexdigest()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def ancestors_of(tables: Iterable[Table]) -> dict[int, tuple[Table, ...]]:
    """Return for each partition with rows of its own the partitioned tables that it is a part of."""
    tables = list(tables)
    by_oid = {table.oid: table for table in tables}
    return {
        table.oid: tuple(by_oid[oid] for oid in table.ancestors if oid in by_oid)
        for table in tables
        if table.ancestors and not table.partitioned
    }
