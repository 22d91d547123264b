"""A history of one thing that is in one state after another, and what was seen of it. Pure.

For what no version in a row can tell: a definition, a right. One client changes the state, step by step; a state may
come again. What is seen has to be a state that can have held at some instant from the bound before it was asked for
until the answer came.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.history import NEVER


@dataclass(frozen=True, slots=True)
class State:
    """A state, and when the change to it was sent and acknowledged."""

    shows: str
    sent: float
    acknowledged: float


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody saw, and when it was asked for and answered."""

    shows: str
    begin: float
    end: float


def wrong_sights(states: Sequence[State], sights: Sequence[Sight], bound: float) -> list[str]:
    """Describe what was seen and cannot have held.

    Args:
        states: In their order.
        sights: In any order.
        bound: In seconds.
    """
    ends = [*(state.acknowledged for state in states[1:]), NEVER]
    held = list(zip(states, ends, strict=True))
    return [
        f"{sight.shows!r} was shown at {sight.begin:.3f}…{sight.end:.3f}, {_last_held(held, sight)}"
        for sight in sights
        if not any(
            state.shows == sight.shows and state.sent <= sight.end and until >= sight.begin - bound
            for state, until in held
        )
    ]


def _last_held(held: Sequence[tuple[State, float]], sight: Sight) -> str:
    ages = [sight.begin - until for state, until in held if state.shows == sight.shows and state.sent <= sight.end]
    return f"{min(ages):.3f} s after it had ceased to be so" if ages else "and never was so before"
