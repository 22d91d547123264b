"""From messages to committed transactions.

pgoutput sends a small transaction when it has committed, whole and before the next: Begin, rows, Commit. A large one it
sends while it is still in progress, in pieces, several of them in turns: so that its commit is a single message, and
nobody's changes wait behind a million rows (H4). Such a transaction may be rolled back, or a part of it (H5).

The rows are grouped by relation, in their order. What transactions may take in memory is bounded: past a number of rows
or bytes a relation is noted as changed in bulk, its rows are let go, and those that follow need not even be decoded,
since so many of them mean that nearly everything that depends on the relation is evicted anyway.
"""

from collections.abc import Set
from dataclasses import dataclass
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
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
)
from services.shared.lsn import Lsn

WideOperation: TypeAlias = Literal["truncate", "bulk"]

CATALOG_CHANGED = ("tidegate", b"ddl")
"""Prefix and content of the message that our event trigger writes (`ddl_trigger.py`)."""

_ROW_BYTES, _COLUMN_BYTES = 200, 60
"""What a row takes in memory beside its text: its objects, by estimate."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of transactions is kept row by row. Bytes are those in memory, by estimate.

    Attributes:
        relation_rows: Rows of one relation in one transaction. Beyond 5,000 tags a second the invalidator evicts the
            relation as a whole.
        relation_bytes: Bytes of one relation in one transaction.
        open_bytes: Bytes of all transactions that are not complete.
    """

    relation_rows: int = 5_000
    relation_bytes: int = 16 * 1024**2
    open_bytes: int = 64 * 1024**2


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
        catalog_changed: Whether it said that it changes the catalog. It may be wrong, in parts that were rolled back
            or because anybody can say so (H33): the catalog is then looked at in vain.
    """

    xid: int
    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int
    changes: tuple[RelationChanges, ...]
    catalog_changed: bool = False


class _Group:
    """The rows of one relation, while they arrive.

    Attributes:
        relation: The relation as it looks.
        width: How many columns it has.
        row_bytes: What a row takes beside its text.
        wide: What happened to the relation as a whole.
        rows: The rows.
        size: Bytes that they take.
    """

    __slots__ = ("relation", "row_bytes", "rows", "size", "wide", "width")

    def __init__(self, relation: Relation, wide: WideOperation | None = None) -> None:
        self.relation = relation
        self.width = len(relation.columns)
        self.row_bytes = _ROW_BYTES + _COLUMN_BYTES * self.width
        self.wide = wide
        self.rows: list[RowMessage] = []
        self.size = 0


class _Assembly:
    """One transaction, while it arrives.

    Attributes:
        size: Bytes that its rows take.
        wide: Relations that have changed as a whole: their further rows tell nothing.
        described: Relations that were described within it, each with its place in the stream. They hold for others
            too once it has committed.
        catalog_changed: Whether it said so.
    """

    __slots__ = ("_groups", "_parts", "_undone", "catalog_changed", "described", "size", "wide")

    def __init__(self) -> None:
        self.size = 0
        self.catalog_changed = False
        self.wide: set[int] = set()
        self.described: dict[int, tuple[int, Relation]] = {}
        self._groups: dict[int, list[_Group]] = {}
        self._parts: set[int] = set()  # ids of the subtransactions whose rows are here
        self._undone: set[int] = set()  # those that were rolled back

    def add_row(self, group: _Group, row: RowMessage, size: int) -> None:
        """Add a row to one of the groups, which takes so many bytes."""
        group.rows.append(row)
        group.size += size
        self.size += size
        if row.stream_xid is not None:
            self._parts.add(row.stream_xid)

    def group(self, relation: Relation) -> _Group:
        """Return the group of a relation as it looks now."""
        groups = self._groups.setdefault(relation.oid, [])
        if not groups or (groups[-1].relation is not relation and groups[-1].relation != relation):
            groups.append(_Group(relation, "bulk" if relation.oid in self.wide else None))
        return groups[-1]

    def widen(self, relation: Relation, operation: WideOperation) -> None:
        """Note that a relation changed as a whole: its rows, of earlier descriptions too, tell nothing more."""
        groups = self._groups.get(relation.oid, [])
        self.size -= sum(group.size for group in groups)
        truncated = any(group.wide == "truncate" for group in groups)
        self._groups[relation.oid] = [_Group(relation, "truncate" if truncated else operation)]
        self.wide.add(relation.oid)

    def widen_largest(self) -> None:
        """Let the rows go of the relation that takes most."""
        largest = max(self._groups.values(), key=lambda groups: sum(group.size for group in groups))
        self.widen(largest[-1].relation, "bulk")

    def undo(self, subtransaction: int) -> None:
        """Note that a part was rolled back. What changed as a whole stays so, which evicts in vain."""
        if subtransaction in self._parts:
            self._undone.add(subtransaction)

    def transaction(self, xid: int, commit: Commit | StreamCommit) -> Transaction:
        """Return it as it committed."""
        return Transaction(
            xid, commit.commit_lsn, commit.end_lsn, commit.commit_time_us, self._changes(), self.catalog_changed
        )

    def _changes(self) -> tuple[RelationChanges, ...]:
        found = (
            RelationChanges(group.relation, group.wide, tuple(self._done(group.rows)))
            for groups in self._groups.values()
            for group in groups
        )
        return tuple(changes for changes in found if changes.wide is not None or changes.rows)

    def _done(self, rows: list[RowMessage]) -> list[RowMessage]:
        return [row for row in rows if row.stream_xid not in self._undone] if self._undone else rows


class Assembler:
    """Assembles the transactions of one replication stream. Pure."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._relations: dict[int, tuple[int, Relation]] = {}  # with the place in the stream where it was described
        self._place = 0
        self._begin: Begin | None = None
        self._current: _Assembly | None = None  # whose messages come now
        self._in_progress: dict[int, _Assembly] = {}  # those that are sent in pieces
        self._open_bytes = 0
        self._group: _Group | None = None  # of the last row: most follow one of the same relation

    @property
    def wide(self) -> Set[int]:
        """The relations whose further rows need not be fed: the transaction under way has changed them as a whole."""
        return self._current.wide if self._current is not None else frozenset()

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
        if isinstance(message, Insert | Update | Delete):
            self._add_row(message, size)
            return None
        self._group = None
        match message:
            case Begin():
                if self._current is not None:
                    raise PgoutputError("a transaction begins within another")
                self._begin, self._current = message, _Assembly()
            case Commit():
                return self._commit(message)
            case Relation():
                self._describe(message)
            case Truncate():
                for oid in message.relations:
                    self._widen(oid, "truncate")
            case StreamStart():
                self._continue(message)
            case StreamStop():
                self._current = None
            case StreamCommit():
                return self._commit_in_progress(message)
            case StreamAbort():
                self._abort(message)
            case LogicalMessage():
                if (message.prefix, message.content) == CATALOG_CHANGED:
                    self._assembly().catalog_changed = True
            case Origin() | Type():
                pass
        return None

    def _add_row(self, row: RowMessage, size: int) -> None:
        assembly, group, bounds = self._assembly(), self._group, self._bounds
        if group is None or group.relation.oid != row.relation:
            group = self._group = assembly.group(self._relation(row.relation))
        fits = _fits(row, group.width) if isinstance(row, Update) else len(row[1]) == group.width
        if not fits:
            raise PgoutputError(f"a row of relation {row.relation} has not the {group.width} columns of its relation")
        if group.wide is not None:
            return
        size += group.row_bytes
        assembly.add_row(group, row, size)
        self._open_bytes += size
        if len(group.rows) > bounds.relation_rows or group.size > bounds.relation_bytes:
            self._widen(row.relation, "bulk")
        while self._open_bytes > bounds.open_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Make room: what takes most has changed in bulk."""
        largest = max((*self._in_progress.values(), self._assembly()), key=lambda assembly: assembly.size)
        before = largest.size
        largest.widen_largest()
        self._open_bytes += largest.size - before
        self._group = None

    def _widen(self, oid: int, operation: WideOperation) -> None:
        assembly = self._assembly()
        before = assembly.size
        assembly.widen(self._relation(oid), operation)
        self._open_bytes += assembly.size - before
        self._group = None

    def _describe(self, relation: Relation) -> None:
        """Take a description. One within a transaction in progress holds for that alone until it has committed."""
        self._place += 1
        if relation.stream_xid is None:
            self._relations[relation.oid] = (self._place, relation)
        else:
            self._assembly().described[relation.oid] = (self._place, relation)

    def _relation(self, oid: int) -> Relation:
        described = self._assembly().described.get(oid) or self._relations.get(oid)
        if described is None:
            raise PgoutputError(f"relation {oid} has not been described")
        return described[1]

    def _assembly(self) -> _Assembly:
        if self._current is None:
            raise PgoutputError("a change outside a transaction")
        return self._current

    def _commit(self, commit: Commit) -> Transaction:
        begin, assembly = self._begin, self._current
        if begin is None or assembly is None or begin.commit_lsn != commit.commit_lsn:
            raise PgoutputError("a commit that does not belong to the transaction before it")
        self._begin = self._current = None
        self._open_bytes -= assembly.size
        return assembly.transaction(begin.xid, commit)

    # -- transactions in progress

    def _continue(self, start: StreamStart) -> None:
        """A piece of a transaction in progress comes."""
        if self._current is not None:
            raise PgoutputError("a piece of a transaction comes within another")
        if start.first_segment == (start.xid in self._in_progress):
            raise PgoutputError("a piece of a transaction is missing, or came twice")
        self._current = self._in_progress.setdefault(start.xid, _Assembly())

    def _commit_in_progress(self, commit: StreamCommit) -> Transaction:
        assembly = self._close(commit.xid)
        for oid, described in assembly.described.items():
            known = self._relations.get(oid)
            if known is None or known[0] < described[0]:  # another may have described it since, after DDL
                self._relations[oid] = described
        return assembly.transaction(commit.xid, commit)

    def _abort(self, abort: StreamAbort) -> None:
        """A transaction in progress is rolled back, or a part of it.

        Postgres 18 also tells of parts of transactions of which it has sent nothing: it found them to be rolled back
        when it was about to (H5; its bug 19616). There is nothing to be taken back then.
        """
        if self._current is not None:
            raise PgoutputError("a transaction is rolled back within a piece of one")
        assembly = self._in_progress.get(abort.xid)
        if assembly is None:
            return
        if abort.xid == abort.subxid:
            self._close(abort.xid)
        else:
            assembly.undo(abort.subxid)

    def _close(self, xid: int) -> _Assembly:
        assembly = self._in_progress.pop(xid, None)
        if self._current is not None or assembly is None:
            raise PgoutputError("a transaction ends that is not in progress")
        self._open_bytes -= assembly.size
        return assembly


def _fits(row: Update, width: int) -> bool:
    return len(row.new) == width and (row.old is None or len(row.old) == width)
