"""Whether reads through a cache are as new as their level promises, asked while the load runs.

Each check has a row of its own, which nobody else writes: so what it must show is known.
"""

import time
from collections import deque
from collections.abc import Callable

import psycopg

_PAUSE_SECONDS = 0.005  # the checks are to see, and not to be the load


def own_writes_missed(url: str, write: str, read: str, row: int, done: Callable[[], bool]) -> int:
    """Count reads that do not show what the same session had written just before.

    Args:
        url: Through the cache, at a level that promises it.
        write: Takes a number and the row.
        read: Takes the row, and shows the number.
        row: Whose number it is.
        done: Whether it is enough; at least one write is checked.
    """
    missed = number = 0
    with psycopg.connect(url, autocommit=True) as session:
        while not number or not done():
            number += 1
            session.execute(write.encode(), (number, row))
            # The first of them may fill the cache, the second may come from it.
            missed += sum(session.execute(read.encode(), (row,)).fetchone() != (number,) for _ in range(2))
            time.sleep(_PAUSE_SECONDS)
    return missed


def old_reads(
    direct_url: str, cached_url: str, write: str, read: str, row: int, bound_seconds: float, done: Callable[[], bool]
) -> int:
    """Count reads that show less than what had been written, around the cache, a bound of time before they were sent.

    Args:
        direct_url: Where is written.
        cached_url: Where is read.
        write: Takes a number and the row.
        read: Takes the row, and shows the number.
        row: Whose number it is.
        bound_seconds: How old an answer may be.
        done: Whether it is enough.
    """
    old = number = due = 0
    written: deque[tuple[float, int]] = deque()
    with psycopg.connect(direct_url, autocommit=True) as writer, psycopg.connect(cached_url, autocommit=True) as reader:
        while not number or not done():
            number += 1
            writer.execute(write.encode(), (number, row))
            written.append((time.monotonic(), number))
            while written[0][0] < time.monotonic() - bound_seconds:
                due = written.popleft()[1]
            shown = reader.execute(read.encode(), (row,)).fetchone()
            old += shown is None or not due <= shown[0] <= number
            time.sleep(_PAUSE_SECONDS)
    return old
