"""Postgres: transactions commit step by step, WAL is flushed, the server crashes, somebody meddles with the slot.

A commit record is inserted; a commit that is not asynchronous waits until it is flushed; and some time later, without
limit where a synchronous standby is awaited or a transaction is prepared, the transaction becomes visible.
"""

from collections.abc import Iterator

from tests.model.scope import World
from tests.model.state import Cdc, Flight, Session, State, Step, put, spent


def steps(world: World, state: State) -> Iterator[Step]:
    """What Postgres may do next."""
    yield from _commits(world, state)
    postgres, budget = state.postgres, state.budget
    if postgres.flushed < postgres.end:
        yield "Postgres flushes its WAL", state._replace(postgres=postgres._replace(flushed=postgres.end))
    if budget.postgres_crashes:
        yield _crash(world, state)
    if budget.slot_drops and postgres.slot and not state.cdc.up:
        budget = spent(state.budget, "slot_drops")
        yield "somebody drops the slot", state._replace(budget=budget, postgres=postgres._replace(slot=0))
    if budget.slot_advances and not state.cdc.up and postgres.confirmed < postgres.flushed:
        budget = spent(state.budget, "slot_advances")
        advanced = postgres._replace(confirmed=postgres.flushed, born=postgres.flushed)
        yield f"somebody advances the slot to {postgres.flushed}", state._replace(budget=budget, postgres=advanced)


def _commits(world: World, state: State) -> Iterator[Step]:
    postgres, session = state.postgres, state.session
    for number, transaction in enumerate(world.scope.transactions):
        bit, name = 1 << number, f"T{number + 1}"
        end = postgres.ends[number]
        if not end:
            too_early = (transaction.after and not postgres.ends[transaction.after - 1]) or (
                transaction.upon and not postgres.visible >> transaction.upon - 1 & 1
            )
            if postgres.lost & bit or too_early:
                continue
            if transaction.own and (session.token == 1 or _waits(state)):
                continue  # a session does one thing at a time
            end = postgres.end + 1
            after = state._replace(postgres=postgres._replace(end=end, ends=put(postgres.ends, number, end)))
            if transaction.own:
                after = after._replace(session=session._replace(token=1))
            yield f"{name} inserts its commit record, which ends at {end}", after
        elif not postgres.visible & bit:
            if transaction.asynchronous or end <= postgres.flushed:
                after = state._replace(postgres=postgres._replace(visible=postgres.visible | bit))
                yield f"{name} becomes visible", after
        elif transaction.own and not session.acknowledged & bit:
            yield f"{name} is acknowledged to the session", _acknowledge(state, bit)


def _waits(state: State) -> bool:
    flight = state.workers[0].flight
    return isinstance(flight, Flight) and flight.joined == 1


def _acknowledge(state: State, bit: int) -> State:
    first, *others = state.workers
    if first.flight and first.flight.phase < 3:
        first = first._replace(flight=first.flight._replace(old=1))
    return state._replace(session=Session(2, state.session.acknowledged | bit), workers=(first, *others))


def _crash(world: World, state: State) -> Step:
    """A crash: what was not flushed is gone, and so are all connections."""
    postgres, budget = state.postgres, state.budget
    lost = sum(1 << number for number, end in enumerate(postgres.ends) if end > postgres.flushed)
    kept = sum(1 << number for number, end in enumerate(postgres.ends) if 0 < end <= postgres.flushed)
    recovered = postgres._replace(
        end=postgres.flushed,
        ends=tuple(0 if end > postgres.flushed else end for end in postgres.ends),
        visible=kept,
        lost=postgres.lost | lost,
        canary=postgres.canary if world.fault == "no canary" else 0,
        before_crash=0 if world.fault == "no canary" else postgres.canaries,
    )
    workers = tuple(
        worker._replace(fresh=(), probe=(), flight=() if worker.flight and worker.flight.phase == 1 else worker.flight)
        for worker in state.workers
    )
    after = state._replace(
        budget=spent(budget, "postgres_crashes"),
        postgres=recovered,
        cdc=Cdc(),
        workers=workers,
    )
    return "Postgres crashes and recovers: what was not flushed is gone, all connections break", after
