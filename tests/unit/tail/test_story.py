"""What `tidegate tail` shows of events and feed items: which lines, in which order, and what it keeps to itself."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.changes import Changes, RowChange
from schemas.encoding import Event
from schemas.fields import HashedValue
from services.shared.keyspace.canonical import canonical_text
from services.shared.keyspace.feed import FeedItem, FeedKind
from services.shared.keyspace.intervals import blocks_of
from services.shared.keyspace.order_keys import key_of_row_value
from services.shared.keyspace.tags import shape_tag
from services.shared.lsn import Lsn
from services.shared.position import Position
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tag
from services.tail.line import Line, LineKind
from services.tail.render import Columns, json_text
from services.tail.story import HOLD_SECONDS, Clock, Story, View
from services.tail.tables import TableFilter
from services.tail.values import HiddenColumns, printable, shown_value, shown_values
from tests.unit.invalidator.event_samples import (
    EPOCH,
    INCARNATION,
    LATER_TIMELINE,
    ORDERS,
    changes,
    epoch_start,
    resume,
    schema,
    watermark,
    wide,
)

WHEN = datetime(2025, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)
INT4 = 23
BY_ID = Shape(ORDERS, (ShapeColumn("id", INT4),))
BY_CUSTOMER = Shape(ORDERS, (ShapeColumn("customer", INT4),))


class Audience:
    """A story and whoever reads its lines; time stands still until it is told otherwise."""

    def __init__(
        self,
        *tables: str,
        hidden: tuple[str, ...] = (),
        every_row: bool = False,
        partitions: int = 1,
        tags: tuple[str, ...] = (),
    ) -> None:
        self.now = 100.0
        view = View(TableFilter(tables), HiddenColumns(hidden), every_row=every_row, tags=frozenset(tags))
        self.story = Story(view, partitions, Clock(lambda: self.now, lambda: WHEN))
        self.story.know_shapes([BY_ID, BY_CUSTOMER])

    def sees(self, *events: Event, partition: int = 0) -> list[Line]:
        return [line for event in events for line in self.story.event(partition, event)]

    def later(self, seconds: float) -> list[Line]:
        self.now += seconds
        return self.story.tick()


def update(**columns: str) -> RowChange:
    return RowChange(op="update", key={"id": "1"}, changed=list(columns), new={"id": "1", **columns})


def evict(k: int, *tags: str, relations: tuple[int, ...] = (), epoch: str = EPOCH) -> FeedItem:
    at = Position(Lsn(INCARNATION), k)
    before = Position(at.incarnation, k - 1)
    return FeedItem(FeedKind.EVICT, 0, at, before, f"{epoch}#nonce", "version", tags, relations, Lsn(0x2000))


def moved(k: int, w: int) -> FeedItem:
    at = Position(Lsn(INCARNATION), k)
    return FeedItem(FeedKind.WATERMARK, 0, at, at, f"{EPOCH}#nonce", "version", watermark=Lsn(w), settled=Lsn(w))


def texts(lines: list[Line]) -> list[str]:
    write = Columns(coloured=False)
    return [write(line).partition("  ")[2] for line in lines]


def test_a_row_is_one_line() -> None:
    lines = Audience().sees(changes(update(status="shipped", note="two words")))
    assert texts(lines) == ["change  public.orders  update      id=1  status=shipped note='two words'  xid 1  0/1"]


def test_where_the_log_has_both_values_both_are_shown() -> None:
    row = RowChange(
        op="update", key=None, changed=["status"], old={"id": "1", "status": "new"}, new={"id": "1", "status": "old"}
    )
    assert "status=new→old" in texts(Audience().sees(changes(row)))[0]


def test_many_rows_are_summed_up_for_people_and_not_for_programs() -> None:
    event = changes(*[update(status=str(number)) for number in range(4_000)])
    lines = Audience().sees(event)
    assert len(lines) == 21
    assert texts(lines)[-1].startswith("change  public.orders  …           and 3,980 more updates")
    assert len(Audience(every_row=True).sees(event)) == 4_000


def test_what_concerns_every_row_is_one_line() -> None:
    assert texts(Audience().sees(wide("truncate"))) == [
        "change  public.orders  truncate    every row is gone  xid 1  0/1"
    ]


def test_a_description_is_told_once_and_when_it_differs() -> None:
    audience = Audience()
    assert len(audience.sees(schema(1), schema(2), schema(3, key_columns=["id", "day"]))) == 2
    assert len(audience.sees(wide("unfollowed", 4), schema(5))) == 2


def test_what_was_there_before_is_not_told_again() -> None:
    audience = Audience()
    audience.story.remember(0, schema(1))
    assert audience.sees(schema(2)) == []


def test_a_beginning_is_told_once_for_all_partitions() -> None:
    audience = Audience(partitions=2)
    first = audience.sees(epoch_start()) + audience.sees(epoch_start(), partition=1)
    second = audience.sees(resume(incarnation=0x2000)) + audience.sees(resume(incarnation=0x2000), partition=1)
    assert [line.operation for line in first + second] == ["epoch", "resume"]


@pytest.mark.parametrize(
    ("names", "shown"), [(["orders"], 1), (["public.orders"], 1), (["items", "orders"], 1), (["other.orders"], 0)]
)
def test_tables_are_chosen_by_name(names: list[str], shown: int) -> None:
    audience = Audience(*names)
    assert len(audience.sees(changes(update(status="x")))) == shown
    assert len(audience.story.item(evict(1, relation_tag(ORDERS)))) == shown


def test_names_that_nothing_is_called_are_known() -> None:
    audience = Audience("orders", "itmes")
    audience.sees(schema(1))
    assert audience.story.missing_tables() == ["itmes"]


class TestEvictions:
    def test_each_names_what_it_evicted_and_its_change(self) -> None:
        audience = Audience()
        audience.sees(changes(update(customer="7"), k=4))
        tags = [
            relation_tag(ORDERS),
            value_tag(BY_ID, [canonical_text(INT4, "1") or b""]),
            value_tag(BY_CUSTOMER, [canonical_text(INT4, "7") or b""]),
            shape_tag(BY_CUSTOMER),
        ]
        lines = audience.story.item(evict(4, *tags))
        assert texts(lines) == [
            "evict   public.orders  4 tags      reads of all rows, id=1, customer=7, "
            "any customer (old customer not told)  by update id=1 xid 1 0/1"
        ]

    def test_of_many_rows_each_tag_names_those_that_it_comes_of(self) -> None:
        audience = Audience()
        rows = [
            RowChange(
                op="update", key={"id": str(number)}, changed=["customer"], new={"id": str(number), "customer": "7"}
            )
            for number in range(1, 31)
        ]
        audience.sees(changes(*rows, k=4))
        by_value = {BY_ID: "3", BY_CUSTOMER: "7"}
        tags = [value_tag(shape, [canonical_text(INT4, value) or b""]) for shape, value in by_value.items()]
        (line,) = audience.story.item(evict(4, *tags))
        assert line.parts == ("id=3 (update id=3), customer=7 (update id=1 and 29 more)", "by 30 rows xid 1 0/1")
        named: Any = line.facts["named"]
        by_id, by_customer = named
        assert by_id == {
            "tag": tags[0], "words": "id=3", "rows": [{"operation": "update", "key": {"id": "3"}}], "more": 0,
        }  # fmt: skip
        assert (len(by_customer["rows"]), by_customer["more"]) == (20, 10)

    def test_what_an_old_row_does_not_tell_is_said(self) -> None:
        audience = Audience()
        deleted = RowChange(op="delete", key={"id": "1"}, changed=[], old={"id": "1"})
        moved = RowChange(
            op="update", key={"id": "2"}, changed=["id"], old={"id": "1"}, new={"id": "2", "customer": "7"}
        )
        whole = RowChange(op="delete", key={"id": "1"}, changed=[], old={"id": "1", "customer": "7"})
        for k, row in enumerate((deleted, moved, whole), 4):
            audience.sees(changes(row, k=k))
            (line,) = audience.story.item(evict(k, shape_tag(BY_CUSTOMER)))
            assert ("(old customer not told)" in line.parts[0]) is (row is not whole)

    def test_reads_of_all_rows_are_told_by_what_they_look_at(self) -> None:
        audience = Audience()
        by_state, count = Shape(ORDERS, (), ("customer",)), Shape(ORDERS, (), ())
        audience.story.know_shapes([by_state, count])
        audience.sees(changes(update(customer="7"), k=4))
        (line,) = audience.story.item(evict(4, shape_tag(by_state), shape_tag(count)))
        assert line.parts[0] == "reads of all rows for customer, reads of all rows for their number"
        named: Any = line.facts["named"]
        by, of_none = named
        assert (len(by["rows"]), of_none["rows"]) == (1, [])

    def test_the_many_tags_of_a_range_are_told_once(self) -> None:
        audience = Audience()
        by_range = Shape(ORDERS, (), None, ShapeColumn("customer", INT4))
        audience.story.know_shapes([by_range])
        audience.sees(changes(update(customer="7"), k=4))
        blocks = [value_tag(by_range, (block,)) for block in blocks_of(key_of_row_value(INT4, "7") or 0)]
        (line,) = audience.story.item(evict(4, *blocks, shape_tag(by_range)))
        assert line.parts[0] == "ranges of customer with customer=7, any customer (old customer not told)"

    def test_those_of_chosen_tags_are_shown_and_nothing_else(self) -> None:
        audience = Audience(tags=(shape_tag(BY_CUSTOMER),))
        assert audience.sees(changes(update(customer="7"), k=4), changes(update(id="1"), k=5), watermark(6)) == []
        assert audience.story.item(evict(5, relation_tag(ORDERS))) == []
        (line,) = audience.story.item(evict(4, relation_tag(ORDERS), shape_tag(BY_CUSTOMER)))
        assert line.parts == ("any customer (old customer not told)", "by update id=1 xid 1 0/1")
        audience.sees(wide("truncate", 7))
        assert len(audience.story.item(evict(7, relation_tag(ORDERS), relations=(ORDERS,)))) == 1
        assert audience.later(60.0) == []

    def test_a_relation_as_a_whole(self) -> None:
        audience = Audience()
        audience.sees(wide("bulk", 4))
        lines = audience.story.item(evict(4, relation_tag(ORDERS), relations=(ORDERS,)))
        assert texts(lines) == ["evict   public.orders  table       everything about it  by bulk xid 1 0/1"]

    def test_one_waits_for_its_change(self) -> None:
        audience = Audience()
        audience.sees(watermark(3))
        assert audience.story.item(evict(4, relation_tag(ORDERS))) == []
        lines = audience.sees(changes(update(status="x"), k=4))
        assert [line.kind for line in lines] == [LineKind.CHANGE, LineKind.EVICT]

    def test_one_does_not_wait_for_ever(self) -> None:
        audience = Audience()
        assert audience.story.item(evict(4, relation_tag(ORDERS))) == []
        (line,) = audience.later(HOLD_SECONDS)
        assert line.table == f"relation {ORDERS}"
        assert line.parts[-1] == "by position 0/1000+4"

    def test_the_same_position_of_another_history_is_no_cause(self) -> None:
        audience = Audience()
        audience.sees(changes(update(status="x"), k=4))
        assert audience.story.item(evict(4, relation_tag(ORDERS), epoch=LATER_TIMELINE)) == []
        (line,) = audience.later(HOLD_SECONDS)
        assert line.facts["xid"] is None

    def test_when_an_old_one_happened_nobody_knows(self) -> None:
        audience = Audience()
        audience.sees(changes(update(status="x"), k=4))
        (line,) = audience.story.item(evict(4, relation_tag(ORDERS)), past=True)
        assert Columns(coloured=False)(line).startswith("------------  evict")


class TestWatermarks:
    def test_many_are_one_line(self) -> None:
        audience = Audience()
        for k in range(1, 500):
            assert audience.sees(watermark(k)) == []
        audience.story.item(moved(499, 9))
        (line,) = audience.later(1.0)
        assert texts([line]) == ["mark    log 0/9  Redis: all of it  (+499)"]
        assert audience.later(60.0) == []

    def test_a_cache_that_falls_behind_is_told_of_again_and_again(self) -> None:
        audience = Audience()
        audience.story.item(moved(1, 9))
        audience.sees(watermark(1))
        audience.story.item(moved(1, 9))
        audience.later(1.0)
        audience.sees(watermark(2).model_copy(update={"watermark": "0/29"}))
        assert texts(audience.later(1.5)) == ["mark    log 0/29  Redis 0/9, 32 bytes and 1.5 s behind  (+1)"]
        assert audience.later(3.0) == []
        (line,) = audience.later(2.0)
        assert (line.facts["lag_bytes"], line.facts["lag_seconds"]) == (32, 6.5)

    def test_redis_has_a_moment_before_it_is_said_that_it_has_none(self) -> None:
        audience = Audience()
        audience.sees(watermark(1))
        assert audience.later(1.5) == []
        assert "Redis: none yet" in texts(audience.later(1.0))[0]

    def test_they_can_be_left_out(self) -> None:
        view = View(TableFilter(), HiddenColumns(()), watermarks=False)
        story = Story(view, 1, Clock(lambda: 1.0, lambda: WHEN))
        story.event(0, watermark(1))
        assert story.tick() == []


def test_the_first_line_says_what_is_read() -> None:
    audience = Audience("orders", "nothing")
    assert audience.story.hello("shop").parts == ("reading along in cache shop, 0 tables",)
    audience.sees(schema(1))
    assert audience.story.hello("shop").parts == ("reading along in cache shop, 1 table: public.orders",)


class TestValues:
    def test_names_that_would_fall_apart_are_quoted(self) -> None:
        assert shown_values({"id": "1", "first name": "Ada"}) == 'id=1 "first name"=Ada'

    def test_long_ones_are_cut(self) -> None:
        assert shown_value("x" * 200) == f"'{'x' * 31}…'"

    def test_null_text_and_hash_are_told_apart(self) -> None:
        assert [shown_value(value) for value in (None, "NULL ", HashedValue(length=5, sha256="ab" * 32))] == [
            "NULL",
            "'NULL '",
            "<5 bytes, sha256 abababab>",
        ]

    def test_hidden_ones_are_hashed_everywhere_whatever_the_log_holds(self) -> None:
        audience = Audience(hidden=("public.orders.customer", "public.orders.id"), every_row=True)
        event = changes(update(customer="hunter2"), k=4)
        lines = audience.sees(event)
        tags = [value_tag(BY_CUSTOMER, [canonical_text(INT4, "7") or b""])]
        lines += audience.story.item(evict(4, *tags))
        told = "\n".join([*texts(lines), *map(json_text, lines)])
        assert "hunter2" not in told
        assert "customer=<7 bytes, sha256 f52fbd32>" in told

    def test_a_terminal_is_not_steered_by_a_value(self) -> None:
        assert printable("a\x1b[2Jb\n\u202e") == "a\\x1b[2Jb\\n\\u202e"
        line = texts(Audience().sees(changes(update(note="\x1b[2J"))))[0]
        assert "\x1b" not in line


def test_json_has_every_fact() -> None:
    (line,) = Audience(every_row=True).sees(changes(update(note="x" * 200), k=4))
    assert json.loads(json_text(line)) == {
        "kind": "change",
        "at": "2024-02-29T00:00:00+00:00",
        "table": "public.orders",
        "operation": "update",
        "key": {"id": "1"},
        "changed": ["note"],
        "old": None,
        "new": {"id": "1", "note": "x" * 200},
        "xid": 1,
        "lsn": "0/1",
        "position": "0/1000+4",
    }


def test_colours_only_where_they_are_wanted() -> None:
    event: Changes = changes(update(status="x"))
    (line,) = Audience().sees(event)
    assert Columns(coloured=True)(line).startswith("\x1b[33m")
    assert "\x1b" not in Columns(coloured=False)(line)
