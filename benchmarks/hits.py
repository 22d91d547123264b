"""Hits: point SELECTs on a hot set of 1,000 rows, beside PgBouncer forwarding the same and Postgres itself.

Bare, and each in a transaction block of its own, as object mappers and JDBC send them.
"""

import random
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from benchmarks.pgbench import MODES, Load, initialise, transactions_a_second
from benchmarks.pgbouncer import PgBouncer
from services.shared.runtime.upstream import parse_upstream
from tests.servers.postgres import PostgresServer
from tests.servers.stack import running_stack

HOT_ROWS = 1_000
_READ = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
BARE = f"\\set aid random(1, {HOT_ROWS})\n{_READ}"
IN_BLOCKS = f"\\set aid random(1, {HOT_ROWS})\nBEGIN;\n{_READ}COMMIT;\n"
_WARM_SECONDS = 3
_CHECKED_READS = 2_000


@dataclass(frozen=True, slots=True)
class HitRates:
    """Medians of the rounds, in transactions a second, for one mode and number of clients."""

    mode: str
    clients: int
    direct: float
    pgbouncer: float
    tidegate: float
    wrong_answers: int


def measure_hits(clients: tuple[int, ...], rounds: int, seconds: int, script: str = BARE) -> list[HitRates]:
    """Measure all three, interleaved, and compare answers afterwards.

    Args:
        clients: How many at once, one number after the other.
        rounds: Of each side; the median counts.
        seconds: Length of one.
        script: What each client runs, in pgbench's language.
    """
    results: list[HitRates] = []
    with PostgresServer(shared_buffers="256MB", max_connections=400) as server, tempfile.TemporaryDirectory() as folder:
        program = _pgbench(server)
        initialise(program, server.url(), scale=1)
        bouncer = PgBouncer(parse_upstream(server.url()))
        try:
            # Without TLS, as the other two: pgbench would take it where it is offered.
            with running_stack(server.url(), "--workers", "1", environ={"TIDEGATE_TLS": "off"}) as stack:
                urls = {"direct": server.url(), "pgbouncer": bouncer.url, "tidegate": stack.database_url}
                for mode in MODES:
                    for count in clients:
                        load = Load(script, mode, count, seconds)
                        results.append(_measure(program, urls, load, rounds, Path(folder)))
        finally:
            bouncer.stop()
    return results


def _measure(program: Path, urls: dict[str, str], load: Load, rounds: int, folder: Path) -> HitRates:
    transactions_a_second(program, urls["tidegate"], replace(load, seconds=_WARM_SECONDS), folder)
    rates: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            rates[name].append(transactions_a_second(program, url, load, folder))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    wrong = _wrong_answers(urls["direct"], urls["tidegate"])
    return HitRates(load.mode, load.clients, medians["direct"], medians["pgbouncer"], medians["tidegate"], wrong)


def _wrong_answers(direct_url: str, cached_url: str) -> int:
    """Count reads that differ between the two; nobody writes meanwhile."""
    wrong = 0
    chooser = random.Random(1)
    with psycopg.connect(direct_url, autocommit=True) as direct, psycopg.connect(cached_url, autocommit=True) as cached:
        for _ in range(_CHECKED_READS):
            aid = chooser.randint(1, HOT_ROWS)
            query = "SELECT abalance FROM pgbench_accounts WHERE aid = %s"
            wrong += direct.execute(query, (aid,)).fetchall() != cached.execute(query, (aid,)).fetchall()
    return wrong


def _pgbench(server: PostgresServer) -> Path:
    own = server.programs / "pgbench"
    return own if own.exists() else Path("/usr/bin/pgbench")
