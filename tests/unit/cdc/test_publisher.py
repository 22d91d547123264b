"""What is said to the event log: numbering, splitting, acknowledgements."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec

import pytest

from schemas.changes import Changes
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.cdc.appender import Appender
from services.cdc.change_events import RECORD_BYTES, commit_time
from services.cdc.following import Followed
from services.cdc.pgoutput.messages import Column, Insert, Relation, ReplicaIdentity
from services.cdc.progress import ProgressLedger
from services.cdc.publisher import Publisher
from services.cdc.statistics import CdcStatistics
from services.cdc.tables import Table
from services.cdc.transactions import RelationChanges, Transaction
from services.cdc.watermark import WatermarkValue
from services.shared.eventlog.log import LogUnavailable
from services.shared.lsn import Lsn
from services.shared.position import Position
from tests.unit.cdc.recording_log import RecordingLog

P = ParamSpec("P")

EPOCH = "7001/5/00000001/c0ffee/tidegate_shop/log"
INCARNATION = Lsn(0x16_00000008)


def asynchronous(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def make(log: RecordingLog) -> tuple[Publisher, Appender, CdcStatistics]:
    appender = Appender(log, ProgressLedger(Lsn(80)), lambda: None)
    appender.begin("shop", EPOCH, INCARNATION)
    statistics = CdcStatistics()
    return Publisher(appender, statistics, frozenset()), appender, statistics


def relation(oid: int, width: int = 1) -> Relation:
    columns = tuple(Column(f"c{index}", 25, -1, index == 0) for index in range(width))
    return Relation(oid, "public", f"t{oid}", ReplicaIdentity.DEFAULT, columns)


def transaction(*changes: RelationChanges) -> Transaction:
    return Transaction(700, Lsn(160), Lsn(200), 0, changes)


@asynchronous
async def test_an_incarnation_begins_in_every_partition_and_counts_in_each() -> None:
    log = RecordingLog(2)
    publisher, _, _ = make(log)
    publisher.resume(Lsn(80))
    publisher.publish(transaction(RelationChanges(relation(3), None, (Insert(3, ("a",)),))), 700)
    publisher.watermark(WatermarkValue(Lsn(201), Lsn(200)))
    assert [type(event) for event in log.events(0)] == [Resume, Watermark]
    assert [type(event) for event in log.events(1)] == [Resume, Changes, Watermark]
    assert [position for partition, position, _, _ in log.appended if partition == 1] == [
        Position(INCARNATION, k) for k in range(3)
    ]
    assert [event.k for event in log.events(1)] == [0, 1, 2]
    assert {(event.cache, event.epoch, event.incarnation) for event in log.events()} == {("shop", EPOCH, "16/8")}


@asynchronous
async def test_what_happens_to_a_partition_is_told_under_the_names_above_it_too() -> None:
    log = RecordingLog(2)
    publisher, _, statistics = make(log)
    above = Table(8, "public", "whole", None, "default", (("c0", 25),), (), True, None, False, partitioned=True)
    publisher.tell_ancestors({3: (above,)})
    publisher.publish(transaction(RelationChanges(relation(3), None, (Insert(3, ("a",)),))), 700)
    publisher.publish(transaction(RelationChanges(relation(3), "truncate", ())), 700)
    (part, part_wide), (whole, whole_wide) = log.events(1), log.events(0)
    assert isinstance(part, Changes)
    assert isinstance(whole, Changes)
    assert (whole.table, whole.relation, whole.rows) == ("whole", 8, part.rows)
    assert isinstance(whole_wide, RelationWide)
    assert (whole_wide.table, whole_wide.relation, whole_wide.op) == ("whole", 8, part_wide.op)  # type: ignore[union-attr]
    assert statistics.changes == 1


@asynchronous
async def test_what_happens_to_several_tables_has_parts_above_them_that_count_on() -> None:
    log = RecordingLog()
    publisher, _, _ = make(log)
    above = Table(8, "public", "whole", None, "default", (("c0", 25),), (), True, 9, False)
    publisher.tell_ancestors({3: (above,), 4: (above,)})
    changes = (RelationChanges(relation(oid), None, (Insert(oid, ("a",)),)) for oid in (3, 8, 4))
    publisher.publish(transaction(*changes), 700)
    told = [(event.relation, event.part, event.last) for event in log.events() if isinstance(event, Changes)]
    assert told == [(3, 0, True), (4, 0, True), (8, 0, False), (8, 1, False), (8, 2, True)]


@asynchronous
async def test_a_column_that_is_hidden_above_is_hidden_in_the_partition() -> None:
    log = RecordingLog()
    appender = Appender(log, ProgressLedger(Lsn(80)), lambda: None)
    appender.begin("shop", EPOCH, INCARNATION)
    publisher = Publisher(appender, CdcStatistics(), frozenset({"public.whole.c0"}))
    above = Table(8, "public", "whole", None, "default", (("c0", 25),), (), True, None, False, partitioned=True)
    publisher.tell_ancestors({3: (above,)})
    publisher.publish(transaction(RelationChanges(relation(3), None, (Insert(3, ("secret",)),))), 700)
    assert not any("secret" in event.model_dump_json() for event in log.events())


@asynchronous
async def test_an_epoch_begins_with_its_reason() -> None:
    log = RecordingLog()
    make(log)[0].begin_epoch("the canary is another one")
    (event,) = log.events()
    assert isinstance(event, EpochStart)
    assert (event.reason, event.k) == ("the canary is another one", 0)


@asynchronous
async def test_a_transaction_is_one_event_a_relation() -> None:
    log = RecordingLog()
    publisher, _, statistics = make(log)
    rows = (Insert(3, ("a",)), Insert(3, ("b",)))
    publisher.publish(
        transaction(RelationChanges(relation(3), None, rows), RelationChanges(relation(4), "truncate", ())), 2**32 + 700
    )
    changes, wide = log.events()
    assert isinstance(changes, Changes)
    assert isinstance(wide, RelationWide)
    assert (changes.relation, changes.xid, changes.commit_lsn, changes.end_lsn) == (3, 2**32 + 700, "0/A0", "0/C8")
    assert (len(changes.rows), changes.part, changes.last, changes.key_columns) == (2, 0, True, ["c0"])
    assert (wide.relation, wide.op, wide.table) == (4, "truncate", "t4")
    assert (statistics.transactions, statistics.changes, statistics.wide_changes) == (1, 2, 1)


@asynchronous
async def test_rows_that_do_not_fit_in_a_record_are_split_in_order() -> None:
    log = RecordingLog()
    rows = tuple(Insert(3, (str(number), *["x" * 250] * 9)) for number in range(300))
    make(log)[0].publish(transaction(RelationChanges(relation(3, 10), None, rows)), 700)
    events = [event for event in log.events() if isinstance(event, Changes)]
    assert len(events) > 2
    assert [event.part for event in events] == list(range(len(events)))
    assert [event.last for event in events] == [False] * (len(events) - 1) + [True]
    numbers = [row.new["c0"] for event in events for row in event.rows if row.new is not None]
    assert numbers == [str(number) for number in range(300)]
    assert max(len(value) for *_, value in log.appended) < RECORD_BYTES + 4096


@asynchronous
async def test_a_row_that_fits_in_no_record_is_a_change_in_bulk() -> None:
    log = RecordingLog()
    row = Insert(3, ("\x01" * 250,) * 400)
    make(log)[0].publish(transaction(RelationChanges(relation(3, 400), None, (row,))), 700)
    (event,) = log.events()
    assert isinstance(event, RelationWide)
    assert event.op == "bulk"


@asynchronous
async def test_a_relation_that_changed_within_a_transaction_has_parts_that_count_on() -> None:
    log = RecordingLog()
    before, after = relation(3), relation(3, 2)
    make(log)[0].publish(
        transaction(
            RelationChanges(before, None, (Insert(3, ("a",)),)), RelationChanges(after, None, (Insert(3, ("b", "c")),))
        ),
        700,
    )
    events = [event for event in log.events() if isinstance(event, Changes)]
    assert [(event.part, event.last) for event in events] == [(0, False), (1, True)]
    assert events[1].rows[0].new == {"c0": "b", "c1": "c"}


@asynchronous
async def test_a_relation_changed_as_a_whole_and_by_rows_is_one_change_as_a_whole() -> None:
    log = RecordingLog()
    groups = (
        RelationChanges(relation(3), "bulk", ()),
        RelationChanges(relation(3, 2), None, (Insert(3, ("b", "c")),)),
    )
    make(log)[0].publish(transaction(*groups), 700)
    assert [type(event) for event in log.events()] == [RelationWide]


@asynchronous
async def test_what_the_catalog_shows_is_said() -> None:
    log = RecordingLog()
    publisher, _, _ = make(log)
    table = Table(3, "public", "t", None, "default", (("id", 23), ("v", 25)), ("id",), True, 16400, False)
    publisher.follow(table)
    publisher.catalog_change(Followed(3, 16400, "f", "public", "t"), "unfollowed", Lsn(400))
    described, gone = log.events()
    assert isinstance(described, RelationSchema)
    assert [(column.name, column.type_oid) for column in described.columns] == [("id", 23), ("v", 25)]
    assert (described.relation, described.publication_entry, described.key_columns) == (3, 16400, ["id"])
    assert isinstance(gone, RelationWide)
    assert (gone.op, gone.relation, gone.end_lsn) == ("unfollowed", 3, "0/190")


@asynchronous
async def test_only_what_is_acknowledged_up_to_a_watermark_is_confirmed() -> None:
    log = RecordingLog(2, acknowledge=False)
    publisher, appender, _ = make(log)
    publisher.resume(Lsn(80))
    publisher.publish(transaction(RelationChanges(relation(3), None, (Insert(3, ("a",)),))), 700)
    publisher.watermark(WatermarkValue(Lsn(201), Lsn(200)))
    assert appender.unacknowledged_bytes > 0
    for future in (log.futures[0], log.futures[1], log.futures[3], log.futures[4]):
        future.set_result(None)
    await asyncio.sleep(0)
    assert appender.ledger.confirmed == 80
    log.futures[2].set_result(None)
    await asyncio.sleep(0)
    assert (appender.ledger.confirmed, appender.unacknowledged_bytes) == (200, 0)


@asynchronous
async def test_a_refused_record_is_a_failure_and_confirms_nothing() -> None:
    log = RecordingLog(acknowledge=False)
    publisher, appender, _ = make(log)
    publisher.watermark(WatermarkValue(Lsn(201), Lsn(200)))
    log.fail(0)
    await asyncio.sleep(0)
    assert isinstance(appender.failure, LogUnavailable)
    assert appender.ledger.confirmed == 80


@asynchronous
async def test_a_log_that_is_closed_is_a_failure_too() -> None:
    log = RecordingLog(acknowledge=False)
    publisher, appender, _ = make(log)
    publisher.resume(Lsn(80))
    log.futures[0].cancel()
    await asyncio.sleep(0)
    assert isinstance(appender.failure, LogUnavailable)


@pytest.mark.parametrize(
    ("microseconds", "year"), [(0, 2000), (848789230311860, 2026), (-(2**63), 1), (2**63 - 1, 9999)]
)
def test_any_commit_time_that_an_origin_may_claim_is_a_time(microseconds: int, year: int) -> None:
    time = commit_time(microseconds)
    assert (time.year, time.tzinfo) == (year, UTC)
    assert commit_time(1_500_000) == datetime(2000, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


@asynchronous
async def test_an_acknowledgement_wakes_who_waits_for_it_and_nobody_else() -> None:
    log, told = RecordingLog(acknowledge=False), list[str]()
    appender = Appender(log, ProgressLedger(Lsn(80)), lambda: told.append("progress"))
    appender.begin("shop", EPOCH, INCARNATION)
    publisher = Publisher(appender, CdcStatistics(), frozenset())
    for lsn in (200, 300, 400):
        publisher.watermark(WatermarkValue(Lsn(lsn + 1), Lsn(lsn)))
    log.futures[0].set_result(None)
    await asyncio.sleep(0)
    assert told == []
    appender.awaited = True
    log.futures[1].set_result(None)
    await asyncio.sleep(0)
    assert told == ["progress"]
    appender.awaited = False
    log.fail(2)
    await asyncio.sleep(0)
    assert told == ["progress", "progress"]
