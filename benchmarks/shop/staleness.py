"""Was an answer that was not the newest one within what the level `session` promises? Consistency contract, section 1.

A cached read is current at some instant between `max_staleness` before its beginning and its end, and sees every write
that its own session has had acknowledged. Operations come one after the other, so the states of the database are
numbered by the writes before them: each read has a range of states whose answers it may give. To compare, the writes
are played once more to a fresh copy, and each answer in question is asked for in the states of its range.
"""

from collections.abc import Sequence

from benchmarks.shop.player import Played, Player
from benchmarks.shop.trace import Trace


def allowed_states(trace: Trace, played: Played, index: int, max_staleness_seconds: float) -> range:
    """Return the states whose answers a read may give: state n is that behind n writes. Pure.

    Args:
        trace: The operations.
        played: When each of them began and ended.
        index: The read.
        max_staleness_seconds: How old a state may be: since when it has not been the current one.
    """
    oldest_instant = played.began[index] - max_staleness_seconds
    session = trace.operations[index].session
    newest = sum(operation.is_write for operation in trace.operations[:index])
    oldest = newest
    for earlier in range(index - 1, -1, -1):
        operation = trace.operations[earlier]
        if not operation.is_write:
            continue
        # The state before this write ended when the write became visible: at the latest when it was acknowledged.
        if operation.session == session or played.ended[earlier] < oldest_instant:
            break
        oldest -= 1
    return range(oldest, newest + 1)


def wrong_answers(
    fresh_url: str, trace: Trace, played: Played, right: Sequence[bytes | None], max_staleness_seconds: float
) -> tuple[frozenset[int], frozenset[int]]:
    """Return the reads whose answer was not the newest, and those of them whose answer was not allowed.

    Args:
        fresh_url: A copy of the database as it was at the beginning, of one's own.
        trace: The operations.
        played: What was answered.
        right: What Postgres says to each read at that moment.
        max_staleness_seconds: The bound.
    """
    stale = {index for index, answer in enumerate(played.answers) if answer != right[index]}
    open_at: dict[int, list[int]] = {}
    for index in stale:
        for state in allowed_states(trace, played, index, max_staleness_seconds):
            open_at.setdefault(state, []).append(index)
    unexplained = set(stale)
    if not stale:
        return frozenset(), frozenset()
    last_state = max(open_at)
    with Player(fresh_url) as player:
        state = 0
        for operation in (None, *(one for one in trace.operations if one.is_write)):
            if operation is not None:
                player.do(operation)
                state += 1
            for index in open_at.get(state, ()):
                if index in unexplained and player.do(trace.operations[index]) == played.answers[index]:
                    unexplained.remove(index)
            if state == last_state or not unexplained:
                break
    return frozenset(stale), frozenset(unexplained)
