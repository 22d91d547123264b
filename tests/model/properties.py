"""What has to hold in every state. Contract, sections 1 and 10.

A hit is no step of the model: whatever could be served now is looked at in every state, so no hit is forgotten. Time is
not counted either. A proof of freshness is a probe with its moment t0; how old it may be is the bound's affair, and
nothing here rests on that: an answer served with it has to be one that was current at t0 or later.
"""

from tests.model.bucket import why_invalid
from tests.model.cdc import shown_set
from tests.model.scope import World
from tests.model.state import CHANGES, EPOCH, WATERMARK, State, Worker


def violation(world: World, state: State) -> str:
    """Return what is wrong with a state; empty if nothing is."""
    for number, worker in enumerate(state.workers):
        if worker.epoch and worker.fresh:
            wrong = _wrong_hit(world, state, number, worker)
            if wrong:
                return wrong
    first = state.workers[0]
    if first.flight and first.flight.joined and first.flight.phase == 2:
        missing = _missing(world, state, first.flight.query, first.flight.value)
        if missing:
            return f"session: the flight's answer {shown_set(first.flight.value)} lacks the session's {missing}"
    if first.strong and first.strong.phase == 3:
        wrong = _wrong_strong_read(world, first)
        if wrong:
            return wrong
    return (
        (_wrong_at_rest(world, state) if _rests(state) else "")
        or (_wrongly_confirmed(world, state) if world.scope.outbox else "")
        or (_stuck(state) if not world.scope.born or world.scope.budget.slot_drops else "")
    )


def _wrong_hit(world: World, state: State, number: int, worker: Worker) -> str:
    """Bounded and session: what a worker could serve from its memory now."""
    assert worker.fresh
    for query, entry in enumerate(worker.entries):
        if not entry:
            continue
        missing = worker.fresh.visible & world.scope.changed[query] & ~entry.value
        who = f"worker {number + 1} serves query {query + 1} with {shown_set(entry.value)}"
        if missing:
            return f"bounded: {who}, and {shown_set(missing)} was visible before the probe that it rests on"
        if entry.value & worker.fresh.lost:
            return f"bounded: {who}, which was lost in a crash before the probe that it rests on"
        if number == 0 and state.session.token == 0 and (own := _missing(world, state, query, entry.value)):
            return f"session: {who}, and the session's own {own} was acknowledged"
    return ""


def _missing(world: World, state: State, query: int, value: int) -> str:
    missing = state.session.acknowledged & world.scope.changed[query] & ~value & ~state.postgres.lost
    return shown_set(missing) if missing else ""


def _wrong_strong_read(world: World, worker: Worker) -> str:
    strong = worker.strong
    assert strong
    needed = strong.visible & world.scope.changed[0]
    entry = worker.entries[0] if worker.epoch else ()
    value = strong.early - 1 if strong.early else entry.value if entry else needed
    if needed & ~value or value & strong.lost:
        return f"strong: the answer {shown_set(value)} was never current since the read arrived"
    return ""


def _rests(state: State) -> bool:
    """Tell whether everything that has happened has been heard of: Redis has a watermark of the WAL's very end."""
    postgres, cdc, bucket = state.postgres, state.cdc, state.bucket
    if not cdc.up or cdc.waits or cdc.pending or cdc.read != postgres.end or any(cdc.outbox):
        return False
    if postgres.canary != cdc.stream or bucket.stream != cdc.stream or not bucket.epoch:
        return False
    if min(bucket.w) <= 2 * postgres.end:
        return False
    if any(end and not postgres.visible >> number & 1 for number, end in enumerate(postgres.ends)):
        return False
    ends = tuple(map(len, state.log))
    return any(
        each.epoch == bucket.epoch and each.positions == bucket.positions and each.places == ends and not each.half
        for each in state.invalidators
    )


def _wrong_at_rest(world: World, state: State) -> str:
    """Nothing lost: every valid answer is what the database would answer."""
    visible, bucket = state.postgres.visible, state.bucket
    for query, entry in enumerate(bucket.entries):
        if (
            entry
            and entry.value != visible & world.scope.changed[query]
            and not why_invalid(world, bucket, query, entry.at)
        ):
            return f"lost: all is quiet, and Redis holds {shown_set(entry.value)} for query {query + 1}"
    for worker in state.workers:
        if worker.epoch != bucket.epoch or worker.positions != bucket.positions:
            continue
        for query, entry in enumerate(worker.entries):
            if entry and entry.value != visible & world.scope.changed[query]:
                return f"lost: all is quiet, and a worker holds {shown_set(entry.value)} for query {query + 1}"
    return ""


def _stuck(state: State) -> str:
    """What is written last is followed: an invalidator that has read everything is in the log's last stream epoch."""
    cdc, bucket, ends = state.cdc, state.bucket, tuple(map(len, state.log))
    if not cdc.up or any(not records or records[-1].kind != WATERMARK for records in state.log):
        return ""
    if any(records[-1].stream != cdc.stream for records in state.log) or bucket.stream == cdc.stream:
        return ""
    if all(each.epoch == bucket.epoch and each.places == ends for each in state.invalidators):
        return f"stuck: everything was read, and the bucket is in stream epoch {bucket.stream}, not {cdc.stream}"
    return ""


def _wrongly_confirmed(world: World, state: State) -> str:
    """What Postgres may forget stands in the log, where a reader finds it (contract, section 4.7)."""
    postgres = state.postgres
    for number, end in enumerate(postgres.ends):
        if not postgres.born < end <= postgres.confirmed:
            continue
        for partition in world.scope.partitions_of(number):
            if not _is_in_log(state, partition, number):
                return f"lost: T{number + 1} ends at {end}, {postgres.confirmed} is confirmed, and the log has it not"
    return ""


def _is_in_log(state: State, partition: int, number: int) -> bool:
    newest, stream = 0, 0
    for record in state.log[partition]:
        if record.stream != stream or record.kind == EPOCH:
            newest, stream = 0, record.stream
        if record.position > newest or record.kind == EPOCH:
            newest = record.position
            if record.kind == CHANGES and record.x == number:
                return True
    return False
