"""Steps go out in order, many in one script, and not too many."""

from itertools import chain

from services.shared.keyspace.steps import MOST_STEPS, Evict, Milestone, MoveWatermark, Step, script_calls
from services.shared.lsn import Lsn
from services.shared.position import Position

LONG = tuple(f"1663:[1663,id]:{number}" for number in range(4_000))


def milestone(k: int) -> Milestone:
    return Milestone(0, Position(Lsn(8), k), Position(Lsn(8), k + 1), f"8-{k + 1}")


def taken(steps: list[Step]) -> list[int]:
    """How many steps each call takes; all are taken, in order, whole."""
    calls = list(script_calls(steps))
    whole = [[step.what, *step.at.arguments, *step.arguments] for step in steps]
    assert list(chain.from_iterable(calls)) == list(chain.from_iterable(whole))
    counts, rest = [], iter(whole)
    for call in calls:
        size, count = 0, 0
        while size < len(call):
            size, count = size + len(next(rest)), count + 1
        assert size == len(call)  # no step is cut
        counts.append(count)
    return counts


def test_no_steps_are_no_call() -> None:
    assert taken([]) == []


def test_as_many_go_out_together_as_may() -> None:
    steps: list[Step] = [MoveWatermark(milestone(k), Lsn(16), Lsn(16)) for k in range(2 * MOST_STEPS + 1)]
    assert taken(steps) == [MOST_STEPS, MOST_STEPS, 1]


def test_a_long_one_goes_out_by_itself() -> None:
    short: list[Step] = [MoveWatermark(milestone(k), Lsn(16), Lsn(16)) for k in range(2)]
    long = Evict(milestone(2), "v", LONG, (), Lsn(8))
    assert taken([short[0], long, long, short[1]]) == [1, 1, 1, 1]
