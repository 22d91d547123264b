"""The tables of the database, as values, and why some of them cannot be followed. Pure.

Followed are ordinary permanent tables whose old rows Postgres identifies, partitions and children among them. The
others stay out of the publication, with a named reason: an UPDATE of a published table without a replica identity
*fails in the application* (H9), on 18 also of one whose replica identity has a generated column (H12); and what happens
to unlogged and foreign tables does not come at all.

What happens to a partition, or to a child by INHERITS, comes under its own name (H6, H8), and is told under the names
of the tables above it too. A partitioned table has no rows of its own and is never in the publication: it is followed
when all of its partitions are. A table with children has, and is followed for their sake; which of its children are
followed as well is told by its `tree`, and a statement that reads them has to have all of them.
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

    CHILDREN = "one of its children is not followed, so only what reads ONLY the table itself is cached"
    PARTITIONS = "one of its partitions is not followed"
    FOREIGN = "it is a foreign table"
    UNLOGGED = "it is unlogged"
    NO_IDENTITY = "it has no primary key, and no other replica identity"
    GENERATED_IDENTITY = "its replica identity has a generated column"
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
        ancestors: OIDs of the tables that it is a part of, as a partition or by INHERITS, the nearest first.
        temporary_children: Whether a temporary table of some session is a child of it.
        tree: Of a table with children, what stands for its entry and theirs; None without children. See `tree_entry`.
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
    temporary_children: bool = False
    tree: int | None = None

    @property
    def told_entry(self) -> int | None:
        """What the `schema` record calls the publication's entry: proxies know by it which rows are followed."""
        return self.entry if self.tree is None else self.tree

    @property
    def fingerprint(self) -> str:
        """Another one if anything that the `schema` record says has changed, apart from the publication's row."""
        columns = (self.columns, self.key_columns)
        described = repr((self.schema, self.name, self.identity, *columns, self.ancestors, self.tree))
        return blake2b(described.encode(), digest_size=12).hexdigest()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def ancestors_of(tables: Iterable[Table], described: Iterable[Table] = ()) -> dict[int, tuple[Table, ...]]:
    """Return for each table with rows of its own the tables under whose names its changes are told too.

    Args:
        tables: What the catalog shows now.
        described: The followed tables, as the event log describes them. What they were a part of counts as well: until
            the log has said that a table is another one, answers are kept that rest on what it was.
    """
    tables, described = list(tables), list(described)
    by_oid = {table.oid: table for table in described} | {table.oid: table for table in tables if table.unfit is None}
    above: dict[int, dict[int, None]] = {}
    for table in (*tables, *described):
        if table.ancestors and not table.partitioned:
            above.setdefault(table.oid, {}).update(dict.fromkeys(table.ancestors))
    return {oid: tuple(by_oid[ancestor] for ancestor in found if ancestor in by_oid) for oid, found in above.items()}


def parts_of(tables: Iterable[Table]) -> dict[int, list[Table]]:
    """Return for each table the others that its rows are in: partitions with rows of their own, and children."""
    parts: dict[int, list[Table]] = {}
    for table in tables:
        for ancestor in () if table.partitioned else table.ancestors:
            parts.setdefault(ancestor, []).append(table)
    return parts
