"""Hits: point SELECTs on a hot set of 1,000 rows, beside PgBouncer forwarding the same and Postgres itself."""

import random
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.pgbench import MODES, Load, initialise, transactions_a_second
from benchmarks.pgbouncer import PgBouncer
from services.shared.runtime.upstream import parse_upstream
from tests.servers.postgres import PostgresServer
from tests.servers.stack import running_stack

HOT_ROWS = 1_000
_SCRIPT = f"\\set aid random(1, {HOT_ROWS})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
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


def measure_hits(clients: tuple[int, ...], rounds: int, seconds: int) -> list[HitRates]:
    """Measure all three, interleaved, and compare answers afterwards."""
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
                        results.append(_measure(program, urls, mode, count, rounds, seconds, Path(folder)))
        finally:
            bouncer.stop()
    return results


def _measure(
    program: Path, urls: dict[str, str], mode: str, clients: int, rounds: int, seconds: int, folder: Path
) -> HitRates:
    transactions_a_second(program, urls["tidegate"], Load(_SCRIPT, mode, clients, _WARM_SECONDS), folder)
    rates: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            rates[name].append(transactions_a_second(program, url, Load(_SCRIPT, mode, clients, seconds), folder))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    wrong = _wrong_answers(urls["direct"], urls["tidegate"])
    return HitRates(mode, clients, medians["direct"], medians["pgbouncer"], medians["tidegate"], wrong)


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
