"""Invalidators: read the next record of a partition, judge it, have the bucket take it. As `services/invalidator`.

Reading, judging and the script are one step: the script tests everything again that the invalidator only remembers.
"""

from collections.abc import Iterator

from tests.model import bucket as scripts
from tests.model.cdc import told
from tests.model.scope import World
from tests.model.state import (
    CHANGES,
    EPOCH,
    HOLE,
    POSITION_STEP,
    RESUME,
    WATERMARK,
    Bucket,
    Invalidator,
    Record,
    State,
    Step,
    put,
    spent,
)

# What the chain says of a record.
_NEXT, _DUPLICATE, _IGNORED, _GAP = range(4)


def steps(world: World, state: State) -> Iterator[Step]:
    """What each invalidator may do next."""
    for number, invalidator in enumerate(state.invalidators):
        if invalidator.half:
            yield _second_half(world, state, number)
        elif not invalidator.epoch:
            after = _adopt(world, state, number)
            if after is not None:
                yield f"invalidator {number + 1} begins at the bucket's place", after
            continue
        else:
            yield from _read(world, state, number)
        if state.budget.invalidator_crashes:
            budget = spent(state.budget, "invalidator_crashes")
            yield f"invalidator {number + 1} dies", _with(state._replace(budget=budget), number, Invalidator())


def _with(state: State, number: int, invalidator: Invalidator) -> State:
    others = state.invalidators
    return state._replace(invalidators=(*others[:number], invalidator, *others[number + 1 :]))


def _read(world: World, state: State, number: int) -> Iterator[Step]:
    invalidator, silent = state.invalidators[number], True
    for partition, records in enumerate(state.log):
        place = invalidator.places[partition]
        if place >= len(records):
            continue
        silent = False
        record = records[place]
        what, after = _take(world, state, number, partition, record)
        if after is not None:
            yield f"invalidator {number + 1} reads {told(record)} (partition {partition}): {what}", after
    bucket = state.bucket
    behind = not bucket.epoch or any(map(int.__lt__, bucket.positions, invalidator.positions))
    if silent and (bucket.epoch != invalidator.epoch or behind):
        after = _adopt(world, state, number)
        if after is not None:
            yield f"invalidator {number + 1} finds the bucket elsewhere", after


def _take(world: World, state: State, number: int, partition: int, record: Record) -> tuple[str, State | None]:
    invalidator = state.invalidators[number]
    passed = invalidator._replace(places=put(invalidator.places, partition, invalidator.places[partition] + 1))
    if record.kind == HOLE:
        return "a hole", _with(state, number, passed)
    verdict = _judge(world, state, invalidator, partition, record)
    if verdict in (_DUPLICATE, _IGNORED):
        return "a duplicate" if verdict == _DUPLICATE else "of a history left", _with(state, number, passed)
    if verdict == _GAP:
        return _meet_gap(world, state, number, partition, record)
    if world.fault == "place stored before effect" and record.kind == CHANGES:
        return "its place is stored", _first_half(state, number, partition, record)
    outcome, after = scripts.apply(world, state, invalidator, partition, record)
    if outcome in (scripts.APPLIED, scripts.DUPLICATE):
        moved = passed._replace(positions=put(passed.positions, partition, record.position))
        if world.fault == "watermarks in memory" and record.kind == WATERMARK:
            moved = moved._replace(w=put(moved.w, partition, max(moved.w[partition], record.x)))
        return ("applied", "applied before")[outcome], _with(after, number, moved)
    if outcome == scripts.RELOAD:
        return "shapes are read anew", _with(state, number, _with_shapes(invalidator, state.bucket))
    if outcome == scripts.GAP:
        return "a gap", _begin_at_tail(world, state, number)
    return "the bucket is elsewhere", _adopt(world, state, number)


def _judge(world: World, state: State, invalidator: Invalidator, partition: int, record: Record) -> int:
    """`services/shared/eventlog/chain.py` and `Consumer._judge`."""
    here = invalidator.positions[partition]
    waits = here == 0
    if record.stream != invalidator.stream:
        older = record.position // POSITION_STEP < max(invalidator.positions) // POSITION_STEP
        if invalidator.left >> record.stream & 1 or (waits and (record.kind != EPOCH or older)):
            return _IGNORED
        return _GAP  # or a new stream epoch: both begin at the record
    if record.position <= here:
        return _DUPLICATE
    incarnation, k = divmod(record.position, POSITION_STEP)
    if incarnation == here // POSITION_STEP:
        return _NEXT if k == here % POSITION_STEP + 1 and record.kind not in (EPOCH, RESUME) else _GAP
    if k or record.kind not in (EPOCH, RESUME) or (record.kind == EPOCH and not waits):
        return _GAP
    if record.kind == RESUME and state.bucket.epoch == invalidator.epoch:
        known = state.bucket.w[partition] // 2 if world.fault == "RESUME accepted by w" else state.bucket.c[partition]
        return _NEXT if known >= record.x else _GAP
    return _NEXT


def _adopt(world: World, state: State, number: int) -> State | None:
    """Go on where the bucket stands; begin an epoch at the log's tail if there is none."""
    bucket = state.bucket
    if not bucket.epoch:
        return _begin_at_tail(world, state, number)
    before = state.invalidators[number]
    left = 0 if before.left >> bucket.stream & 1 else before.left
    w: tuple[int, ...] = ()
    if world.fault == "watermarks in memory":
        w = before.w or bucket.w
    adopted = Invalidator(bucket.epoch, bucket.stream, bucket.positions, bucket.places, left=left, w=w)
    return _with(state, number, _with_shapes(adopted, bucket))


def _with_shapes(invalidator: Invalidator, bucket: Bucket) -> Invalidator:
    shapes = sum(1 << query for query, matched in enumerate(bucket.shapes) if matched)
    return invalidator._replace(version=bucket.version, shapes=shapes)


def _meet_gap(world: World, state: State, number: int, partition: int, record: Record) -> tuple[str, State | None]:
    """Begin a bucket epoch at a record, unless the bucket has moved (`begin_at_record`)."""
    invalidator, bucket = state.invalidators[number], state.bucket
    if bucket.epoch != invalidator.epoch or bucket.positions[partition] != invalidator.positions[partition]:
        return "the bucket is elsewhere", _adopt(world, state, number)
    position, place = record.position, invalidator.places[partition] + 1
    if position % POSITION_STEP:
        position, place = position - 1, place - 1
    same = record.stream == bucket.stream
    positions = bucket.positions if same else (0,) * world.scope.partitions
    places = bucket.places if same else invalidator.places
    left = invalidator.left if same else (invalidator.left | 1 << bucket.stream) & ~(1 << record.stream)
    state = scripts.new_epoch(
        world, state, record.stream, put(positions, partition, position), put(places, partition, place)
    )
    what = "a gap: a new bucket epoch" if record.kind != EPOCH else "a new bucket epoch"
    return what, _adopt(world, _with(state, number, invalidator._replace(left=left)), number)


def _begin_at_tail(world: World, state: State, number: int) -> State | None:
    """Begin a bucket epoch at the last watermark of each partition (`begin_at_tail`)."""
    streams = [stream for records in state.log if (stream := _newest_stream(records))]
    if not streams:
        return None
    stream = max(streams)
    starts = [_start(records, stream) for records in state.log]
    positions, places = zip(*starts, strict=True)
    before = state.invalidators[number]
    if state.bucket.epoch and state.bucket.stream != stream:
        before = before._replace(left=(before.left | 1 << state.bucket.stream) & ~(1 << stream))
    return _adopt(world, _with(scripts.new_epoch(world, state, stream, positions, places), number, before), number)


def _newest_stream(records: tuple[Record, ...]) -> int:
    begun = [record.stream for record in records if record.kind == EPOCH]
    there = [record.stream for record in records if record.kind != HOLE]
    return (begun or there or [0])[-1]


def _start(records: tuple[Record, ...], stream: int) -> tuple[int, int]:
    found = [(index, record) for index, record in enumerate(records) if record.stream == stream and record.kind != HOLE]
    for index, record in reversed(found):
        if record.kind == WATERMARK and record.position % POSITION_STEP:
            return record.position - 1, index
    if found:
        return found[-1][1].position, found[-1][0] + 1
    return 0, len(records)


def _first_half(state: State, number: int, partition: int, record: Record) -> State | None:
    """A fault: place and position are stored by a call of their own, before the effect."""
    invalidator, bucket = state.invalidators[number], state.bucket
    if bucket.epoch != invalidator.epoch or bucket.positions[partition] != invalidator.positions[partition]:
        return None
    place = invalidator.places[partition] + 1
    stored = bucket._replace(
        positions=put(bucket.positions, partition, record.position), places=put(bucket.places, partition, place)
    )
    return _with(state._replace(bucket=stored), number, invalidator._replace(half=(partition, *record)))


def _second_half(world: World, state: State, number: int) -> Step:
    invalidator, bucket = state.invalidators[number], state.bucket
    partition, record = invalidator.half[0], Record(*invalidator.half[1:])
    invalidator = invalidator._replace(half=())
    back = bucket._replace(positions=put(bucket.positions, partition, invalidator.positions[partition]))
    _, after = scripts.apply(world, state._replace(bucket=back), invalidator, partition, record)
    moved = invalidator._replace(
        positions=put(invalidator.positions, partition, record.position),
        places=put(invalidator.places, partition, invalidator.places[partition] + 1),
    )
    return f"invalidator {number + 1} applies {told(record)}", _with(after, number, moved)
