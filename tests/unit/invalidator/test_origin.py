"""Where a bucket epoch begins."""

from services.invalidator.events import followed_by
from services.invalidator.origin import Tail, begin_at_record, begin_at_tail
from services.shared.keyspace.cells import join_lsns, join_positions
from services.shared.keyspace.keys import format_text
from services.shared.keyspace.state import BucketState, EpochBegin, parse_state
from services.shared.lsn import Lsn
from services.shared.position import START, Position
from tests.unit.invalidator.event_samples import (
    EPOCH,
    INCARNATION,
    LATER_TIMELINE,
    ORDERS,
    OTHER_SYSTEM,
    changes,
    epoch_start,
    resume,
    schema,
    tail_record,
    watermark,
    wide,
)


def at(k: int, incarnation: int = INCARNATION) -> Position:
    return Position(Lsn(incarnation), k)


def tail(*events: object, end: str = "99") -> Tail:
    return Tail([tail_record(number, event) for number, event in enumerate(events)], end)  # type: ignore[arg-type]


def begun(*tails: Tail) -> EpochBegin:
    begin = begin_at_tail(tails, "test")
    assert begin is not None
    return begin


def state(positions: tuple[Position, ...], places: tuple[str, ...], highest: int = 0) -> BucketState:
    count = len(positions)
    zeros = join_lsns([Lsn(0)] * count)
    fields = {
        "epoch": f"{EPOCH}#nonce",
        "owner": "7412/5",
        "format": format_text(count),
        "positions": join_positions(positions),
        "floors": join_positions(positions),
        "w": zeros,
        "c": zeros,
        "watermark": "0",
        "highest": f"{highest:x}",
        "registry": "v",
        "reason": "test",
        **{f"place:{partition}": place for partition, place in enumerate(places)},
    }
    return parse_state({name.encode(): value.encode() for name, value in fields.items()}, count)


class TestInTheTail:
    def test_the_last_watermark_is_applied_next(self) -> None:
        begin = begun(tail(resume(), changes(k=1), watermark(2), changes(k=3), watermark(4), changes(k=5)))
        assert (begin.positions, begin.places) == ((at(3),), ("4",))
        assert (begin.stream_epoch, begin.owner, begin.reason) == (EPOCH, "7412/5", "test")

    def test_without_a_watermark_nothing_older_is_read(self) -> None:
        begin = begun(tail(epoch_start(), changes(k=1)))
        assert (begin.positions, begin.places) == ((at(1),), ("2",))

    def test_nothing_begins_in_an_empty_log(self) -> None:
        assert begin_at_tail([tail(), tail()], "test") is None

    def test_a_partition_that_is_empty_waits_for_the_epoch(self) -> None:
        begin = begun(tail(epoch_start(), watermark(1)), tail(end="7"))
        assert (begin.positions, begin.places) == ((at(0), START), ("1", "7"))

    def test_commits_in_it_count_as_applied(self) -> None:
        begin = begun(tail(changes(k=1, end=0x3000), wide("bulk", k=2, end=0x2000), watermark(3)))
        assert begin.highest_commit == 0x3000


class TestTheStreamEpoch:
    def test_is_the_last_one_begun(self) -> None:
        begin = begun(tail(watermark(7), epoch_start(LATER_TIMELINE, 0x10), watermark(1, LATER_TIMELINE, 0x10)))
        assert (begin.stream_epoch, begin.positions) == (LATER_TIMELINE, (at(0, 0x10),))

    def test_is_not_that_of_a_straggler(self) -> None:
        later = epoch_start(LATER_TIMELINE, 0x10)
        begin = begun(tail(later, watermark(1, LATER_TIMELINE, 0x10), watermark(8)))
        assert (begin.stream_epoch, begin.places) == (LATER_TIMELINE, ("1",))

    def test_is_the_later_one_when_it_has_not_begun_everywhere(self) -> None:
        behind, ahead = tail(watermark(7)), tail(watermark(7), epoch_start(LATER_TIMELINE, 0x10))
        for order in ((behind, ahead), (ahead, behind)):
            begin = begun(*order)
            assert begin.stream_epoch == LATER_TIMELINE
            assert set(begin.positions) == {START, at(0, 0x10)}

    def test_of_another_system_is_the_first_partitions(self) -> None:
        ours, other = tail(watermark(7)), tail(epoch_start(OTHER_SYSTEM))
        assert begun(ours, other).stream_epoch == EPOCH
        assert begun(other, ours).stream_epoch == OTHER_SYSTEM


class TestFollowed:
    def test_are_those_described_last(self) -> None:
        first, second = schema(k=1, entry=1), schema(k=3, entry=2)
        begin = begun(tail(resume(), first, wide("unfollowed", k=2), second, schema(k=4, relation=5), watermark(5)))
        assert begin.followed == {ORDERS: followed_by(second), 5: followed_by(schema(relation=5))}

    def test_are_not_those_that_left(self) -> None:
        assert begun(tail(schema(k=1), wide("unfollowed", k=2), watermark(3))).followed == {}

    def test_differ_when_their_definition_does(self) -> None:
        columns = [{"name": "id", "type_oid": 23}]
        digests = {str(followed_by(event)) for event in (schema(), schema(key_columns=[]), schema(columns=columns))}
        assert len(digests) == 3
        assert followed_by(schema(k=1)) == followed_by(schema(k=2))


class TestAtARecord:
    def test_it_is_the_first_to_be_applied(self) -> None:
        bucket = state((at(3), at(5)), ("a", "b"))
        begin = begin_at_record(bucket, 1, tail_record(40, changes(k=9, end=0x900)), ["x", "y"], "gap")
        assert (begin.positions, begin.places) == ((at(3), at(8)), ("a", "40"))
        assert begin.highest_commit == 0x900

    def test_unless_it_begins_an_incarnation(self) -> None:
        begin = begin_at_record(state((at(3),), ("a",), 77), 0, tail_record(40, resume(0, 0x5000)), ["x"], "gap")
        assert (begin.positions, begin.places) == ((at(0, 0x5000),), ("41",))
        assert begin.highest_commit == 77

    def test_another_stream_epoch_has_yet_to_begin_in_the_other_partitions(self) -> None:
        bucket = state((at(3), at(5)), ("a", "b"))
        begin = begin_at_record(bucket, 0, tail_record(40, epoch_start(LATER_TIMELINE, 0x10)), ["x", "y"], "epoch")
        assert (begin.positions, begin.places) == ((at(0, 0x10), START), ("41", "y"))
        assert begin.stream_epoch == LATER_TIMELINE
