"""The CDC service: decode, look, publish, watermark, confirm, crash and begin again. Contract, section 4.

As in `services/cdc/relay.py`: a *look* takes a snapshot and then reads an insert LSN. A *round* uses the snapshot of a
look, and where the stream stood before it, if the look published something; else the insert LSN of the look before. It
ends, with its watermark, once the stream has delivered that LSN.
"""

from collections.abc import Iterator

from tests.model.scope import World
from tests.model.state import CHANGES, EPOCH, POSITION_STEP, RESUME, WATERMARK, Cdc, Record, State, Step, put, spent


def steps(world: World, state: State) -> Iterator[Step]:
    """What the CDC service, and what it sent, may do next."""
    cdc = state.cdc
    yield from _deliver(world, state)
    if not cdc.up:
        yield _begin(world, state)
        return
    postgres = state.postgres
    if cdc.read < postgres.flushed:
        yield _decode(world, state)
    yield from _look(world, state)
    if cdc.round_lsn and cdc.read >= cdc.round_lsn:
        yield _end_round(world, state)
    if state.budget.heartbeats and (cdc.pending or cdc.round_lsn > cdc.read):
        budget = spent(state.budget, "heartbeats")
        moved = postgres._replace(end=postgres.end + 1, flushed=postgres.end + 1)
        yield "CDC sends a flushing heartbeat", state._replace(budget=budget, postgres=moved)
    if state.budget.cdc_crashes:
        yield from _crash(world, state)


def append(world: World, state: State, partition: int, kind: int, x: int = 0, y: int = 0) -> State:
    """Give a record the next number, and to the log."""
    cdc = state.cdc
    k = cdc.next_k[partition]
    record = Record(cdc.stream, cdc.incarnation * POSITION_STEP + k, kind, x, y)
    cdc = cdc._replace(next_k=put(cdc.next_k, partition, k + 1))
    if world.scope.outbox:
        outbox = (*cdc.outbox[:partition], (*cdc.outbox[partition], record), *cdc.outbox[partition + 1 :])
        if world.fault == "acknowledged when sent" and kind == WATERMARK:
            cdc = cdc._replace(settled=max(cdc.settled, y))
        return state._replace(cdc=cdc._replace(outbox=outbox))
    if kind == WATERMARK:
        cdc = cdc._replace(settled=max(cdc.settled, y))
    return state._replace(cdc=cdc, log=_appended(world, state.log, partition, record))


def _appended(
    world: World, log: tuple[tuple[Record, ...], ...], partition: int, record: Record
) -> tuple[tuple[Record, ...], ...]:
    records = log[partition]
    if world.fault == "automatic ids":  # the number is what the stream has come to
        record = record._replace(position=records[-1].position + 1 if records else 1)
    return (*log[:partition], (*records, record), *log[partition + 1 :])


def _deliver(world: World, state: State) -> Iterator[Step]:
    """Records under way arrive in the log, in order within a partition."""
    for partition, records in enumerate(state.cdc.outbox):
        if records:
            first, rest = records[0], records[1:]
            cdc = state.cdc
            outbox = (*cdc.outbox[:partition], rest, *cdc.outbox[partition + 1 :])
            settled = cdc.settled
            if first.kind == WATERMARK and all(
                all(other.kind != WATERMARK or other.y > first.y for other in queue) for queue in outbox
            ):
                settled = max(settled, first.y)
            after = state._replace(
                cdc=cdc._replace(outbox=outbox, settled=settled), log=_appended(world, state.log, partition, first)
            )
            yield f"the log takes {told(first)} (partition {partition})", after
    for partition, records in enumerate(state.late):
        if records:
            first = records[0]
            late = (*state.late[:partition], records[1:], *state.late[partition + 1 :])
            after = state._replace(late=late, log=_appended(world, state.log, partition, first))
            if world.fault == "earlier incarnation confirmed" and first.kind == WATERMARK:
                confirmed = max(state.postgres.confirmed, first.y)
                after = after._replace(postgres=state.postgres._replace(confirmed=confirmed))
            yield f"the log takes {told(first)} of the dead incarnation (partition {partition})", after


def _begin(world: World, state: State) -> Step:
    """Take the slot, name the incarnation, decide whether the history goes on (`services/cdc/beginning.py`)."""
    postgres = state.postgres
    slot_is_new = not postgres.slot
    if slot_is_new:
        postgres = postgres._replace(slot=1, confirmed=postgres.end, born=postgres.end, flushed=postgres.end)
    resume_from = postgres.confirmed
    if world.fault == "incarnation used twice":
        incarnation = postgres.end
    else:
        incarnation = postgres.end + 1
        postgres = postgres._replace(end=incarnation, flushed=incarnation)
    stream, settled, newest = _log_end(state)
    anew = slot_is_new or not stream or postgres.canary != stream
    if world.fault not in ("incarnation used twice", "automatic ids") and incarnation <= newest // 2:
        anew = True  # the WAL has gone back
    if anew:
        canary = postgres.canaries + 1
        postgres = postgres._replace(canary=canary, canaries=canary)
        stream = canary
    waits = (anew or resume_from > settled) and world.fault != "no birth barrier"
    unseen = sum(1 << number for number, end in enumerate(postgres.ends) if end) & ~postgres.visible
    partitions = world.scope.partitions
    cdc = Cdc(
        up=1,
        stream=stream,
        incarnation=incarnation,
        read=resume_from,
        waits=int(waits),
        barrier=unseen if waits else 0,
        settled=resume_from,
        next_k=(0,) * partitions,
        outbox=((),) * partitions if world.scope.outbox else (),
    )
    state = state._replace(postgres=postgres, cdc=cdc)
    for partition in range(partitions):
        state = append(world, state, partition, EPOCH if anew else RESUME, 0 if anew else resume_from)
    kind = f"stream epoch {stream}" if anew else f"RESUME({resume_from})"
    return f"CDC begins incarnation {incarnation} with {kind}" + (" behind the barrier" if waits else ""), state


def _log_end(state: State) -> tuple[int, int, int]:
    """Return stream epoch (0: none, or not one), c and the largest w that the log's end tells of."""
    streams, settled, newest = set(), [], 0
    for records in state.log:
        if not records:
            return 0, 0, 0
        stream = records[-1].stream
        streams.add(stream)
        marks = [record for record in records if record.kind == WATERMARK and record.stream == stream]
        settled.append(marks[-1].y if marks else 0)
        newest = max([newest, records[-1].position // POSITION_STEP * 2, *(mark.x for mark in marks[-1:])])
    return (streams.pop() if len(streams) == 1 else 0), min(settled), newest


def _decode(world: World, state: State) -> Step:
    """Take the stream up to the next commit, or as far as it goes."""
    cdc, postgres = state.cdc, state.postgres
    ends = [(end, number) for number, end in enumerate(postgres.ends) if cdc.read < end <= postgres.flushed]
    ends = [pair for pair in ends if pair[0] > postgres.born]
    if not ends:
        after = state._replace(cdc=cdc._replace(read=postgres.flushed))
        return f"CDC has the stream up to {postgres.flushed}", after
    end, number = min(ends)
    state = state._replace(cdc=cdc._replace(read=end, pending=cdc.pending | 1 << number))
    if world.fault == "no visibility gate":
        state = _publish(world, state, 1 << number)
    return f"CDC decodes T{number + 1}", state


def _publish(world: World, state: State, snapshot: int) -> State:
    """Publish what is pending and visible in a snapshot."""
    shown = state.cdc.pending & snapshot
    number = 0
    while shown >> number:
        if shown >> number & 1:
            for partition in world.scope.partitions_of(number):
                state = append(world, state, partition, CHANGES, number)
            cdc = state.cdc
            published = max(cdc.published, state.postgres.ends[number])
            state = state._replace(cdc=cdc._replace(pending=cdc.pending & ~(1 << number), published=published))
        number += 1
    return state


def _look(world: World, state: State) -> Iterator[Step]:
    """Take a snapshot, publish what it shows, read the insert LSN; perhaps begin a round."""
    postgres = state.postgres
    late = world.fault in ("watermark before evictions",)
    after = state if late else _publish(world, state, postgres.visible)
    cdc = after.cdc
    looked, before, earlier = postgres.end, cdc.looked, cdc.extra
    if cdc.waits:
        if cdc.barrier & ~postgres.visible == 0:
            cdc = cdc._replace(waits=0, barrier=0)
    elif cdc.published and state.budget.rounds and world.fault != "snapshot before insert LSN":
        cdc = cdc._replace(round_lsn=cdc.read, round_snapshot=postgres.visible)
    elif cdc.round_lsn:
        if world.fault != "snapshot before insert LSN":
            cdc = cdc._replace(round_snapshot=postgres.visible)
    elif before and state.budget.rounds and before > cdc.sent:
        if world.fault == "snapshot before insert LSN":
            cdc = cdc._replace(round_lsn=looked, round_snapshot=earlier)
        else:
            cdc = cdc._replace(round_lsn=before, round_snapshot=postgres.visible)
    cdc = cdc._replace(looked=looked)
    if world.fault == "snapshot before insert LSN":
        cdc = cdc._replace(extra=postgres.visible)
    elif world.fault == "held when S is taken" and cdc.round_lsn:
        cdc = cdc._replace(extra=cdc.pending)
    if cdc != state.cdc:
        a = f"; round at a = {cdc.round_lsn}" if cdc.round_lsn else ""
        yield f"CDC looks: {shown_set(postgres.visible)} visible, insert LSN {looked}{a}", after._replace(cdc=cdc)


def _end_round(world: World, state: State) -> Step:
    """Publish what the round's snapshot shows, and send the watermark, with nothing in between."""
    a, snapshot = state.cdc.round_lsn, state.cdc.round_snapshot
    evictions_last = world.fault == "watermark before evictions"
    if not evictions_last:
        state = _publish(world, state, snapshot)
    cdc = state.cdc
    held = cdc.pending & ~snapshot
    if world.fault == "held when S is taken":
        held &= cdc.extra
    starts = [end - 1 for number, end in enumerate(state.postgres.ends) if held >> number & 1 and end <= a]
    w, c = (2 * a, min(starts)) if starts else (2 * a + 1, a)
    for partition in range(world.scope.partitions):
        state = append(world, state, partition, WATERMARK, w, c)
    if evictions_last:
        state = _publish(world, state, snapshot)
    cdc = state.cdc._replace(round_lsn=0, round_snapshot=0, sent=a, published=0)
    if world.fault == "held when S is taken":
        cdc = cdc._replace(extra=0)
    after = state._replace(cdc=cdc, budget=spent(state.budget, "rounds"))
    return f"CDC sends a watermark: w = {told_w(w)}, c = {c}", after


def _crash(world: World, state: State) -> Iterator[Step]:
    """The service dies. What it could confirm it may have confirmed, or not."""
    budget = spent(state.budget, "cdc_crashes")
    late = state.late
    if world.scope.late:
        late = tuple(earlier + records for earlier, records in zip(state.late, state.cdc.outbox, strict=True))
    dead = state._replace(budget=budget, cdc=Cdc(), late=late)
    yield "CDC dies", dead
    if state.cdc.settled > state.postgres.confirmed:
        confirmed = state.postgres._replace(confirmed=state.cdc.settled)
        yield f"CDC confirms {state.cdc.settled} and dies", dead._replace(postgres=confirmed)


def told(record: Record) -> str:
    """A record in words."""
    where = f"{record.position // POSITION_STEP}-{record.position % POSITION_STEP}"
    what = {
        EPOCH: f"EPOCH {record.stream}",
        RESUME: f"RESUME({record.x})",
        CHANGES: f"T{record.x + 1}",
        WATERMARK: f"WM(w = {told_w(record.x)}, c = {record.y})",
    }.get(record.kind, "a hole")
    return f"{what} at {where}"


def told_w(w: int) -> str:
    """A watermark in words: `a+` is the contract's a + 1, above a and below the next LSN."""
    return f"{w // 2}{'+' if w % 2 else ''}"


def shown_set(mask: int) -> str:
    """A set of transactions in words."""
    return "{" + ", ".join(f"T{number + 1}" for number in range(mask.bit_length()) if mask >> number & 1) + "}"
