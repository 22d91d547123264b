"""benchmarks/CHAOS.md: one row for each fault that was played on the code as it is; `python -m tests.chaos.report`."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos.ledger import in_order, ledger_of_code, row_key
from tests.chaos.play import Outcome
from tests.chaos.stack import MAX_STALENESS_SECONDS
from tests.chaos.test_bites import BITES
from tests.chaos.test_faults import FAULTS

PATH = Path(__file__).parents[2] / "benchmarks" / "CHAOS.md"

_INTRODUCTION = """# Faults, and what clients saw

Written by `make chaos` ({date}). Each row: a fault on a running stack (every part a process of its own, every way
between two parts through a relay that can cut it), with clients that write directly and through the proxy and readers
whose every answer is checked: its version must have been current at some instant from {bound:g} s before it was asked
for until its end, and no session may miss its own writes. When all is quiet, every cached entry, in the proxy and in
Redis, is compared with a fresh SELECT: *lost* counts those that differ, which would stay wrong.

*Bypass* is the longest time without any answer from the cache, the time in which a part is dead or stopped included;
*recovery* is from the moment at which the last part was started again, or continued, to when reads are hits again.
*Stale* (answers older than the bound), *otherwise wrong* and *lost* have to be 0. Where the schema or a right is
changed, the bound is the same if event triggers tell of it, else three times `catalog_poll` (1 s).

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


_MISSING = """
## Not played since the services were changed

"""


def render(
    rows: Sequence[Outcome], bites: Mapping[str, Outcome], bound: float, date: dt.date, missing: Sequence[str] = ()
) -> str:
    """Return the whole document.

    Args:
        rows: What was played on a sound stack.
        bites: What was played on a broken one, by the broken cache.
        bound: Δ, in seconds.
        date: When.
        missing: What was not played on this code.
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
    if missing:
        text += _MISSING + "".join(f"- {name}\n" for name in missing)
    return text


def write() -> None:
    """Write what the ledger holds, in the order of the suite."""
    ledger = ledger_of_code()
    faults = [row_key(fault.name, "Kafka" if fault.plan.kafka else "Redis") for fault in FAULTS]
    broken = [bite.name for bite in BITES]
    rows, bites = in_order(ledger.rows, faults), in_order(ledger.bites, broken)
    missing = [name for name in faults if name not in rows] + [name for name in broken if name not in bites]
    today = dt.datetime.now(dt.UTC).date()
    text = render(list(rows.values()), bites, MAX_STALENESS_SECONDS, today, missing)
    PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
