"""Which states of the database may a read's answer be of?"""

from benchmarks.shop.player import Played
from benchmarks.shop.staleness import allowed_states
from benchmarks.shop.statements import statement
from benchmarks.shop.trace import Operation, Trace


def read(session: int) -> Operation:
    return Operation("product", session, (statement("SELECT"),), False)


def write(session: int) -> Operation:
    return Operation("stock", session, (statement("UPDATE"),), True)


def allowed(*operations: Operation, max_staleness_seconds: float = 1.0) -> range:
    """Play an operation each second, each of which takes a tenth, and ask about the last."""
    times = [float(number) for number in range(len(operations))]
    played = Played([], times, [time + 0.1 for time in times])
    return allowed_states(Trace(operations, 1), played, len(operations) - 1, max_staleness_seconds)


def test_without_a_write_there_is_one_state() -> None:
    assert list(allowed(read(0), read(0))) == [0]


def test_states_that_were_current_within_the_bound_are_allowed() -> None:
    # The state before the second write ended at 2.1 s, within a second before 3 s; the one before the first, at 1.1 s.
    assert list(allowed(read(0), write(1), write(1), read(0))) == [1, 2]
    assert list(allowed(read(0), write(1), write(1), read(0), max_staleness_seconds=2.0)) == [0, 1, 2]


def test_own_writes_are_seen() -> None:
    assert list(allowed(write(1), write(0), write(1), read(0), max_staleness_seconds=60.0)) == [2, 3]
    assert list(allowed(write(1), write(1), write(0), read(0), max_staleness_seconds=60.0)) == [3]
