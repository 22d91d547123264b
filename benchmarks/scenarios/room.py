"""Point reads of fewer rows, and of more, than there is room for in memory; all rows are asked for alike."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, at_level, running_peers
from benchmarks.pgbench import Load
from benchmarks.scenarios.accounts import READ, hot_reads, make_accounts

_ROWS = (10_000, 100_000, 1_000_000)
_CLIENTS = 8
_PROTOCOL = "prepared"
_WARM_SECONDS = 25
_OFF = f"{TIDEGATE}, off"
_FORWARDING = (Target(_OFF, 0.85), Target(PGBOUNCER, 0.85))  # nothing may be slower by more than 15 %


def measure_room(run: Run) -> Iterator[Case]:
    """Measure where all rows fit into memory, where less than half of them do, and where hardly any do."""
    with running_peers(partial(make_accounts, rows=max(_ROWS))) as peers:
        for rows in _ROWS[:1] if run.quick else _ROWS:
            yield _measure(peers, run, rows)


def _measure(peers: Peers, run: Run, rows: int) -> Case:
    load = Load({f"\\set id random(1, {rows})\n{READ}": 1}, _PROTOCOL, _CLIENTS, run.seconds)
    urls = {DIRECT: peers.url(DIRECT), PGBOUNCER: peers.url(PGBOUNCER)}
    urls |= {_OFF: at_level(peers.url(TIDEGATE), "off"), TIDEGATE: peers.url(TIDEGATE)}
    peers.rate(urls[TIDEGATE], replace(load, seconds=1 if run.quick else _WARM_SECONDS))
    samples = interleaved(run.rounds, {side: partial(peers.rate, url, load) for side, url in urls.items()})
    wrong = wrong_answers(urls[DIRECT], urls[TIDEGATE], hot_reads(rows=rows), _PROTOCOL)
    facets: dict[str, str | float] = {"rows": rows, "clients": _CLIENTS}
    return Case(ROOM.name, f"{rows:,} rows", "1/s", samples, _FORWARDING, wrong, facets=facets)


ROOM = Scenario(
    "room",
    "More than there is room for",
    f"Point SELECTs a second of {_CLIENTS} clients, prepared; all rows are asked for alike, so that no part of them is "
    f"hot. Of 100,000 less than half have room in the memory of a worker (64 MiB), of 1,000,000 one in thirty, behind "
    f"{_WARM_SECONDS} s of the same reads. *Tidegate, off* forwards everything.",
    measure_room,
)
