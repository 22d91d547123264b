"""The messages of pgoutput, as values.

Names and fields follow the chapter "Logical Replication Message Formats" of the Postgres documentation. Row messages
are named tuples because hundreds of thousands a second are made of them, and a tuple is made three times as fast as a
frozen dataclass; the others are made once a transaction or less.

A message that belongs to a transaction still in progress (the `streaming` option) carries its `stream_xid`; in messages
of a committed transaction, which come between `Begin` and `Commit`, it is None.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

from services.shared.lsn import Lsn


class Unchanged(Enum):
    """The type of `UNCHANGED`: a value of its own that no column can have."""

    TOAST = "unchanged toast"


UNCHANGED: Final = Unchanged.TOAST
"""Stands for a long value that the update did not touch, and that Postgres therefore does not send ('u')."""

ColumnValue: TypeAlias = str | bytes | Literal[Unchanged.TOAST] | None
"""Text ('t'), binary ('b', only if asked for), NULL ('n') or unchanged ('u')."""

TupleData: TypeAlias = tuple[ColumnValue, ...]
"""One row version: a value for each column of the relation, in the order of its `Relation` message."""


class ReplicaIdentity(Enum):
    """What Postgres gives of an old row version; the values are those of `pg_class.relreplident`."""

    DEFAULT = "d"
    INDEX = "i"
    FULL = "f"
    NOTHING = "n"


@dataclass(frozen=True, slots=True)
class Begin:
    """A committed transaction follows.

    Attributes:
        commit_lsn: Start of its commit record (the documentation's "final LSN").
        commit_time_us: Microseconds since 2000-01-01 UTC.
        xid: Top-level transaction id, 32 bits. Of a prepared transaction its own, not that of COMMIT PREPARED.
    """

    commit_lsn: Lsn
    commit_time_us: int
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction ends. `end_lsn` lies just after its commit record."""

    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction came from another server, by logical replication."""

    origin_lsn: Lsn
    name: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation: `is_key` says whether it is part of the replica identity."""

    name: str
    type_oid: int
    type_modifier: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """What the rows that follow look like; sent before a relation's first row and again after it changed."""

    oid: int
    schema: str
    name: str
    identity: ReplicaIdentity
    columns: tuple[Column, ...]
    stream_xid: int | None = None


@dataclass(frozen=True, slots=True)
class Type:
    """The name of a type that is not built in."""

    oid: int
    schema: str
    name: str
    stream_xid: int | None = None


class Insert(NamedTuple):
    """A row that came."""

    relation: int
    new: TupleData
    stream_xid: int | None = None


class Update(NamedTuple):
    """A row that changed.

    Attributes:
        relation: OID of the relation.
        old: What the replica identity gives of the row before, or None: then the identity's columns did not change.
        old_is_key: Whether `old` holds the key alone ('K'); the values of its other columns are then filler.
        new: The row after.
        stream_xid: See the module.
    """

    relation: int
    old: TupleData | None
    old_is_key: bool
    new: TupleData
    stream_xid: int | None = None


class Delete(NamedTuple):
    """A row that went; `old` and `old_is_key` as in `Update`."""

    relation: int
    old: TupleData
    old_is_key: bool
    stream_xid: int | None = None


@dataclass(frozen=True, slots=True)
class Truncate:
    """Relations that were emptied together: all published ones that the statement reached, by CASCADE too."""

    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool
    stream_xid: int | None = None


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """What someone wrote with `pg_logical_emit_message`: any role may, so the content decides nothing (H33).

    Attributes:
        transactional: Whether it belongs to a transaction. One that does not stands outside Begin and Commit.
        lsn: End of its record.
        prefix: First argument of the function.
        content: Second argument.
        stream_xid: See the module.
    """

    transactional: bool
    lsn: Lsn
    prefix: str
    content: bytes
    stream_xid: int | None = None


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A piece of a transaction in progress follows."""

    xid: int
    first_segment: bool


@dataclass(frozen=True, slots=True)
class StreamStop:
    """The piece ends."""


@dataclass(frozen=True, slots=True)
class StreamCommit:
    """A transaction that was sent in pieces committed."""

    xid: int
    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int


@dataclass(frozen=True, slots=True)
class StreamAbort:
    """A transaction that was sent in pieces, or a subtransaction of it (`subxid`), rolled back.

    `abort_lsn` and `abort_time_us` come with `streaming = parallel` alone.
    """

    xid: int
    subxid: int
    abort_lsn: Lsn | None = None
    abort_time_us: int | None = None


RowMessage: TypeAlias = Insert | Update | Delete

Message: TypeAlias = (
    Begin
    | Commit
    | Origin
    | Relation
    | Type
    | Insert
    | Update
    | Delete
    | Truncate
    | LogicalMessage
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
)
