"""What the model knows of the world: one immutable value, made of small integers and tuples of them.

LSNs are counted in records: a commit record that ends at e starts at e - 1. A watermark w is 2a + 1 where nothing was
held at a, else 2a, so that "L is covered" is 2L < w. A position (i, k) is i * POSITION_STEP + k. Sets of transactions,
tags and queries are bit masks. Nothing is None or negative, so that hashes are the same in every run.
"""

from typing import NamedTuple

POSITION_STEP = 32
"""More records than an incarnation writes to a partition in any scope."""

Vector = tuple[int, ...]
"""One number for each partition."""

# Kinds of log records.
EPOCH, RESUME, CHANGES, WATERMARK, HOLE = range(5)


class Record(NamedTuple):
    """A record of the event log. `x`, `y`: F of a RESUME; transaction; w and c."""

    stream: int
    position: int
    kind: int
    x: int = 0
    y: int = 0


class Item(NamedTuple):
    """An item of the eviction feed. `stamp` is what the rule of validity compares: the position, where no fault is."""

    position: int
    prev: int
    epoch: int
    version: int
    tags: int = 0
    stamp: int = 0
    w: int = 0


class Entry(NamedTuple):
    """An answer: the transactions that it shows, and where the log stood when it was right."""

    at: Vector
    value: int


Entries = tuple[Entry | tuple[()], ...]


class Postgres(NamedTuple):
    """The primary."""

    end: int  # insert LSN
    flushed: int
    ends: Vector  # of each transaction's commit record; 0: there is none (yet, or any more)
    visible: int
    lost: int  # were visible, or might have been, and are gone in a crash
    canary: int  # 0: the table is empty
    canaries: int  # how many were ever written
    before_crash: int  # how many of them no living connection can have read
    slot: int  # there is one
    confirmed: int
    born: int  # where the slot began


class Cdc(NamedTuple):
    """The CDC service. Up, or all zero."""

    up: int = 0
    stream: int = 0
    incarnation: int = 0
    read: int = 0  # the stream has delivered so much
    pending: int = 0
    waits: int = 0  # the birth barrier stands
    barrier: int = 0  # for these
    looked: int = 0  # insert LSN of the last look
    published: int = 0  # up to here, since the last watermark; 0: nothing
    round_lsn: int = 0  # a; 0: no round
    round_snapshot: int = 0  # S
    sent: int = 0  # a of the last watermark
    settled: int = 0  # c that may be confirmed
    next_k: Vector = ()
    outbox: tuple[tuple[Record, ...], ...] = ()
    extra: int = 0  # what a fault remembers


class Bucket(NamedTuple):
    """What is in Redis. Epoch 0: nothing."""

    epoch: int = 0
    stream: int = 0
    positions: Vector = ()
    places: Vector = ()
    w: Vector = ()
    c: Vector = ()
    floors: Vector = ()
    newer: Vector = ()  # tag -> stamp of its last eviction, in two generations
    older: Vector = ()
    newer_start: Vector = ()
    entries: Entries = ()
    feeds: tuple[tuple[Item, ...], ...] = ()
    version: int = 0
    shapes: Vector = ()  # query -> position from which on its shape is matched, plus 1; 0: not registered
    counted: int = 0  # a fault's own counter


class Invalidator(NamedTuple):
    """A copy of where the bucket stands. Epoch 0: nothing adopted."""

    epoch: int = 0
    stream: int = 0
    positions: Vector = ()
    places: Vector = ()
    version: int = 0
    shapes: int = 0
    left: int = 0  # stream epochs
    half: tuple[int, ...] = ()  # a fault's unfinished step
    w: Vector = ()  # a fault's memory


class Probe(NamedTuple):
    """What was visible and what lost at the moment of a probe, and the insert LSN that it gave."""

    visible: int
    lost: int
    lsn: int


class Flight(NamedTuple):
    """A miss on its way. Phases: 1 sent, 2 answered, 3 kept and to be stored."""

    query: int
    q0: Vector
    epoch: int
    phase: int
    value: int = 0
    old: int = 0  # the session's last write was acknowledged after it was sent
    joined: int = 0


class Reply(NamedTuple):
    """Redis's answer to a READ (a hit), on its way to the worker."""

    query: int
    epoch: int
    positions: Vector
    value: int
    matched: int
    w: int


class Strong(NamedTuple):
    """A strong read. Phases: 1 arrived, 2 a probe was sent since, 3 that is covered."""

    phase: int
    visible: int
    lost: int
    early: int = 0  # a fault's answer, plus 1


class Registry(NamedTuple):
    """The reply to REGISTER, on its way."""

    epoch: int
    version: int
    shapes: Vector


class Worker(NamedTuple):
    """A worker of a proxy. Epoch 0: it follows no bucket."""

    epoch: int = 0
    stream: int = 0
    positions: Vector = ()
    w: Vector = ()
    floor: Vector = ()
    recent: Vector = ()  # tag -> stamp of its last eviction
    entries: Entries = ()
    fresh: Probe | tuple[()] = ()
    probe: Probe | tuple[()] = ()
    flight: Flight | tuple[()] = ()
    reply: Reply | tuple[()] = ()
    strong: Strong | tuple[()] = ()
    shapes: Vector = ()
    registries: tuple[tuple[int, int], ...] = ()  # version -> shapes
    complete: int = 0
    learning: Registry | tuple[()] = ()
    highest: int = 0  # a fault's position


class Session(NamedTuple):
    """The session, on the first worker, that writes its own transactions.

    Token: 0 none, 1 infinite, 2 the next probe's, 3 that of the probe on its way.
    """

    token: int = 0
    acknowledged: int = 0


UNLIMITED = 99


class Budget(NamedTuple):
    """How often things may still happen."""

    heartbeats: int = 0
    cdc_crashes: int = 0
    postgres_crashes: int = 0
    failovers: int = 0  # of Redis: a suffix is lost
    flushes: int = 0  # of Redis: everything is lost
    invalidator_crashes: int = 0
    worker_crashes: int = 0
    trims: int = 0  # of the feed
    rotations: int = 0
    slot_drops: int = 0
    slot_advances: int = 0
    rounds: int = UNLIMITED  # watermarks
    misses: int = UNLIMITED


class Replica(NamedTuple):
    """What a fail-over of Redis goes back to."""

    bucket: Bucket
    log_lengths: Vector


class State(NamedTuple):
    """Everything."""

    budget: Budget
    postgres: Postgres
    cdc: Cdc
    log: tuple[tuple[Record, ...], ...]
    late: tuple[tuple[Record, ...], ...]  # of a CDC service that is dead, still on their way
    bucket: Bucket
    replica: Replica | tuple[()]
    invalidators: tuple[Invalidator, ...]
    workers: tuple[Worker, ...]
    session: Session
    nonces: int  # random numbers given out


Step = tuple[str, State]
"""What happened, and what is now."""


def spent(budget: Budget, name: str) -> Budget:
    """Return what is left when a thing has happened once more."""
    left = getattr(budget, name)
    return budget if left == UNLIMITED else budget._replace(**{name: left - 1})


def put(vector: Vector, index: int, value: int) -> Vector:
    """Return a copy with another number at an index."""
    return (*vector[:index], value, *vector[index + 1 :])
