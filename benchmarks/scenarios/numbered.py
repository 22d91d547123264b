"""A pool whose driver numbers its statements, beside one in which they have the same names everywhere."""

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.numbered_names import Pool, read, setup_statements
from benchmarks.peers import run_sql, running_peers

_CONNECTIONS = 64
_STATEMENTS = (20, 120)
_SAME = f"{TIDEGATE}, the same names"
_AS_QUICK = 0.85  # as the same names, or all but


def measure_numbered(run: Run) -> Iterator[Case]:
    """Measure with few and with many statements."""
    with running_peers(lambda url: run_sql(url, *setup_statements(max(_STATEMENTS)))) as peers:
        for statements in _STATEMENTS[:1] if run.quick else _STATEMENTS:
            wrong: list[int] = []

            def rate(side: str, *, in_one_order: bool, count: int = statements, found: list[int] = wrong) -> float:
                reads = read(peers.url(side), Pool(_CONNECTIONS, count, in_one_order, run.seconds))
                found.append(reads.wrong)
                return reads.rate

            sides: dict[str, Callable[[], float]] = {
                side: partial(rate, side, in_one_order=False) for side in (DIRECT, PGBOUNCER)
            }
            sides[_SAME] = partial(rate, TIDEGATE, in_one_order=True)
            sides[TIDEGATE] = partial(rate, TIDEGATE, in_one_order=False)
            samples = interleaved(run.rounds, sides)
            facets: dict[str, str | float] = {"statements": statements, "clients": _CONNECTIONS}
            targets = (Target(_SAME, _AS_QUICK), Target(PGBOUNCER, _AS_QUICK))
            yield Case(NUMBERED.name, f"{statements} statements", "1/s", samples, targets, sum(wrong), facets=facets)


NUMBERED = Scenario(
    "numbered",
    "Statements that a driver numbers",
    f"Point SELECTs a second of a pool of {_CONNECTIONS} connections from one process, hits. Each connection prepares "
    "the same statements in an order of its own and numbers them, as drivers do, so that a statement has another name "
    "in each; beside it, all in one order, so that names mean the same everywhere. Each answer is checked.",
    measure_numbered,
)
