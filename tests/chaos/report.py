"""benchmarks/CHAOS.md: one row for each fault that was played. Pure, but for `write`."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos.play import Outcome

PATH = Path(__file__).parents[2] / "benchmarks" / "CHAOS.md"

_INTRODUCTION = """# Faults, and what clients saw

Written by `make chaos` ({date}). Each row: a fault on a running stack (every part a process of its own, every way
between two parts through a relay that can cut it), with clients that write directly and through the proxy and readers
whose every answer is checked: its version must have been current at some instant from {bound:g} s before it was asked
for until its end, and no session may miss its own writes. When all is quiet, every cached entry, in the proxy and in
Redis, is compared with a fresh SELECT: *lost* counts those that differ, which would stay wrong.

*Bypass* is the longest time without any answer from the cache, the time in which a part is dead or stopped included;
*recovery* is from the moment at which the last part was started again, or continued, to when reads are hits again.
*Stale* (answers older than the bound), *otherwise wrong* and *lost* have to be 0.

"""

_HEADER = """| fault | log | reads checked | hits | stale | otherwise wrong | lost | bypass, s | recovery, s | |
|---|---|---|---|---|---|---|---|---|---|
"""

_BITES = """
## Caches that are broken on purpose

The same checks, on services with a deliberate fault (`tests/chaos/broken.py`): each has to be found.

| deliberate fault | played | reads checked | stale | otherwise wrong | lost |
|---|---|---|---|---|---|
"""


def render(rows: Sequence[Outcome], bites: Mapping[str, Outcome], bound: float, date: dt.date) -> str:
    """Return the whole document.

    Args:
        rows: What was played on a sound stack.
        bites: What was played on a broken one, by the deliberate fault.
        bound: Δ, in seconds.
        date: When.
    """
    text = _INTRODUCTION.format(date=date, bound=bound) + _HEADER
    for row in rows:
        text += (
            f"| {row.fault} | {row.log} | {row.reads:,} | {row.hits:,} | {row.stale} | {row.wrong} | {row.lost} "
            f"| {row.bypass_seconds:.1f} | {row.recovery_seconds:.1f} | {'; '.join(row.remarks)} |\n"
        )
    if bites:
        text += _BITES
        for fault, row in bites.items():
            text += f"| {fault} | {row.fault} | {row.reads:,} | {row.stale} | {row.wrong} | {row.lost} |\n"
    return text


def write(rows: Sequence[Outcome], bites: Mapping[str, Outcome], bound: float) -> None:
    """Write it."""
    PATH.write_text(render(rows, bites, bound, dt.datetime.now(dt.UTC).date()), encoding="utf-8")
