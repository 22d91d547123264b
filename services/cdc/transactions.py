"""From messages to committed transactions.

pgoutput sends a transaction when it has committed, whole and before the next: Begin, rows, Commit. The rows are grouped
by relation, in their order. What a transaction may take in memory is bounded: past a number of rows or bytes a relation
is noted as changed in bulk and its rows are let go, since so many of them mean that nearly everything that depends on
the relation is evicted anyway (H4).
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    RowMessage,
    Truncate,
    Type,
    Update,
)
from services.shared.lsn import Lsn

WideOperation: TypeAlias = Literal["truncate", "bulk"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of one transaction is kept row by row.

    Attributes:
        relation_rows: Rows of one relation. Beyond 5,000 tags a second the invalidator evicts the relation as a whole.
        relation_bytes: Bytes of one relation, as they came.
        transaction_bytes: Bytes of all relations together.
    """

    relation_rows: int = 5_000
    relation_bytes: int = 8 * 1024**2
    transaction_bytes: int = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class RelationChanges:
    """What a transaction did to one relation.

    Attributes:
        relation: The relation as it looked then. One that changed its columns within the transaction comes twice.
        wide: What happened to the relation as a whole; None if `rows` tells everything.
        rows: Its rows, in order; empty if something happened to it as a whole.
    """

    relation: Relation
    wide: WideOperation | None
    rows: tuple[RowMessage, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A committed transaction.

    Attributes:
        xid: Its top-level transaction id, in 32 bits.
        commit_lsn: Start of its commit record.
        end_lsn: End of its commit record.
        commit_time_us: Microseconds since 2000-01-01 UTC; by the clock of wherever the transaction came from.
        changes: By relation; empty if it touched nothing that is published.
    """

    xid: int
    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int
    changes: tuple[RelationChanges, ...]


@dataclass(slots=True)
class _Group:
    """The rows of one relation, while they arrive."""

    relation: Relation
    wide: WideOperation | None = None
    rows: list[RowMessage] = field(default_factory=list)
    size: int = 0


class Assembler:
    """Assembles the transactions of one replication stream. Pure."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._relations: dict[int, Relation] = {}
        self._begin: Begin | None = None
        self._groups: dict[int, list[_Group]] = {}
        self._size = 0

    def feed(self, message: Message, size: int) -> Transaction | None:
        """Take the next message of the stream.

        Args:
            message: The message.
            size: Bytes that it took on the wire.

        Returns:
            The transaction, if the message is its Commit.

        Raises:
            PgoutputError: The message cannot come here.
        """
        match message:
            case Insert() | Update() | Delete():
                self._add_row(message, size)
            case Begin():
                if self._begin is not None:
                    raise PgoutputError("a transaction begins within another")
                self._begin = message
            case Commit():
                return self._commit(message)
            case Relation():
                self._relations[message.oid] = message
            case Truncate():
                for oid in message.relations:
                    self._widen(self._group(oid), "truncate")
            case Origin() | Type() | LogicalMessage():
                pass
            case _:
                raise PgoutputError(f"{type(message).__name__} although streaming is not asked for")
        return None

    def _add_row(self, row: RowMessage, size: int) -> None:
        group = self._group(row.relation)
        width = len(group.relation.columns)
        images = (row.old, row.new) if isinstance(row, Update) else (row[1],)
        if any(image is not None and len(image) != width for image in images):
            raise PgoutputError(f"a row of relation {row.relation} has not the {width} columns of its relation")
        if group.wide is not None:
            return
        group.rows.append(row)
        group.size += size
        self._size += size
        bounds = self._bounds
        if (
            len(group.rows) > bounds.relation_rows
            or group.size > bounds.relation_bytes
            or self._size > bounds.transaction_bytes
        ):
            self._widen(group, "bulk")

    def _group(self, oid: int) -> _Group:
        """Return the group of a relation as it looks now."""
        if self._begin is None:
            raise PgoutputError("a change outside a transaction")
        relation = self._relations.get(oid)
        if relation is None:
            raise PgoutputError(f"relation {oid} has not been described")
        groups = self._groups.setdefault(oid, [])
        if not groups or (groups[-1].relation is not relation and groups[-1].relation != relation):
            groups.append(_Group(relation))
        return groups[-1]

    def _widen(self, group: _Group, operation: WideOperation) -> None:
        """Note that the relation changed as a whole: its rows, of earlier descriptions too, tell nothing more."""
        for other in self._groups[group.relation.oid]:
            self._size -= other.size
        if group.wide != "truncate":
            group.wide = operation
        group.rows, group.size = [], 0
        self._groups[group.relation.oid] = [group]

    def _commit(self, commit: Commit) -> Transaction:
        begin = self._begin
        if begin is None or begin.commit_lsn != commit.commit_lsn:
            raise PgoutputError("a commit that does not belong to the transaction before it")
        changes = tuple(
            RelationChanges(group.relation, group.wide, tuple(group.rows))
            for groups in self._groups.values()
            for group in groups
        )
        self._begin, self._groups, self._size = None, {}, 0
        return Transaction(begin.xid, commit.commit_lsn, commit.end_lsn, commit.commit_time_us, changes)
