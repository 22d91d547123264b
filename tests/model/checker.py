"""Visits every state of a world, breadth first, until one is wrong: so what is found is as short as it can be.

Of a state that was visited only its hash is kept, 64 bits of it, with that of the state before it; a trace is played
again from the beginning. That two states share a hash, and one of them is missed, has a chance of about n²/2^65: below
one in a million for five million states.
"""

import time
from dataclasses import dataclass, field

from tests.model.properties import violation
from tests.model.scope import World
from tests.model.state import State
from tests.model.steps import begin, next_steps


@dataclass
class Result:
    """What came of a search.

    Attributes:
        wrong: What was violated; empty: nothing.
        trace: The steps that lead to it.
        states: How many were visited.
        transitions: How many steps were looked at.
        depth: Of the deepest state.
        seconds: Time of a processor that it took; the wall is of no use where others work too.
        exhausted: Nothing was left to visit.
        hits: After what something could be served: by name, from the budget.
    """

    wrong: str = ""
    trace: list[str] = field(default_factory=list)
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    exhausted: bool = False
    hits: set[str] = field(default_factory=set)


def search(world: World, limit: int | None = None) -> Result:
    """Visit the states of a world."""
    started = time.process_time()
    limit = world.scope.limit if limit is None else limit
    result = Result()
    _, start = begin(world)
    frontier, before = [start], {hash(start): 0}
    while frontier and not result.wrong and len(before) < limit:
        frontier = _next_layer(world, frontier, before, result)
        result.depth += bool(frontier)
    result.states, result.exhausted = len(before), not frontier and not result.wrong
    result.seconds = time.process_time() - started
    return result


def _next_layer(world: World, frontier: list[State], before: dict[int, int], result: Result) -> list[State]:
    found: list[State] = []
    for state in frontier:
        here = hash(state)
        for _, after in next_steps(world, state):
            result.transitions += 1
            there = hash(after)
            if there in before:
                continue
            before[there] = here
            wrong = violation(world, after)
            if wrong:
                result.wrong, result.trace = wrong, _trace(world, before, there)
                return []
            _note_hit(world, after, result)
            found.append(after)
    return found


def _trace(world: World, before: dict[int, int], last: int) -> list[str]:
    """Play the way to a state again."""
    way = [last]
    while before[way[-1]]:
        way.append(before[way[-1]])
    labels, state = begin(world)
    for wanted in way[-2::-1]:
        label, state = next(step for step in next_steps(world, state) if hash(step[1]) == wanted)
        labels.append(label)
    return labels


def _note_hit(world: World, state: State, result: Result) -> None:
    """Remember that something could be served, and after which losses: else nothing would prove nothing."""
    for worker in state.workers:
        if worker.epoch and worker.fresh:
            for entry in worker.entries:
                if entry:
                    result.hits.add("hit")
                    if worker.fresh.visible and entry.value:
                        result.hits.add("hit that shows a change")
                    for name, left, most in zip(state.budget._fields, state.budget, world.scope.budget, strict=True):
                        if left < most:
                            result.hits.add(name)
