"""Caches that are played on paper. Pure: on the trace's own clock.

Of each read of the trace the right answer at that moment is known, so what a cache would say, and whether that was
right, follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.shop.statements import Statement
from benchmarks.shop.trace import Trace


@dataclass(frozen=True, slots=True)
class OnPaper:
    """What a cache did with each operation of a trace.

    Attributes:
        hits: Indices of the reads that it answered.
        stale: Those of them whose answer was not the right one any more.
    """

    hits: frozenset[int]
    stale: frozenset[int]


def play_ttl(trace: Trace, right: Sequence[bytes | None], ttl_seconds: float) -> OnPaper:
    """Play a trace to a cache that keeps every answer for so many seconds, whatever is written meanwhile.

    Args:
        trace: The operations.
        right: Of each read what Postgres says at that moment.
        ttl_seconds: How long an answer is kept.
    """
    kept: dict[Statement, tuple[float, bytes | None]] = {}
    hits: set[int] = set()
    stale: set[int] = set()
    for index, operation in enumerate(trace.operations):
        if operation.is_write:
            continue
        now, asked = trace.due(index), operation.statements[0]
        found = kept.get(asked)
        if found is None or now >= found[0]:
            kept[asked] = (now + ttl_seconds, right[index])
            continue
        hits.add(index)
        if found[1] != right[index]:
            stale.add(index)
    return OnPaper(frozenset(hits), frozenset(stale))


def play_perfect(trace: Trace, right: Sequence[bytes | None]) -> OnPaper:
    """Play a trace to a cache that has room for everything, and at each read knows whether its answer is still right.

    No cache that is never stale can have more hits.
    """
    kept: dict[Statement, bytes | None] = {}
    hits: set[int] = set()
    for index, operation in enumerate(trace.operations):
        if operation.is_write:
            continue
        (asked,) = operation.statements
        if asked in kept and kept[asked] == right[index]:
            hits.add(index)
        kept[asked] = right[index]
    return OnPaper(frozenset(hits), frozenset())
