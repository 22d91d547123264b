"""What a committed transaction says in the event log: bodies of events, without their place in the log. Pure.

One event for each relation that the transaction touched, in several parts where it would not fit in a record. What
happened to a partition or a child is told again for each table above it: that is what statements name (H6, H7, H8).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from schemas.changes import Changes, RowChange
from schemas.relation_event import RelationWide
from services.cdc.rows import RowWriter
from services.cdc.tables import Table
from services.cdc.transactions import RelationChanges, Transaction
from services.shared.lsn import format_lsn

RECORD_BYTES = 256 * 1024
"""Rows are split beyond this size: a quarter of what Kafka takes by default."""

_COLUMN_BYTES = 6 * 1024
"""More than one column of one row can take: its value of at most 256 bytes three times (key, old, new), with its name,
all of it escaped."""

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EARLIEST_US, _LATEST_US = (
    (bound - _POSTGRES_EPOCH) // timedelta(microseconds=1)
    for bound in (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
)

Fields: TypeAlias = dict[str, Any]
"""Fields of an event, by the names of its model."""


@dataclass(frozen=True, slots=True)
class Body:
    """An event without its envelope.

    Attributes:
        model: Which event it is.
        relation: The relation that decides its partition.
        fields: Its fields.
        row_count: How many row changes it carries that no other body does.
    """

    model: type[Changes] | type[RelationWide]
    relation: int
    fields: Fields
    row_count: int = 0


class ChangeEvents:
    """Turns the transactions of one replication stream into bodies of events.

    Attributes:
        ancestors: The tables above each partition, and above each child by INHERITS.
    """

    def __init__(self, hashed_columns: frozenset[str]) -> None:
        """Prepare.

        Args:
            hashed_columns: Columns whose values are always hashed, as `schema.table.column`.
        """
        self.ancestors: Mapping[int, tuple[Table, ...]] = {}
        self._hashed_columns = hashed_columns
        self._writers: dict[int, RowWriter] = {}

    def bodies(self, transaction: Transaction, xid: int) -> Iterator[Body]:
        """Yield what a transaction says.

        Args:
            transaction: The transaction.
            xid: Its id in 64 bits.
        """
        common = transaction_fields(transaction, xid)
        by_relation: dict[int, list[RelationChanges]] = {}
        for changes in transaction.changes:
            by_relation.setdefault(changes.relation.oid, []).append(changes)
        above: dict[int, list[Body]] = {
            ancestor.oid: [] for oid in by_relation for ancestor in self.ancestors.get(oid, ())
        }
        for oid, groups in by_relation.items():
            bodies = list(self._relation(groups, common))
            if oid in above:  # a parent by INHERITS, with rows of its own
                above[oid] += bodies
            else:
                yield from bodies
            for ancestor in self.ancestors.get(oid, ()):
                named = {"schema_name": ancestor.schema, "table": ancestor.name, "relation": ancestor.oid}
                above[ancestor.oid] += [Body(body.model, ancestor.oid, body.fields | named) for body in bodies]
        for bodies in above.values():
            _number_parts(bodies)
            yield from bodies

    def _relation(self, groups: Sequence[RelationChanges], common: Fields) -> Iterator[Body]:
        """Yield what one transaction did to one relation, which may have changed its columns meanwhile."""
        relation = groups[-1].relation
        wide = next((group.wide for group in groups if group.wide is not None), None)
        pieces: list[tuple[RowWriter, list[RowChange]]] = []
        for group in groups if wide is None else ():
            writer = self._writer(group)
            split = split_rows([writer.write(row) for row in group.rows], len(group.relation.columns))
            if split is None:
                wide = "bulk"
                break
            pieces += [(writer, rows) for rows in split]
        if wide is not None:
            named = {"schema_name": relation.schema, "table": relation.name, "relation": relation.oid}
            yield Body(RelationWide, relation.oid, common | named | {"op": wide})
            return
        for part, (writer, rows) in enumerate(pieces):
            fields = writer.fields | {"rows": rows, "part": part, "last": part == len(pieces) - 1}
            yield Body(Changes, relation.oid, common | fields, len(rows))

    def _writer(self, group: RelationChanges) -> RowWriter:
        """Return the writer for a relation as it is described in a group."""
        relation = group.relation
        writer, ancestors = self._writers.get(relation.oid), self.ancestors.get(relation.oid, ())
        if writer is None or writer.relation is not relation or writer.ancestors is not ancestors:
            writer = RowWriter(relation, self._hashed_columns, ancestors)
            self._writers[relation.oid] = writer
        return writer


def transaction_fields(transaction: Transaction, xid: int) -> Fields:
    """Return what every event of a transaction says of it; `xid` is its id in 64 bits."""
    return {
        "xid": xid,
        "commit_lsn": format_lsn(transaction.commit_lsn),
        "end_lsn": format_lsn(transaction.end_lsn),
        "commit_time": commit_time(transaction.commit_time_us),
    }


def _number_parts(bodies: Sequence[Body]) -> None:
    """Number the parts of what a transaction did to a table, which come from several tables below it."""
    parts = [body.fields for body in bodies if body.model is Changes]
    for part, fields in enumerate(parts):
        fields["part"], fields["last"] = part, part == len(parts) - 1


def split_rows(rows: list[RowChange], column_count: int) -> list[list[RowChange]] | None:
    """Cut rows into pieces that fit in a record each; None if a single row does not."""
    if len(rows) * column_count * _COLUMN_BYTES <= RECORD_BYTES:
        return [rows]
    pieces: list[list[RowChange]] = [[]]
    size = 0
    for row in rows:
        row_size = len(row.__pydantic_serializer__.to_json(row))
        if row_size > RECORD_BYTES:
            return None
        if size + row_size > RECORD_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(row)
        size += row_size
    return pieces


def commit_time(microseconds: int) -> datetime:
    """Return a time of Postgres as ours; what our calendar cannot hold (any origin may claim it) becomes its end."""
    return _POSTGRES_EPOCH + timedelta(microseconds=min(max(microseconds, _EARLIEST_US), _LATEST_US))
