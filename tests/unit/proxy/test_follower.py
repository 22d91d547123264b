"""Consistency contract, section 7: the feed is applied in order, and whatever breaks it drops everything."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from services.proxy.cache.entry import Answer, Entry
from services.proxy.cache.follower import MOST_SHAPES, Follower, _ChainBroken
from services.proxy.cache.freshness import Freshness
from services.proxy.cache.l1 import L1
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket, BucketUnavailable
from services.shared.lsn import Lsn
from services.shared.position import START, Position
from services.shared.relation import CATALOG, Shape, ShapeColumn
from tests.unit.proxy.fake_bucket import FakeBucket
from tests.unit.proxy.manual_clock import ManualClock

SHOPS = 16_384
TAG = f"{SHOPS}:aa"
KEY_SHAPE = Shape(SHOPS, (ShapeColumn("id", 23),))
NAME_SHAPE = Shape(SHOPS, (ShapeColumn("name", 25),))


def at(k: int) -> Position:
    return Position(Lsn(100), k)


class Worker:
    """A follower with its L1 and freshness, on a bucket in memory."""

    def __init__(self, partitions: int = 1) -> None:
        self.bucket = FakeBucket(partitions)
        self.clock = ManualClock()
        start = (START,) * partitions
        self.l1 = L1(1 << 20, start, self.clock)
        self.freshness = Freshness(1.0, self.clock)
        bucket, feed = cast(Bucket, self.bucket), cast(Feed, self.bucket)
        self.doubts = 0  # of the catalog
        self.follower = Follower(bucket, feed, self.l1, self.freshness, partitions, self.doubt)

    def doubt(self) -> None:
        self.doubts += 1

    def step(self) -> str:
        """Do what `run` does in one round; return why everything was dropped, if it was."""
        return asyncio.run(self._step())

    async def _step(self) -> str:
        try:
            if not self.follower.epoch:
                await self.follower._resynchronise()
            if self.follower.epoch:
                await self.follower._read_once()
        except _ChainBroken as broken:
            self.follower.drop(str(broken))
            return str(broken)
        return ""

    def register(self, *shapes: Shape) -> None:
        asyncio.run(self.follower.register(shapes))

    def keep(self, position: tuple[Position, ...] | None = None, shapes: tuple[Shape, ...] = ()) -> Entry:
        """Take an answer into L1 as of the worker's own positions."""
        entry = Entry(
            b"k",
            Answer(b"", b"", b""),
            position or self.follower.positions,
            (TAG,),
            (SHOPS,),
            tuple(shape.id for shape in shapes),
            1e12,
        )
        assert self.follower.refusal_of_shapes(entry.shapes, entry.at) == ""
        assert self.l1.insert(entry) == ""
        return entry

    def prove(self, lsn: int) -> None:
        self.freshness.answer(self.freshness.send(), Lsn(lsn))


@pytest.fixture
def worker() -> Worker:
    """A worker that follows a bucket with a watermark."""
    worker = Worker()
    worker.bucket.apply(watermark=801)
    assert worker.step() == ""
    return worker


def test_it_begins_where_the_bucket_is() -> None:
    worker = Worker()
    worker.bucket.followed = {SHOPS: 77}
    worker.bucket.apply(tags=(TAG,))
    worker.bucket.apply(watermark=801)
    assert worker.follower.fill_position() is None
    assert worker.step() == ""
    assert worker.follower.fill_position() == (at(2),)
    assert worker.follower.followed == {SHOPS: 77}
    assert worker.freshness.watermark == 801
    assert worker.l1.refusal((at(1),), (), ()) == "below_floor"
    assert worker.follower.matches("00000001", "c0ffee")
    assert not worker.follower.matches("00000002", "c0ffee")
    assert not worker.follower.matches("00000001", "")


def test_nothing_is_kept_before_the_first_watermark_of_an_epoch() -> None:
    worker = Worker()
    worker.bucket.apply(tags=(TAG,))
    worker.step()
    assert worker.follower.epoch
    assert worker.follower.fill_position() is None
    worker.bucket.apply(watermark=801)
    worker.step()
    assert worker.follower.fill_position() == (at(2),)


def test_without_a_bucket_there_is_nothing_to_follow() -> None:
    worker = Worker()
    worker.bucket.epoch = ""
    worker.step()
    assert (worker.follower.epoch, worker.follower.drop_reason) == ("", "no_bucket")


def test_evictions_come_before_the_watermark_that_covers_them(worker: Worker) -> None:
    entry = worker.keep()
    worker.prove(804)
    worker.bucket.apply(tags=(TAG,))
    worker.bucket.apply(watermark=805)
    assert worker.step() == ""
    assert not entry.live
    assert worker.freshness.is_fresh()
    assert worker.follower.positions == (at(3),)
    assert worker.l1.refusal((at(1),), (TAG,), ()) == "evicted_meanwhile"


def test_the_catalog_is_doubted_where_the_follower_begins_and_when_it_is_said_to_have_changed(worker: Worker) -> None:
    assert worker.doubts == 1
    worker.bucket.apply(relations=(SHOPS,))
    assert (worker.step(), worker.doubts) == ("", 1)
    worker.bucket.apply(relations=(CATALOG,))
    assert (worker.step(), worker.doubts) == ("", 2)


def test_an_item_that_was_applied_already_changes_nothing(worker: Worker) -> None:
    item = worker.bucket.apply(tags=(TAG,))
    worker.step()
    entry = worker.keep()
    asyncio.run(worker.follower._apply(item))
    assert entry.live
    assert worker.follower.positions == (at(2),)


def test_a_wrong_predecessor_drops_everything(worker: Worker) -> None:
    entry = worker.keep()
    worker.prove(800)
    assert worker.freshness.is_fresh()
    worker.bucket.apply(tags=(TAG,))
    worker.bucket.items.clear()
    worker.bucket.apply(watermark=900)
    assert worker.step() == "feed_gap"
    assert not entry.live
    assert not worker.freshness.is_fresh()
    assert worker.follower.fill_position() is None
    assert not worker.follower.matches("00000001", "c0ffee")
    assert worker.l1.refusal((at(0),), (), ()) == "below_floor"
    assert worker.step() == ""
    assert worker.follower.resyncs == 2
    assert worker.follower.positions == (at(3),)
    # A query that began before the gap must not fill over what was missed.
    assert worker.l1.refusal((at(1),), (TAG,), ()) == "below_floor"


def test_an_item_of_another_epoch_drops_everything(worker: Worker) -> None:
    entry = worker.keep()
    worker.bucket.epoch = worker.bucket.epoch.replace("#1", "#2")
    worker.bucket.apply(tags=())
    assert worker.step() == "feed_epoch_changed"
    assert not entry.live


def test_a_silent_feed_is_compared_with_the_bucket(worker: Worker) -> None:
    worker.keep()
    assert worker.step() == ""
    worker.bucket.epoch = worker.bucket.epoch.replace("#1", "#2")
    worker.bucket.positions = [at(0)]
    assert worker.step() == "bucket_epoch_changed"
    assert len(worker.l1) == 0


def test_a_silent_feed_behind_which_the_bucket_went_back(worker: Worker) -> None:
    worker.bucket.apply(tags=(TAG,))
    worker.step()
    worker.keep()
    worker.bucket.items.pop()
    worker.bucket.positions = [at(1)]
    worker.bucket.watermarks = [Lsn(401)]
    assert worker.step() == "bucket_went_back"
    assert len(worker.l1) == 0
    assert worker.step() == ""
    assert worker.follower.positions == (at(1),)
    worker.prove(800)  # covered by the watermark of before, not by the one that the bucket has now
    assert not worker.freshness.is_fresh()


def test_a_bucket_that_is_ahead_of_a_silent_feed_is_not_worth_a_drop(worker: Worker) -> None:
    entry = worker.keep()
    worker.bucket.positions = [at(9)]
    assert worker.step() == ""
    assert entry.live


def test_redis_that_does_not_answer_drops_nothing(worker: Worker) -> None:
    entry = worker.keep()
    worker.bucket.down = True
    with pytest.raises(BucketUnavailable):
        worker.step()
    assert entry.live
    worker.bucket.down = False
    assert worker.step() == ""
    assert entry.live


# -- shapes


def test_an_answer_needs_its_shapes_registered(worker: Worker) -> None:
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id,), (at(9),)) == "shape_not_registered"
    worker.register(KEY_SHAPE)
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id,), (at(1),)) == ""
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id,), (at(0),)) == "shape_registered_later"
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id, NAME_SHAPE.id), (at(9),)) == "shape_not_registered"


def test_a_shape_counts_from_where_the_bucket_was_when_it_is_ahead(worker: Worker) -> None:
    worker.bucket.apply(tags=(TAG,))  # applied to the bucket, not by the worker yet
    worker.register(KEY_SHAPE)
    assert worker.follower.positions == (at(1),)
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id,), (at(1),)) == "shape_registered_later"
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id,), (at(2),)) == ""


def test_a_shape_counts_from_where_the_worker_was_when_it_learned_of_it(worker: Worker) -> None:
    worker.bucket.shapes[KEY_SHAPE.id] = (at(0),)
    worker.bucket.version = "v2"
    worker.bucket.apply(tags=())
    worker.step()
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id,), (at(0),)) == "shape_registered_later"
    assert worker.follower.refusal_of_shapes((KEY_SHAPE.id,), (at(1),)) == ""


def test_items_from_before_a_registration_are_no_reason_to_drop(worker: Worker) -> None:
    worker.bucket.apply(tags=())
    worker.register(KEY_SHAPE)
    worker.bucket.apply(tags=())
    assert worker.step() == ""
    assert worker.follower.positions == (at(3),)


def test_a_registration_that_was_lost_drops_everything(worker: Worker) -> None:
    """Redis fails over behind the registration: the feed goes on as if it had never been (hazard H52)."""
    worker.bucket.apply(tags=())
    worker.step()  # the version of before is known to hold every shape of before
    worker.register(KEY_SHAPE)
    entry = worker.keep(shapes=(KEY_SHAPE,))
    worker.bucket.version = "v1"
    worker.bucket.shapes.clear()
    worker.bucket.apply(tags=())  # matched without the shape: the row of our entry may have changed
    assert worker.step() == "registration_lost"
    assert not entry.live
    worker.step()
    assert worker.follower.shapes == {}


def test_a_registration_that_was_lost_while_others_were_made_drops_everything(worker: Worker) -> None:
    worker.register(KEY_SHAPE)
    worker.keep(shapes=(KEY_SHAPE,))
    worker.bucket.shapes = {NAME_SHAPE.id: (at(1),)}
    worker.bucket.version = "v2 of another life"
    worker.bucket.apply(tags=())
    assert worker.step() == "registration_lost"


def test_a_registry_that_is_not_to_be_had_any_more_drops_everything(worker: Worker) -> None:
    worker.bucket.version = "v2"
    worker.bucket.apply(tags=())
    worker.bucket.version = "v3"
    assert worker.step() == "registry_unknown"
    assert worker.step() == ""


def test_a_registry_that_another_worker_added_to_is_read(worker: Worker) -> None:
    entry = worker.keep()
    worker.bucket.shapes[NAME_SHAPE.id] = (at(1),)
    worker.bucket.version = "v2"
    worker.bucket.apply(tags=())
    assert worker.step() == ""
    assert entry.live
    assert NAME_SHAPE.id in worker.follower.shapes


def test_a_registration_in_another_epoch_is_not_believed(worker: Worker) -> None:
    worker.bucket.epoch = worker.bucket.epoch.replace("#1", "#2")
    worker.bucket.shapes[KEY_SHAPE.id] = (at(0),)
    worker.register(KEY_SHAPE)
    assert worker.follower.shapes == {}


def test_a_probe_that_was_answered_before_the_bucket_was_read_anew_proves_nothing(worker: Worker) -> None:
    worker.follower.drop("by hand")
    worker.prove(300)
    worker.bucket.watermarks = [Lsn(401)]
    assert worker.step() == ""
    assert not worker.freshness.is_fresh()
    worker.prove(400)
    assert worker.freshness.is_fresh()


# -- what is followed


def test_a_relation_is_followed_from_its_record_on_and_until_the_next(worker: Worker) -> None:
    entry = worker.keep()
    worker.bucket.apply(follow=(SHOPS, 77))
    worker.step()
    assert worker.follower.followed == {SHOPS: 77}
    assert not entry.live  # what was read before is dubious
    kept = worker.keep()
    worker.bucket.apply(follow=(SHOPS, None))
    worker.step()
    assert worker.follower.followed == {}
    assert not kept.live


# -- partitions


def test_the_watermark_is_that_of_the_slowest_partition() -> None:
    worker = Worker(partitions=2)
    worker.bucket.apply(partition=0, watermark=801)
    worker.bucket.apply(partition=1, watermark=401)
    worker.step()
    assert worker.freshness.watermark == 401
    worker.bucket.apply(partition=0, watermark=901)
    worker.step()
    assert worker.freshness.watermark == 401
    worker.bucket.apply(partition=1, watermark=851)
    worker.step()
    assert worker.freshness.watermark == 851


def test_an_epoch_begins_when_every_partition_has_a_watermark() -> None:
    worker = Worker(partitions=2)
    worker.bucket.apply(partition=0, watermark=801)
    worker.step()
    assert worker.follower.fill_position() is None
    worker.bucket.apply(partition=1, watermark=801)
    worker.step()
    assert worker.follower.fill_position() == (at(1), at(1))


def test_each_partition_is_a_chain_of_its_own() -> None:
    worker = Worker(partitions=2)
    worker.bucket.apply(partition=0, watermark=801)
    worker.bucket.apply(partition=1, watermark=801)
    worker.step()
    for partition in (1, 0, 1, 1):
        worker.bucket.apply(partition=partition, tags=())
    assert worker.step() == ""
    assert worker.follower.positions == (at(2), at(4))
    missed = worker.bucket.items.pop()
    worker.bucket.apply(partition=1, tags=())
    worker.bucket.items[-1] = replace(worker.bucket.items[-1], prev=missed.position)
    assert worker.step() == ""  # the very chain that it is: its positions follow those that were applied
    worker.bucket.items.append(replace(worker.bucket.items[-1], position=at(9), prev=at(7)))
    assert worker.step() == "feed_gap"


# -- the loop


def test_the_loop_follows_and_comes_back_from_a_break() -> None:
    async def scenario() -> None:
        worker = Worker()
        worker.bucket.apply(watermark=801)
        task = asyncio.create_task(worker.follower.run())
        await _until(lambda: worker.follower.fill_position() is not None)
        worker.bucket.apply(tags=(TAG,))
        worker.bucket.items.clear()
        worker.bucket.apply(watermark=900)
        await _until(lambda: worker.follower.resyncs == 2)
        assert worker.follower.positions == (at(3),)
        assert worker.freshness.watermark == 900
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition did not come about")


def test_a_relation_has_room_for_so_many_shapes(worker: Worker) -> None:
    many = [Shape(SHOPS, (ShapeColumn(f"c{number}", 23),)) for number in range(MOST_SHAPES)]
    worker.register(*many[:-1])
    assert worker.follower.has_room_for(many[-1])
    assert not worker.follower.has_room_for(many[0])
    worker.register(many[-1])
    assert not worker.follower.has_room_for(KEY_SHAPE)
    assert worker.follower.has_room_for(Shape(SHOPS + 1, KEY_SHAPE.columns))
    worker.bucket.shapes.clear()
    worker.follower.drop("")
    worker.step()
    assert worker.follower.has_room_for(many[0])


def test_that_there_is_no_room_is_told_without_a_look_at_all_shapes(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each miss that finds no room asks: with a thousand tables that took 3 ms."""
    worker.register(KEY_SHAPE, *(Shape(SHOPS + number, KEY_SHAPE.columns) for number in range(1, 100)))
    parsed: list[str | bytes] = []

    def parse(shape_id: str | bytes) -> Shape:
        parsed.append(shape_id)
        return NAME_SHAPE

    monkeypatch.setattr(Shape, "parse", parse)
    for _ in range(3):
        worker.follower.has_room_for(NAME_SHAPE)
    assert len(parsed) <= 100
