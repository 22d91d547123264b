"""Where a scope begins: with a slot, a followed log and a warm bucket; or with nothing but a database."""

from tests.model import worker as workers
from tests.model.bucket import position
from tests.model.scope import World
from tests.model.state import (
    EPOCH,
    WATERMARK,
    Bucket,
    Cdc,
    Entry,
    Invalidator,
    Postgres,
    Record,
    Replica,
    Session,
    State,
)

_FIRST = 1  # LSN, incarnation, canary, stream epoch, nonce


def first_state(world: World) -> State:
    """The state in which a world begins."""
    scope = world.scope
    partitions = scope.partitions
    born = int(scope.born)
    postgres = Postgres(
        end=_FIRST,
        flushed=_FIRST,
        ends=(0,) * len(scope.transactions),
        visible=0,
        lost=0,
        canary=born,
        canaries=born,
        before_crash=0,
        slot=born,
        confirmed=born,
        born=born,
    )
    nobody = workers.nobody(world)
    state = State(
        budget=scope.budget,
        postgres=postgres,
        cdc=Cdc(),
        log=((),) * partitions,
        late=((),) * partitions if scope.late else (),
        bucket=Bucket(),
        replica=(),
        invalidators=(Invalidator(),) * scope.invalidators,
        workers=(nobody,) * scope.workers,
        session=Session(),
        nonces=1,
    )
    return _followed(world, state) if scope.born else state


def _followed(world: World, state: State) -> State:
    """One incarnation has begun the epoch and sent a watermark, which everybody has heard of."""
    scope = world.scope
    partitions = scope.partitions
    w, c = 2 * _FIRST + 1, _FIRST
    log = (
        Record(_FIRST, position(_FIRST, 0), EPOCH),
        Record(_FIRST, position(_FIRST, 1), WATERMARK, w, c),
    )
    here = (position(_FIRST, 1),) * partitions
    stamped = world.fault in ("LSN instead of position", "positions counted in Redis")
    floors = (0,) * partitions if stamped else here
    entry = Entry(floors, 0)
    warm, stored = (
        tuple(entry if mask >> query & 1 else () for query in range(len(scope.queries)))
        for mask in (scope.warm, scope.stored)
    )
    bucket = Bucket(
        epoch=_FIRST,
        stream=_FIRST,
        positions=here,
        places=(len(log),) * partitions,
        w=(w,) * partitions,
        c=(c,) * partitions,
        floors=floors,
        newer=(0,) * len(scope.tags),
        older=(0,) * len(scope.tags),
        newer_start=floors,
        entries=stored,
        feeds=((),) * partitions,
        version=_FIRST,
        shapes=(0,) * len(scope.queries),
    )
    follower = Invalidator(_FIRST, _FIRST, here, bucket.places, _FIRST)
    if world.fault == "watermarks in memory":
        follower = follower._replace(w=bucket.w)
    worker = workers.nobody(world)._replace(
        epoch=_FIRST,
        stream=_FIRST,
        positions=here,
        w=bucket.w,
        floor=floors,
        entries=warm,
        registries=((_FIRST, 0),) if scope.shapes else (),
        complete=_FIRST if scope.shapes else 0,
    )
    cdc = Cdc(
        up=1,
        stream=_FIRST,
        incarnation=_FIRST,
        read=_FIRST,
        looked=_FIRST,
        sent=_FIRST,
        settled=_FIRST,
        next_k=(len(log),) * partitions,
        outbox=((),) * partitions if scope.outbox else (),
    )
    return state._replace(
        cdc=cdc,
        log=(log,) * partitions,
        bucket=bucket,
        invalidators=(follower,) * scope.invalidators,
        workers=(worker,) * scope.workers,
        replica=Replica(bucket, (len(log),) * partitions) if scope.behind else (),
    )
