"""Events for the invalidator's unit tests."""

from datetime import UTC, datetime

from schemas.changes import Changes, RowChange
from schemas.encoding import Event
from schemas.epoch import EpochStart
from schemas.fields import HashedValue, Row
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.invalidator.origin import TailRecord
from services.shared.epoch import StreamEpoch
from services.shared.lsn import format_lsn

ORDERS = 16_400
INCARNATION = 0x1000
EPOCH = str(StreamEpoch("7412", 5, "00000001", "c1", "tidegate_shop", "log1"))
LATER_TIMELINE = str(StreamEpoch("7412", 5, "00000002", "c2", "tidegate_shop", "log1"))
OTHER_SYSTEM = str(StreamEpoch("999", 5, "00000009", "c3", "tidegate_shop", "log1"))

_TABLE = {"schema": "public", "table": "orders", "relation": ORDERS}
_COMMIT = {"commit_lsn": "0/1", "xid": 1, "commit_time": datetime(2024, 2, 29, tzinfo=UTC)}


def place(k: int, epoch: str = EPOCH, incarnation: int = INCARNATION) -> dict[str, object]:
    """Return the fields that say where an event stands."""
    return {"cache": "shop", "epoch": epoch, "incarnation": format_lsn(incarnation), "k": k}


def changes(
    *rows: RowChange, k: int = 1, end: int = 0x2000, key: tuple[str, ...] = ("id",), epoch: str = EPOCH
) -> Changes:
    """Changes of the orders."""
    fields = {"rows": list(rows), "part": 0, "last": True, "identity": "default", "key_columns": list(key)}
    return Changes.model_validate(fields | _TABLE | _COMMIT | {"end_lsn": format_lsn(end)} | place(k, epoch))


def wide(op: str, k: int = 1, end: int = 0x2000) -> RelationWide:
    """Something that concerns all orders."""
    return RelationWide.model_validate({"op": op, "end_lsn": format_lsn(end)} | _TABLE | _COMMIT | place(k))


def schema(k: int = 1, relation: int = ORDERS, entry: int = 1, **changed: object) -> RelationSchema:
    """A description of the orders."""
    fields: dict[str, object] = {
        "columns": [],
        "identity": "default",
        "key_columns": ["id"],
        "publication_entry": entry,
        "ancestors": [],
    }
    return RelationSchema.model_validate(_TABLE | fields | {"relation": relation} | changed | place(k))


def watermark(k: int, epoch: str = EPOCH, incarnation: int = INCARNATION) -> Watermark:
    """A watermark."""
    return Watermark.model_validate({"watermark": "0/9", "settled": "0/8"} | place(k, epoch, incarnation))


def resume(k: int = 0, incarnation: int = INCARNATION) -> Resume:
    """A resumption."""
    return Resume.model_validate({"resume_from": "0/7"} | place(k, EPOCH, incarnation))


def epoch_start(epoch: str = EPOCH, incarnation: int = INCARNATION) -> EpochStart:
    """A stream epoch's first event."""
    return EpochStart.model_validate({"reason": "test"} | place(0, epoch, incarnation))


def insert(new: Row) -> RowChange:
    """A row comes."""
    return RowChange(op="insert", key=None, changed=[], new=new)


def update(new: Row, old: Row | None = None, unchanged: tuple[str, ...] = ()) -> RowChange:
    """A row changes; without the old one every column but `id` may have."""
    before = {"id": new.get("id")} if old is None else old
    changed = [name for name in new if name not in before or before[name] != new[name]]
    return RowChange(op="update", key=None, changed=changed, old=old, new=new, unchanged_toast=list(unchanged))


def delete(old: Row | None) -> RowChange:
    """A row goes."""
    return RowChange(op="delete", key=None, changed=[], old=old)


def hashed(length: int) -> HashedValue:
    """A value that is not carried."""
    return HashedValue(length=length, sha256="ab" * 32)


def tail_record(number: int, event: Event) -> TailRecord:
    """The record of that number in the log."""
    return TailRecord(str(number), str(number + 1), event)
