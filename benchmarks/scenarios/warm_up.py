"""From an empty cache to a warm one: Zipf's reads in slices of time, beside Postgres itself and PgBouncer.

Then once more through a worker that has just been started in place of one that was ended: its own memory is empty,
Redis is not.
"""

import os
import signal
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Run, Scenario, Target
from benchmarks.peers import SETTINGS, pgbench_program, run_sql
from benchmarks.pgbench import Load
from benchmarks.pgbouncer import PgBouncer
from benchmarks.scenarios.accounts import hot_reads, make_accounts
from benchmarks.scenarios.slices import Slice, measured_slices
from benchmarks.shop.counting import COUNTING
from services.shared.runtime.upstream import parse_upstream
from tests.integration.wire_client import WireClient
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.stack import RunningStack, running_stack

_NAME = "warm-up"
_ROWS = 50_000
_CLIENTS = 8
_SECONDS = 8
_RESTARTED = f"{TIDEGATE}, restarted worker"
_SCRIPT = f"\\set id random_zipfian(1, {_ROWS}, 1.07)\nSELECT balance FROM account WHERE id = :id;\n"
_PATTERN = "SELECT balance FROM account%"
_FINE = [tenth / 10 for tenth in range(11)]
_STEADY_SECONDS = 2  # at the end
_RESTART_SECONDS = 60.0

_Curves = dict[str, list[list[Slice]]]  # by side, one for each round


def measure_warm_up(run: Run) -> Iterator[Case]:
    """Measure slice by slice, then what follows from them."""
    seconds = 3 if run.quick else _SECONDS
    edges = [*_FINE, *map(float, range(2, seconds + 1))]
    curves: _Curves = {side: [] for side in (DIRECT, PGBOUNCER, TIDEGATE, _RESTARTED)}
    load = Load(_SCRIPT, "prepared", _CLIENTS, seconds)
    wrong = 0
    with PostgresServer(**{**SETTINGS, **COUNTING}) as server:
        make_accounts(server.url(), _ROWS)
        run_sql(server.url(), "CREATE EXTENSION pg_stat_statements")
        program = pgbench_program(server)

        def slices(url: str) -> list[Slice]:
            return measured_slices(program, url, server.url(), load, _PATTERN, edges)

        bouncer = PgBouncer(parse_upstream(server.url()))
        try:
            for _ in range(run.rounds):
                curves[DIRECT].append(slices(server.url()))
                curves[PGBOUNCER].append(slices(bouncer.url))
                wrong += _from_empty(server.url(), slices, curves)
        finally:
            bouncer.stop()
    yield from _by_slice(curves, wrong)
    yield _summary("first second", curves, lambda found: _rate_of(found, 0, 1), (Target(PGBOUNCER, 0.85),))
    steady = partial(_rate_of, begin=seconds - _STEADY_SECONDS, end=seconds)
    yield _summary(f"last {_STEADY_SECONDS} of {seconds} s", curves, steady, (Target(DIRECT, 1.0),))


def _from_empty(direct_url: str, slices: Callable[[str], list[Slice]], curves: _Curves) -> int:
    """Play to a stack that has just begun, and again after its worker was ended; return how many answers were wrong."""
    with running_stack(direct_url, "--workers", "1", environ={"TIDEGATE_TLS": "off"}) as stack:
        curves[TIDEGATE].append(slices(stack.database_url))
        _restart_worker(stack)
        curves[_RESTARTED].append(slices(stack.database_url))
        return wrong_answers(direct_url, stack.database_url, hot_reads(), "prepared")


def _restart_worker(stack: RunningStack) -> None:
    """End the worker, and wait until another has taken its place and is ready."""
    ended = stack.processes["proxy-0"]
    os.kill(ended, signal.SIGTERM)

    def taken_its_place() -> bool:
        if stack.processes.get("proxy-0", ended) == ended:
            return False
        try:
            WireClient(stack.database_url).start().socket.close()
        except OSError:
            return False
        return True

    wait_until(taken_its_place, "another worker to take its place", _RESTART_SECONDS)


def _by_slice(curves: _Curves, wrong: int) -> Iterator[Case]:
    """Yield a line for each slice: medians of the rounds."""
    for number, part in enumerate(curves[DIRECT][0]):
        samples = {side: [found[number].rate for found in rounds] for side, rounds in curves.items()}
        ratios = {
            f"hits, {side}": f"{statistics.median(found[number].hit_ratio for found in curves[side]):.0%}"
            for side in (TIDEGATE, _RESTARTED)
        }
        facets: Mapping[str, str | float] = {"begin": part.begin, "end": part.end}
        yield Case(_NAME, f"{part.begin:g} to {part.end:g} s", "1/s", samples, (), wrong, ratios, facets)
        wrong = 0  # said once


def _summary(name: str, curves: _Curves, figure: Callable[[list[Slice]], float], targets: tuple[Target, ...]) -> Case:
    samples = {side: [figure(found) for found in rounds] for side, rounds in curves.items()}
    both = tuple(Target(target.peer, target.bound, side=side) for target in targets for side in (TIDEGATE, _RESTARTED))
    return Case(_NAME, name, "1/s", samples, both)


def _rate_of(slices: Sequence[Slice], begin: float, end: float) -> float:
    """Return the rate over several slices."""
    within = [part for part in slices if begin <= part.begin and part.end <= end]
    return sum(part.rate * (part.end - part.begin) for part in within) / (end - begin)


WARM_UP = Scenario(
    _NAME,
    "Warm-up",
    f"Point SELECTs by {_CLIENTS} clients (prepared), keys by Zipf's law with exponent 1.07 from {_ROWS:,} rows, from "
    "an empty cache on; and the same after the worker was ended and another has taken its place, whose own memory is "
    "empty. Hits are reads that did not reach Postgres.",
    measure_warm_up,
)
