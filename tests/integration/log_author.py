"""Writes an event log by hand, as the CDC service would: every kind of event, each at its position."""

import asyncio
from datetime import UTC, datetime

from schemas.changes import Changes, RowChange
from schemas.encoding import Event, encode
from schemas.epoch import EpochStart
from schemas.fields import Row
from schemas.relation_event import RelationWide
from schemas.relation_schema import Column, RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.shared.epoch import StreamEpoch
from services.shared.eventlog.log import EventLogWriter
from services.shared.lsn import Lsn, format_lsn
from services.shared.position import Position, partition_of

CACHE = "shop"
ORDERS = 16_400
ITEMS = 16_401
WHEN = datetime(2024, 2, 29, tzinfo=UTC)
INT4 = 23


class LogAuthor:
    """Appends events to an opened log.

    Attributes:
        epoch: Text of the stream epoch that events carry.
        lsn: The last LSN used; each transaction takes the next.
    """

    def __init__(self, writer: EventLogWriter, partition_count: int = 1) -> None:
        self.writer = writer
        self.partition_count = partition_count
        self.epoch = ""
        self.lsn = 0x1000
        self._incarnation = Lsn(0)
        self._next_k = [0] * partition_count

    @property
    def incarnation(self) -> Lsn:
        """The incarnation that is being written."""
        return self._incarnation

    async def begin_epoch(self, *, timeline: int = 1, system: str = "7412345678901234567", canary: str = "c1") -> None:
        """Begin a stream epoch in every partition."""
        self._new_incarnation()
        log = await self.writer.begin_epoch(self._incarnation)
        self.epoch = str(StreamEpoch(system, 16_384, f"{timeline:08X}", canary, f"tidegate_{CACHE}", log))
        for partition in range(self.partition_count):
            self.append(partition, EpochStart, reason="test")
        await self.writer.flush()

    async def resume(self, resume_from: int) -> None:
        """Begin an incarnation in every partition."""
        self._new_incarnation()
        for partition in range(self.partition_count):
            self.append(partition, Resume, resume_from=format_lsn(resume_from))
        await self.writer.flush()

    async def follow(self, relation: int = ORDERS, entry: int = 1) -> None:
        """Describe a relation."""
        await self.append(
            partition_of(relation, self.partition_count),
            RelationSchema,
            schema="public",
            table="orders",
            columns=[Column(name="id", type_oid=INT4), Column(name="customer", type_oid=INT4)],
            identity="default",
            key_columns=["id"],
            relation=relation,
            publication_entry=entry,
            ancestors=[],
        )

    async def change(self, *rows: RowChange, relation: int = ORDERS) -> Lsn:
        """Commit a transaction; return its end."""
        await self.append(
            partition_of(relation, self.partition_count),
            Changes,
            rows=list(rows),
            part=0,
            last=True,
            identity="default",
            key_columns=["id"],
            **self._transaction(relation),
        )
        return Lsn(self.lsn)

    async def wide(self, op: str = "truncate", relation: int = ORDERS) -> None:
        """Something happens to a whole relation."""
        partition = partition_of(relation, self.partition_count)
        await self.append(partition, RelationWide, op=op, **self._transaction(relation))

    async def watermark(self) -> Lsn:
        """Everything so far is visible and published; return w, above all earlier ones as after a heartbeat."""
        self.lsn += 8
        w = Lsn(self.lsn + 1)
        for partition in range(self.partition_count):
            self.append(partition, Watermark, watermark=format_lsn(w), settled=format_lsn(self.lsn))
        await self.writer.flush()
        return w

    def skip(self, partition: int = 0) -> None:
        """Lose a record before it reaches the log."""
        self._next_k[partition] += 1

    def append(self, partition: int, model: type[Event], **fields: object) -> "asyncio.Future[None]":
        """Append an event at the partition's next position."""
        k = self._next_k[partition]
        self._next_k[partition] += 1
        place = {"cache": CACHE, "epoch": self.epoch, "incarnation": format_lsn(self._incarnation), "k": k}
        event = model.model_validate(fields | place)
        return self.writer.append(partition, Position(self._incarnation, k), b"key", encode(event))

    def _transaction(self, relation: int) -> dict[str, object]:
        self.lsn += 8
        return {
            "schema": "public",
            "table": "orders",
            "commit_lsn": format_lsn(self.lsn - 8),
            "end_lsn": format_lsn(self.lsn),
            "xid": 1,
            "commit_time": WHEN,
            "relation": relation,
        }

    def _new_incarnation(self) -> None:
        self.lsn += 8
        self._incarnation = Lsn(self.lsn)
        self._next_k = [0] * self.partition_count


def row(identity: int, customer: int) -> Row:
    """A row's values as pgoutput gives them."""
    return {"id": str(identity), "customer": str(customer)}


def insert(identity: int, customer: int) -> RowChange:
    """A row comes."""
    return RowChange(op="insert", key={"id": str(identity)}, changed=[], new=row(identity, customer))


def update(identity: int, customer: int) -> RowChange:
    """A row changes and keeps its key: the default replica identity gives no old row."""
    return RowChange(op="update", key={"id": str(identity)}, changed=["customer"], new=row(identity, customer))


def delete(identity: int) -> RowChange:
    """A row goes: the default replica identity gives its key."""
    return RowChange(op="delete", key={"id": str(identity)}, changed=[], old={"id": str(identity)})
