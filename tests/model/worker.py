"""A proxy's worker: follows the feed, probes the primary, misses and fills, reads from Redis.

As in `services/proxy/cache` and `services/proxy/session/lookup.py`. A hit changes nothing, so it is no step: what could
be served is looked at in every state (`properties.py`).
"""

from collections.abc import Iterator

from tests.model import bucket as scripts
from tests.model.cdc import shown_set, told_w
from tests.model.scope import World
from tests.model.state import (
    Entry,
    Flight,
    Item,
    Probe,
    Registry,
    Reply,
    Session,
    State,
    Step,
    Strong,
    Vector,
    Worker,
    put,
    spent,
)


def steps(world: World, state: State) -> Iterator[Step]:
    """What each worker may do next."""
    for number, worker in enumerate(state.workers):
        name = f"worker {number + 1}" if len(state.workers) > 1 else "the worker"
        if not worker.epoch:
            if state.bucket.epoch:
                yield (
                    f"{name} reads the bucket and follows it",
                    _with(state, number, _resynchronise(world, state, worker)),
                )
        else:
            yield from _follow(world, state, number, name)
            if world.scope.probes:
                yield from _probe(world, state, number, name)
            yield from _begin_miss(world, state, number, name)
        yield from _go_on_with_miss(world, state, number, name)
        if world.scope.stores:
            yield from _read_store(world, state, number, name)
        if world.scope.shapes:
            yield from _register(world, state, number, name)
        if world.scope.strong and number == 0:
            yield from _strong_read(world, state, name)
        if world.scope.tokens and number == 0:
            yield from _take_token(world, state)
        if state.budget.worker_crashes:
            budget = spent(state.budget, "worker_crashes")
            yield f"{name} dies and begins anew", _with(state._replace(budget=budget), number, nobody(world))


def nobody(world: World) -> Worker:
    """A worker that knows nothing."""
    scope = world.scope
    return Worker(
        positions=(0,) * scope.partitions,
        w=(0,) * scope.partitions,
        floor=(0,) * scope.partitions,
        recent=(0,) * len(scope.tags),
        entries=((),) * len(scope.queries),
        shapes=(0,) * len(scope.queries),
    )


def _with(state: State, number: int, worker: Worker) -> State:
    others = state.workers
    return state._replace(workers=(*others[:number], worker, *others[number + 1 :]))


def _drop(world: World, worker: Worker) -> Worker:
    """`Follower.drop`: nothing is kept but what is under way."""
    empty = nobody(world)
    floor = worker.floor if world.fault == "resync without a floor" else empty.floor
    return empty._replace(
        floor=floor,
        flight=worker.flight,
        reply=worker.reply,
        strong=worker.strong._replace(phase=1) if worker.strong and worker.strong.phase == 2 else worker.strong,
    )


def _resynchronise(world: World, state: State, worker: Worker) -> Worker:
    bucket = state.bucket
    known = sum(1 << query for query, matched in enumerate(bucket.shapes) if matched)
    return worker._replace(
        epoch=bucket.epoch,
        stream=bucket.stream,
        positions=bucket.positions,
        w=bucket.w,
        floor=worker.floor if world.fault == "resync without a floor" else bucket.positions,
        shapes=tuple(max(matched, bucket.positions[0] + 1) if matched else 0 for matched in bucket.shapes),
        registries=((bucket.version, known),) if world.scope.shapes else (),
        highest=bucket.counted,
    )


def _follow(world: World, state: State, number: int, name: str) -> Iterator[Step]:
    """Take the next item of the feed of each partition; where there is none, compare with the bucket."""
    worker, bucket = state.workers[number], state.bucket
    found = False
    for partition, feed in enumerate(bucket.feeds):
        item = next((item for item in feed if item.position > worker.positions[partition]), None)
        if item is None:
            continue
        found = True
        what, after = _apply(world, state, worker, partition, item)
        yield f"{name} takes the feed's item of partition {partition}: {what}", _with(state, number, after)
    if found:
        return
    if bucket.epoch != worker.epoch or any(map(int.__lt__, bucket.positions, worker.positions)):
        yield f"{name} finds the bucket elsewhere and drops everything", _with(state, number, _drop(world, worker))


def _apply(world: World, state: State, worker: Worker, partition: int, item: Item) -> tuple[str, Worker]:
    if item.epoch != worker.epoch:
        return "another epoch, dropped", _drop(world, worker)
    if item.prev != worker.positions[partition] and world.fault != "feed gap unnoticed":
        return "a gap, dropped", _drop(world, worker)
    if world.scope.shapes and item.version != worker.complete and world.fault != "registration lost":
        checked = _check_registry(world, state, worker, item)
        if checked is None:
            return "a registration is lost, dropped", _drop(world, worker)
        worker = checked
    words = "nothing"
    if item.tags:
        worker, words = _evict(world, worker, partition, item), "an eviction"
    highest = max(worker.highest, item.stamp) if world.fault in _STAMPED else 0
    worker = worker._replace(positions=put(worker.positions, partition, item.position), highest=highest)
    if item.w:
        words = f"w = {told_w(item.w)}"
        worker = settled(world, worker._replace(w=put(worker.w, partition, item.w)))
    return words, worker


_STAMPED = ("LSN instead of position", "positions counted in Redis")


def _evict(world: World, worker: Worker, partition: int, item: Item) -> Worker:
    entries, recent = worker.entries, worker.recent
    for tag in range(item.tags.bit_length()):
        if item.tags >> tag & 1:
            recent = put(recent, tag, item.stamp)
    entries = tuple(
        () if entry and item.tags & tags and entry.at[partition] < item.stamp else entry
        for entry, tags in zip(entries, world.scope.queries, strict=True)
    )
    return worker._replace(entries=entries, recent=recent)


def settled(world: World, worker: Worker) -> Worker:
    """See whether the probe is covered by the watermark now."""
    probe = worker.probe
    if not probe:
        return worker
    w = min(worker.w)
    if 2 * probe.lsn < w or (world.fault == "L <= w" and 2 * probe.lsn <= w):
        strong = worker.strong
        if strong and strong.phase == 2:
            strong = strong._replace(phase=3)
        return worker._replace(fresh=probe._replace(lsn=0), probe=(), strong=strong)
    return worker


def _probe(world: World, state: State, number: int, name: str) -> Iterator[Step]:
    """A probe of the primary. One that says nothing new is left out, and so is all but the newest."""
    worker, postgres, session = state.workers[number], state.postgres, state.session
    if postgres.canary != worker.stream or 2 * postgres.end + 1 < min(worker.w):
        if worker.fresh or worker.probe:
            yield f"{name} probes, and finds another history", _with(state, number, worker._replace(fresh=(), probe=()))
        return
    probe = Probe(postgres.visible, postgres.lost, postgres.end)
    wanted = (number == 0 and session.token == 2) or (worker.strong and worker.strong.phase == 1)
    if worker.probe == probe and not wanted:
        return
    if worker.fresh and worker.fresh[:2] == probe[:2] and not wanted:
        return
    strong = worker.strong
    if strong and strong.phase == 1:
        strong = strong._replace(phase=2)
    after = _with(state, number, settled(world, worker._replace(probe=probe, strong=strong)))
    if number == 0 and session.token == 2:
        after = after._replace(session=session._replace(token=3))
    yield f"{name} probes: L = {probe.lsn}, {shown_set(probe.visible)} visible", after


def _begin_miss(world: World, state: State, number: int, name: str) -> Iterator[Step]:
    """Note where the worker stands, and send the query, on a connection that shows the history."""
    worker = state.workers[number]
    if worker.flight or not min(worker.w) or worker.stream <= state.postgres.before_crash or not state.budget.misses:
        return
    q0 = (worker.highest,) * world.scope.partitions if world.fault in _STAMPED else worker.positions
    for query in range(len(world.scope.queries)):
        flight = Flight(query, q0, worker.epoch, 1)
        after = _with(state._replace(budget=spent(state.budget, "misses")), number, worker._replace(flight=flight))
        yield f"{name} misses query {query + 1} and sends it", after


def _go_on_with_miss(world: World, state: State, number: int, name: str) -> Iterator[Step]:
    worker = state.workers[number]
    flight = worker.flight
    if not flight:
        return
    query = flight.query
    if flight.phase == 1:
        value = state.postgres.visible & world.scope.changed[query]
        answered = worker._replace(flight=flight._replace(phase=2, value=value))
        yield f"Postgres answers {name}'s query with {shown_set(value)}", _with(state, number, answered)
    if number == 0 and _may_join(world, state, flight):
        joined = worker._replace(flight=flight._replace(joined=1))
        yield "the session joins the flight", _with(state, number, joined)
    if flight.phase == 2:
        entry = Entry(flight.q0, flight.value)
        kept = _insert(world, worker, query, entry, flight.epoch)
        if kept is None:
            yield f"{name} may not keep the answer", _with(state, number, worker._replace(flight=()))
            return
        after = flight._replace(phase=3, old=0, joined=0) if world.scope.stores else ()
        yield f"{name} keeps the answer", _with(state, number, kept._replace(flight=after))
    elif flight.phase == 3:
        filled = scripts.fill(world, state.bucket, flight.epoch, query, Entry(flight.q0, flight.value))
        what = "takes" if filled is not state.bucket else "refuses"
        after_fill = _with(state, number, worker._replace(flight=()))
        yield f"Redis {what} {name}'s answer", after_fill._replace(bucket=filled)


def _take_token(world: World, state: State) -> Iterator[Step]:
    """The session is handed a token: what was visible when it was shown has to be seen (`Lookup.take_token`)."""
    postgres, session, first = state.postgres, state.session, state.workers[0]
    seen = session.acknowledged | postgres.visible
    waits = isinstance(first.flight, Flight) and first.flight.joined
    if seen == session.acknowledged or session.token == 1 or waits:
        return
    covered = bool(first.epoch) and postgres.canary == first.stream and 2 * postgres.end < min(first.w)
    if first.flight and first.flight.phase < 3 and not (covered and world.fault == "covered token, old flight joined"):
        state = _with(state, 0, first._replace(flight=first.flight._replace(old=1)))
    token = session.token if covered else 2
    yield "the session is handed a token for all that is visible", state._replace(session=Session(token, seen))


def _may_join(world: World, state: State, flight: Flight) -> bool:
    """Tell whether the session may join: only what was sent after its own last write was acknowledged."""
    open_to_it = world.scope.joins and flight.phase < 3 and not flight.joined and state.session.token != 1
    return open_to_it and (not flight.old or world.fault == "old flight joined")


def _insert(world: World, worker: Worker, query: int, entry: Entry, epoch: int) -> Worker | None:
    """`CachedDatabase._insert`: the rule of validity, by what the worker itself has heard."""
    if not worker.epoch or worker.epoch != epoch:
        return None
    if world.fault == "insert at the position of the insertion":
        entry = entry._replace(at=worker.positions)
    if world.scope.shapes and not 0 < worker.shapes[query] <= entry.at[0] + 1:
        return None
    if world.fault != "insert below the floor" and any(map(int.__lt__, entry.at, worker.floor)):
        return None
    if world.fault != "no check at an insert":
        for tag in world.scope.query_tags[query]:
            if worker.recent[tag] > entry.at[world.scope.tags[tag]]:
                return None
    entries = (*worker.entries[:query], entry, *worker.entries[query + 1 :])
    return worker._replace(entries=entries)


def _read_store(world: World, state: State, number: int, name: str) -> Iterator[Step]:
    """Ask Redis for an answer, and take it when the reply comes, at the bucket's positions in it."""
    worker, bucket = state.workers[number], state.bucket
    reply = worker.reply
    if not reply:
        if not worker.epoch or not worker.fresh:
            return
        for query in range(len(world.scope.queries)):
            entry = scripts.read(world, bucket, query)
            if entry and not worker.entries[query]:
                at: Vector = bucket.positions
                if world.fault in _STAMPED:
                    at = (max(bucket.newer + bucket.older),) * world.scope.partitions
                found = Reply(query, bucket.epoch, at, entry.value, bucket.shapes[query], min(bucket.w))
                yield f"{name} reads query {query + 1} from Redis", _with(state, number, worker._replace(reply=found))
        return
    worker = worker._replace(reply=())
    kept = _insert(world, worker, reply.query, Entry(reply.positions, reply.value), reply.epoch)
    if kept is not None and world.fault == "watermark from a READ's reply":
        kept = settled(world, kept._replace(w=tuple(max(mine, reply.w) for mine in kept.w)))
    what = f"serves Redis's answer {shown_set(reply.value)} and keeps it" if kept else "may not use Redis's answer"
    yield f"{name} {what}", _with(state, number, kept or worker)


def _register(world: World, state: State, number: int, name: str) -> Iterator[Step]:
    """Have a shape matched from now on; the reply comes later (`Follower.register`)."""
    worker, bucket = state.workers[number], state.bucket
    if worker.learning:
        learned = _learn(worker, worker.learning) if worker.epoch == worker.learning.epoch else worker
        yield f"{name} learns of the registered shapes", _with(state, number, learned._replace(learning=()))
    elif worker.epoch and worker.epoch == bucket.epoch:
        for query, matched in enumerate(worker.shapes):
            if matched:
                continue
            after = scripts.register(world, state, query)
            learning = Registry(after.bucket.epoch, after.bucket.version, after.bucket.shapes)
            what = f"{name} registers the shape of query {query + 1}: version {learning.version}"
            yield what, _with(after, number, worker._replace(learning=learning))


def _learn(worker: Worker, registry: Registry) -> Worker:
    known = sum(1 << query for query, matched in enumerate(registry.shapes) if matched)
    registries = tuple(sorted({**dict(worker.registries), registry.version: known}.items()))
    shapes = tuple(
        mine or (max(theirs, worker.positions[0] + 1) if theirs else 0)
        for mine, theirs in zip(worker.shapes, registry.shapes, strict=True)
    )
    complete = worker.complete if shapes == worker.shapes else 0
    return worker._replace(registries=registries, shapes=shapes, complete=complete)


def _check_registry(world: World, state: State, worker: Worker, item: Item) -> Worker | None:
    """`Follower._check_registry`; None: something is lost."""
    known = dict(worker.registries)
    if item.version not in known:
        bucket = state.bucket
        if bucket.version != item.version or bucket.epoch != worker.epoch:
            return None
        worker = _learn(worker, Registry(bucket.epoch, bucket.version, bucket.shapes))
        known = dict(worker.registries)
    held, complete = known[item.version], True
    for query, matched in enumerate(worker.shapes):
        if matched and not held >> query & 1:
            complete = False
            if matched - 1 < item.position:
                return None
    return worker._replace(complete=item.version) if complete else worker


def _strong_read(world: World, state: State, name: str) -> Iterator[Step]:
    worker = state.workers[0]
    if worker.strong:
        return
    early = 0
    if world.fault == "strong looks up first":
        entry = worker.entries[0]
        if not entry or not worker.epoch:
            return
        early = entry.value + 1
    strong = Strong(1, state.postgres.visible, state.postgres.lost, early)
    yield f"a strong read arrives at {name}", _with(state, 0, worker._replace(strong=strong))
