"""How cost grows with the clients of one worker: hits on a hot set, beside Postgres itself."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import SETTINGS, pgbench_program
from benchmarks.pgbench import Load, transactions_a_second
from benchmarks.process_memory import resident_bytes
from benchmarks.scale.clock import MICROSECONDS, MILLISECONDS
from benchmarks.scale.curve import Curve, gathered
from benchmarks.scale.usage import Usage
from benchmarks.scenarios.accounts import HOT_READ, HOT_ROWS, make_accounts
from benchmarks.scenarios.warming import wait_until_cached
from tests.integration.wire_client import WireClient
from tests.servers.postgres import PostgresServer
from tests.servers.stack import RunningStack, running_stack

_SPARE_CONNECTIONS = 60
_READS_A_SECOND, _READS_EACH = 20_000, 200  # about; of each client at the least, for its first ones are forwarded
_WARM = Load(HOT_READ, "prepared", 8, 2)


def clients_curve(sizes: Sequence[int], seconds: int) -> Curve:
    """Measure with so many clients at once, for so many seconds each."""
    settings = {**SETTINGS, "max_connections": str(max(sizes) + _SPARE_CONNECTIONS)}
    rows: list[dict[str, float]] = []
    with PostgresServer(**settings) as server, tempfile.TemporaryDirectory() as folder:
        make_accounts(server.url(), HOT_ROWS)
        program = pgbench_program(server)
        with running_stack(server.url(), "--workers", "1", environ={"TIDEGATE_TLS": "off"}) as stack:
            wait_until_cached(stack, "SELECT balance FROM account WHERE id = 1")
            transactions_a_second(program, stack.database_url, _WARM, Path(folder))
            for clients in sizes:
                # So many reads, and no time: pgbench's would begin before the clients log in.
                load = Load(
                    HOT_READ, "prepared", clients, transactions=max(_READS_EACH, _READS_A_SECOND * seconds // clients)
                )
                direct = transactions_a_second(program, server.url(), load, Path(folder))
                rows.append(
                    _measure(stack, server, program, load, Path(folder)) | {"Postgres direct, reads a second": direct}
                )
    return Curve(
        "clients",
        "Clients",
        "Point SELECTs on 1,000 hot rows (prepared) through one worker, each client with its own connection to "
        "Postgres. pgbench has one thread, and shares the processors. A login is the mean of all, one after the other.",
        "clients",
        sizes,
        gathered(rows),
    )


def _measure(stack: RunningStack, server: PostgresServer, program: Path, load: Load, folder: Path) -> dict[str, float]:
    before = Usage(stack, server.process.pid)
    through = _login_seconds(stack.database_url, load.clients)
    login = before.seconds()["worker"] / load.clients
    usage = Usage(stack, server.process.pid)
    hits = stack.counter("tidegate_proxy_hits_total")
    rate = transactions_a_second(program, stack.database_url, load, folder)
    hits = stack.counter("tidegate_proxy_hits_total") - hits
    spent = usage.seconds()["worker"] - load.clients * login
    return {
        "Tidegate, reads a second": rate,
        "worker's processor time a hit, µs": spent / max(1.0, hits) * MICROSECONDS,
        "worker, MiB": resident_bytes(stack.processes["proxy-0"]) / 1024**2,
        "a login, ms": through * MILLISECONDS,
        "worker's processor time a login, ms": login * MILLISECONDS,
        "a login to Postgres directly, ms": _login_seconds(server.url(), load.clients) * MILLISECONDS,
    }


def _login_seconds(url: str, clients: int) -> float:
    with ExitStack() as opened:
        began = time.perf_counter()
        for _ in range(clients):
            opened.enter_context(WireClient(url).start())
        return (time.perf_counter() - began) / clients
