"""What the CDC service says to the event log, event by event.

`appender.py` numbers and sends; `change_events.py` turns transactions into events; here is the rest, and the counting.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from schemas.catalog_event import CatalogChange
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import Column, RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.cdc.appender import Appender
from services.cdc.change_events import ChangeEvents, transaction_fields
from services.cdc.following import Followed
from services.cdc.statistics import CdcStatistics
from services.cdc.tables import Table
from services.cdc.transactions import Transaction
from services.cdc.watermark import WatermarkValue
from services.shared.lsn import Lsn, format_lsn
from services.shared.position import partition_of

CATALOG_PARTITION = 0
"""Where it is told that the catalog has changed. Once is enough: a watermark counts when every partition has it."""


class Publisher:
    """Writes the events of one incarnation. Nothing here waits."""

    def __init__(self, appender: Appender, statistics: CdcStatistics, hashed_columns: frozenset[str]) -> None:
        """Prepare; `begin_epoch` or `resume` has to come first.

        Args:
            appender: Where events go.
            statistics: Where they are counted.
            hashed_columns: Columns whose values are always hashed, as `schema.table.column`.
        """
        self._appender = appender
        self._statistics = statistics
        self._events = ChangeEvents(hashed_columns)

    def begin_epoch(self, reason: str) -> None:
        """Begin the incarnation with a new stream epoch."""
        for partition in range(self._appender.partition_count):
            self._appender.append(partition, None, EpochStart, {"reason": reason})

    def resume(self, resume_from: Lsn) -> None:
        """Begin the incarnation where the slot was confirmed, in the stream epoch that the log holds."""
        for partition in range(self._appender.partition_count):
            self._appender.append(partition, None, Resume, {"resume_from": format_lsn(resume_from)})

    def tell_ancestors(self, ancestors: Mapping[int, tuple[Table, ...]]) -> None:
        """Tell what happens to partitions and children under the names of these tables too, from now on.

        Before one of them is called followed, it has to be among the ancestors of all whose rows are read by its name.
        """
        self._events.ancestors = ancestors

    def publish(self, transaction: Transaction, xid: int) -> None:
        """Write the changes of a transaction that is visible, whose id in 64 bits is `xid`."""
        statistics = self._statistics
        if transaction.catalog_changed:
            fields = transaction_fields(transaction, xid)
            self._appender.append(CATALOG_PARTITION, None, CatalogChange, fields)
        for body in self._events.bodies(transaction, xid):
            partition = partition_of(body.relation, self._appender.partition_count)
            self._appender.append(partition, body.relation, body.model, body.fields)
            statistics.changes += body.row_count
            statistics.wide_changes += body.model is RelationWide
        statistics.transactions += 1

    def watermark(self, value: WatermarkValue) -> None:
        """Write a watermark to every partition, with nothing in between."""
        fields = {"watermark": format_lsn(value.watermark), "settled": format_lsn(value.settled)}
        for partition in range(self._appender.partition_count):
            self._appender.append(partition, None, Watermark, fields)
        self._appender.ledger.watermark(value.settled)
        self._statistics.watermarks += 1

    def follow(self, table: Table) -> None:
        """Say that a relation is followed from here on, and what it looks like."""
        fields = {
            "schema_name": table.schema,
            "table": table.name,
            "columns": [Column.model_construct(name=name, type_oid=type_oid) for name, type_oid in table.columns],
            "identity": table.identity,
            "key_columns": list(table.key_columns),
            "relation": table.oid,
            "publication_entry": table.told_entry,
            "ancestors": list(table.ancestors),
        }
        partition = partition_of(table.oid, self._appender.partition_count)
        self._appender.append(partition, table.oid, RelationSchema, fields)

    def catalog_change(
        self, relation: Followed, op: Literal["ddl", "unfollowed"], insert_lsn: Lsn
    ) -> "asyncio.Future[None]":
        """Say what the catalog shows of a relation: another definition, or that it is no longer followed.

        Args:
            relation: The relation, as it was described last.
            op: What happened.
            insert_lsn: Read after the catalog: whatever happened lies below.

        Returns:
            The log's acknowledgement.
        """
        fields = {
            "schema_name": relation.schema,
            "table": relation.table,
            "op": op,
            "commit_lsn": format_lsn(insert_lsn),
            "xid": 0,  # the catalog does not say whose it was
            "commit_time": datetime.now(UTC),
            "relation": relation.relation,
            "end_lsn": format_lsn(insert_lsn),
        }
        partition = partition_of(relation.relation, self._appender.partition_count)
        return self._appender.append(partition, relation.relation, RelationWide, fields)
