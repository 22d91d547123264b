"""The scripts in Redis, each one step, as in `services/shared/keyspace/lua`; and what Redis may lose."""

from collections.abc import Iterator

from tests.model.scope import World
from tests.model.state import (
    CHANGES,
    HOLE,
    POSITION_STEP,
    RESUME,
    WATERMARK,
    Bucket,
    Entry,
    Invalidator,
    Item,
    Record,
    Replica,
    State,
    Step,
    Vector,
    put,
    spent,
)

APPLIED, DUPLICATE, REWIND, RELOAD, OTHER_EPOCH, GAP = range(6)


def steps(world: World, state: State) -> Iterator[Step]:
    """What may happen to Redis."""
    budget = state.budget
    if budget.failovers and state.bucket.epoch:
        if not state.replica:
            replica = Replica(state.bucket, tuple(map(len, state.log)))
            yield "Redis's replica falls behind from here", state._replace(replica=replica)
        else:
            yield _fail_over(world, state)
    if budget.flushes and state.bucket.epoch:
        budget = spent(state.budget, "flushes")
        yield "Redis loses everything", state._replace(budget=budget, bucket=Bucket())
    if budget.trims and state.bucket.epoch:
        for partition, feed in enumerate(state.bucket.feeds):
            if feed:
                feeds = (*state.bucket.feeds[:partition], feed[1:], *state.bucket.feeds[partition + 1 :])
                budget = spent(state.budget, "trims")
                after = state._replace(budget=budget, bucket=state.bucket._replace(feeds=feeds))
                yield f"the feed's oldest item is trimmed (partition {partition})", after
    if budget.rotations and state.bucket.epoch:
        yield _rotate(world, state)


def _fail_over(world: World, state: State) -> Step:
    assert state.replica
    budget = spent(state.budget, "failovers")
    log = state.log
    if world.scope.log_in_redis:
        log = tuple(
            records[:length]
            if world.fault == "automatic ids"
            else records[:length] + tuple(record._replace(kind=HOLE) for record in records[length:])
            for records, length in zip(log, state.replica.log_lengths, strict=True)
        )
    after = state._replace(budget=budget, bucket=state.replica.bucket, replica=(), log=log)
    return "Redis fails over to its replica", after


def _rotate(world: World, state: State) -> Step:
    bucket, budget = state.bucket, state.budget
    floors = tuple(map(max, bucket.floors, bucket.newer_start))
    if world.fault == "no floor after rotation":
        floors = bucket.floors
    rotated = bucket._replace(
        older=bucket.newer, newer=(0,) * len(bucket.newer), newer_start=bucket.positions, floors=floors
    )
    budget = spent(state.budget, "rotations")
    return "the record of evictions is rotated", state._replace(budget=budget, bucket=rotated)


def why_invalid(world: World, bucket: Bucket, query: int, at: Vector) -> str:
    """The rule of validity, as in `validity.lua`; empty: valid."""
    if any(mine < floor for mine, floor in zip(at, bucket.floors, strict=True)):
        return "below floor"
    scope = world.scope
    if scope.shapes and not 0 < bucket.shapes[query] <= at[0] + 1:
        return "shape"
    for tag in scope.query_tags[query]:
        if max(bucket.newer[tag], bucket.older[tag]) > at[scope.tags[tag]]:
            return "evicted"
    return ""


def apply(world: World, state: State, invalidator: Invalidator, partition: int, record: Record) -> tuple[int, State]:
    """EVICT, WATERMARK or ADVANCE."""
    bucket = state.bucket
    if not bucket.epoch or bucket.epoch != invalidator.epoch:
        return OTHER_EPOCH, state
    applied, previous = bucket.positions[partition], invalidator.positions[partition]
    if applied >= record.position:
        return DUPLICATE, state
    if applied != previous and world.fault != "no test of prev":
        return REWIND, state
    tags = 0
    if record.kind == CHANGES:
        if world.scope.shapes and bucket.version != invalidator.version:
            return RELOAD, state
        tags = world.scope.transactions[record.x].tags & world.scope.tags_in[partition]
        if world.scope.shapes:
            tags &= _matched(world, invalidator)
    elif record.kind == RESUME:
        proven = bucket.w[partition] // 2 if world.fault == "RESUME accepted by w" else bucket.c[partition]
        if proven < record.x:
            return GAP, state
    return APPLIED, state._replace(bucket=_effect(world, state, invalidator, partition, record, tags))


def _matched(world: World, invalidator: Invalidator) -> int:
    """Tags that the shapes known to an invalidator give."""
    found = 0
    for query, tags in enumerate(world.scope.queries):
        if invalidator.shapes >> query & 1:
            found |= tags
    return found


def _effect(world: World, state: State, invalidator: Invalidator, partition: int, record: Record, tags: int) -> Bucket:
    bucket = state.bucket
    stamp, counted = record.position, bucket.counted
    if world.fault == "LSN instead of position":
        stamp = state.postgres.ends[record.x] if tags else 0
    elif world.fault == "positions counted in Redis":
        stamp = counted = counted + 1
    w = record.x if record.kind == WATERMARK else 0
    item = Item(record.position, bucket.positions[partition], bucket.epoch, bucket.version, tags, stamp, w)
    bucket = bucket._replace(
        positions=put(bucket.positions, partition, record.position),
        places=put(bucket.places, partition, invalidator.places[partition] + 1),
        feeds=(*bucket.feeds[:partition], (*bucket.feeds[partition], item), *bucket.feeds[partition + 1 :]),
        counted=counted,
    )
    for tag in range(tags.bit_length()):
        if tags >> tag & 1:
            bucket = bucket._replace(newer=put(bucket.newer, tag, stamp))
    return _watermark(world, bucket, invalidator, partition, record) if w else bucket


def _watermark(world: World, bucket: Bucket, invalidator: Invalidator, partition: int, record: Record) -> Bucket:
    before = min(bucket.w)
    known = invalidator.w if world.fault == "watermarks in memory" and invalidator.w else bucket.w
    w = put(known, partition, max(known[partition], record.x))
    c = put(bucket.c, partition, max(bucket.c[partition], record.y))
    floors = bucket.positions if not before and min(w) else bucket.floors  # the birth barrier has passed
    return bucket._replace(w=w, c=c, floors=floors)


def fill(world: World, bucket: Bucket, epoch: int, query: int, entry: Entry) -> Bucket:
    """FILL: store an answer if it is valid by the rule."""
    if not bucket.epoch or bucket.epoch != epoch or not min(bucket.w):
        return bucket
    unchecked = world.fault in ("no check at FILL and READ", "LSN instead of position", "positions counted in Redis")
    if not unchecked and any(mine > theirs for mine, theirs in zip(entry.at, bucket.positions, strict=True)):
        return bucket
    if world.fault != "no check at FILL and READ" and why_invalid(world, bucket, query, entry.at):
        return bucket
    return bucket._replace(entries=(*bucket.entries[:query], entry, *bucket.entries[query + 1 :]))


def read(world: World, bucket: Bucket, query: int) -> Entry | tuple[()]:
    """READ: the entry if it is valid by the rule."""
    entry = bucket.entries[query] if bucket.epoch else ()
    if not entry:
        return ()
    if world.fault != "no check at FILL and READ" and why_invalid(world, bucket, query, entry.at):
        return ()
    return entry


def register(world: World, state: State, query: int) -> State:
    """REGISTER: a shape is matched from the bucket's position on, under another version."""
    bucket = state.bucket
    if bucket.shapes[query]:
        return state
    version = bucket.version + 1 if world.fault == "registry version is a counter" else state.nonces + 1
    shapes = put(bucket.shapes, query, bucket.positions[0] + 1)
    return state._replace(nonces=state.nonces + 1, bucket=bucket._replace(shapes=shapes, version=version))


def new_epoch(world: World, state: State, stream: int, positions: Vector, places: Vector) -> State:
    """NEW EPOCH, or INIT where there is none."""
    scope, before = world.scope, state.bucket
    nonce = state.nonces + 1
    shapes = before.shapes if before.epoch and before.stream == stream else (0,) * len(scope.queries)
    bucket = Bucket(
        epoch=nonce,
        stream=stream,
        positions=positions,
        places=places,
        w=(0,) * scope.partitions,
        c=(0,) * scope.partitions,
        floors=positions,
        newer=(0,) * len(scope.tags),
        older=(0,) * len(scope.tags),
        newer_start=positions,
        entries=before.entries or ((),) * len(scope.queries),
        feeds=((),) * scope.partitions,
        version=nonce,
        shapes=shapes,
    )
    bucket = bucket._replace(entries=((),) * len(scope.queries))  # of another epoch: never valid again
    return state._replace(nonces=nonce, bucket=bucket)


def position(incarnation: int, k: int) -> int:
    """(i, k) as a number."""
    return incarnation * POSITION_STEP + k
