"""One worker and two: hits a second, and the processor time of the workers for each, which is what grows with machines.

Both run all the time, in front of a Postgres each, so that rounds can be interleaved. On a machine with two processors
the load has one of them to itself, so a second worker has nothing to run on.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

import psutil

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, TIDEGATE, Case, Run, Scenario, interleaved
from benchmarks.peers import Peers, processors, running_peers
from benchmarks.pgbench import Load
from benchmarks.scenarios.accounts import HOT_READ, HOT_ROWS, hot_reads, make_accounts
from tests.servers.stack import RunningStack

_WORKERS: Mapping[int, str] = {1: "1 worker", 2: "2 workers"}
_CLIENTS = 32
_THREADS = 2  # of pgbench: one alone could be what limits two workers


def measure_workers(run: Run) -> Iterator[Case]:
    """Measure both, by protocol."""
    with ExitStack() as opened:
        peers = {
            name: opened.enter_context(running_peers(partial(make_accounts, rows=HOT_ROWS), workers=workers))
            for workers, name in _WORKERS.items()
        }
        for protocol in ("simple",) if run.quick else ("simple", "prepared"):
            yield _measure(peers, run, protocol)


def _measure(peers: Mapping[str, Peers], run: Run, protocol: str) -> Case:
    microseconds: dict[str, list[float]] = {name: [] for name in peers}
    load = Load(HOT_READ, protocol, _CLIENTS, run.seconds, threads=_THREADS)
    for each in peers.values():
        each.warm(load)
    found = interleaved(run.rounds, {name: _clocked(each, load, microseconds[name]) for name, each in peers.items()})
    wrong = sum(wrong_answers(one.url(DIRECT), one.url(TIDEGATE), hot_reads(), protocol) for one in peers.values())
    costs = {f"µs of a processor a hit, {name}": f"{min(costs):.1f}" for name, costs in microseconds.items()}
    facets: dict[str, str | float] = {"protocol": protocol, "clients": _CLIENTS}
    return Case("workers", f"{protocol}, {_CLIENTS} clients", "1/s", found, (), wrong, costs, facets)


def _clocked(peers: Peers, load: Load, microseconds: list[float]) -> Callable[[], float]:
    def measure() -> float:
        before = _processor_seconds(peers.stack)
        rate = peers.rate(peers.url(TIDEGATE), load)
        used = _processor_seconds(peers.stack) - before
        microseconds.append(used * 1e6 / (rate * load.seconds))
        return rate

    return measure


def _processor_seconds(stack: RunningStack) -> float:
    times = [psutil.Process(pid).cpu_times() for name, pid in stack.processes.items() if name.startswith("proxy-")]
    return sum(each.user + each.system for each in times)


WORKERS = Scenario(
    "workers",
    "Workers",
    f"Hits a second with one worker and with two, {_CLIENTS} clients, pgbench with {_THREADS} threads, on the "
    f"{processors()} processors of this machine, which the load needs as well; and the processor time of all workers "
    "for a hit (the least of the rounds).",
    measure_workers,
)
