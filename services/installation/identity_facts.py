"""What advice on replica identities rests on. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.cdc.tables import Identity
from services.shared.keyspace.tags import shape_tag
from services.shared.relation import Shape


@dataclass(frozen=True, slots=True)
class RowTable:
    """A table with rows of its own.

    Attributes:
        oid, name: Which one it is, with its schema.
        quoted: The same as SQL.
        identity: Its replica identity.
        roots: OIDs of the relations asked for by whose names its rows are read; its own among them, if that was.
        pages: Its length when it was last vacuumed or analysed.
        updates, deletes: Rows updated and deleted since the counters began.
        key: Columns of its identity; not told for FULL.
        indexes: Indexes that could be its identity, the narrowest first, as SQL, with their columns.
    """

    oid: int
    name: str
    quoted: str
    identity: Identity
    roots: tuple[int, ...]
    pages: int
    updates: int
    deletes: int
    key: frozenset[str]
    indexes: tuple[tuple[str, frozenset[str]], ...] = ()


@dataclass(frozen=True, slots=True)
class ReadRelation:
    """A relation by whose name tables are read.

    Attributes:
        name: What it is called, with its schema.
        quoted: The same as SQL.
        partly: Whether it is a partitioned table without FULL: that decides nothing of its rows, and yet whether reads
            of it count on being told which columns an UPDATE touched.
    """

    name: str
    quoted: str
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Counting:
    """Since when Postgres counts.

    Attributes:
        seconds: Of changes of tables; None where that is not known.
        wal_bytes: WAL that the server has written meanwhile.
        wal_seconds: In how long.
        insert_lsn: Where the next WAL record goes, as a number.
    """

    seconds: float | None
    wal_bytes: float
    wal_seconds: float | None
    insert_lsn: int


@dataclass(frozen=True, slots=True)
class SeenReads:
    """What is read, and what has been evicted lately.

    Attributes:
        shapes: By which columns tables are read.
        evictions: How many of the last records of the feed evicted something of a relation, by its OID.
        evicted: How many evicted all reads of a shape, by its tag.
    """

    shapes: tuple[Shape, ...]
    evictions: Mapping[int, int] = field(default_factory=dict)
    evicted: Mapping[str, int] = field(default_factory=dict)

    def wide(self, relation: int, shapes: Sequence[Shape]) -> int:
        """Return how many evictions of a relation took all reads of at least one of these shapes of it."""
        return max((self.evicted.get(shape_tag(shape), 0) for shape in shapes if shape.relation == relation), default=0)
