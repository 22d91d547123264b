"""All that may happen next, and the form in which states are compared.

What nobody will ever look at is taken away, and workers or invalidators that can be exchanged are put in order: fewer
states, the same behaviours.
"""

from collections.abc import Iterator

from tests.model import bucket, cdc, invalidator, postgres, worker
from tests.model.beginning import first_state
from tests.model.scope import World
from tests.model.state import State, Step

_ACTORS = (postgres.steps, cdc.steps, invalidator.steps, worker.steps, bucket.steps)


def next_steps(world: World, state: State) -> Iterator[Step]:
    """Everything that may happen in a state, with what comes of it."""
    for actor in _ACTORS:
        for label, after in actor(world, state):
            yield label, canonical(world, after)


def begin(world: World) -> tuple[list[str], State]:
    """Return the state in which a world begins, and what has happened before."""
    state, labels = canonical(world, first_state(world)), []
    for beginning in world.scope.prelude:
        label, state = next(step for step in next_steps(world, state) if step[0].startswith(beginning))
        labels.append(label)
    return labels, state


def canonical(world: World, state: State) -> State:
    """Return the form of a state in which it is compared with others."""
    scope = world.scope
    state = _settle_probes(state)
    feeds = state.bucket.feeds
    if any(feeds):
        needed = tuple(
            tuple(
                item
                for item in feed
                if any(each.epoch and item.position > each.positions[partition] for each in state.workers)
            )
            for partition, feed in enumerate(feeds)
        )
        if needed != feeds:
            state = state._replace(bucket=state.bucket._replace(feeds=needed))
    if scope.workers > 1 and not scope.strong and not any(each.own for each in scope.transactions):
        state = state._replace(workers=tuple(sorted(state.workers)))
    if scope.invalidators > 1:
        state = state._replace(invalidators=tuple(sorted(state.invalidators)))
    return state


def _settle_probes(state: State) -> State:
    """A token, or a strong read, whose probe is covered is settled; one whose probe is lost waits for another."""
    first, session = state.workers[0], state.session
    if session.token == 3 and not first.probe:
        state = state._replace(session=session._replace(token=0 if first.fresh else 2))
    if first.strong and first.strong.phase == 2 and not first.probe:
        again = first._replace(strong=first.strong._replace(phase=1))
        state = state._replace(workers=(again, *state.workers[1:]))
    return state
