"""How cost grows with the rate of writes: processor time of CDC service, invalidator, worker and Redis, and the lag."""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import SETTINGS, pgbench_program
from benchmarks.scale.clock import MICROSECONDS
from benchmarks.scale.curve import Curve, gathered
from benchmarks.scale.usage import PARTS, Usage
from benchmarks.scenarios.accounts import make_accounts
from benchmarks.scenarios.warming import wait_until_cached
from services.shared.lsn import parse_lsn
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError, wait_until
from tests.servers.stack import RunningStack, running_stack

_ROWS = 10_000
_CLIENTS = 8
_WRITE = f"\\set id random(1, {_ROWS})\nUPDATE account SET balance = balance + 1 WHERE id = :id;\n"
_LAG_SECONDS = 60.0


def writes_curve(sizes: Sequence[int], seconds: int) -> Curve:
    """Measure at so many writes a second, for so many seconds each; 0 is what standing idle costs."""
    rows: list[dict[str, float]] = []
    with PostgresServer(**SETTINGS) as server, tempfile.TemporaryDirectory() as folder:
        make_accounts(server.url(), _ROWS)
        with running_stack(server.url(), "--workers", "1", environ={"TIDEGATE_TLS": "off"}) as stack:
            wait_until_cached(stack, "SELECT balance FROM account WHERE id = 1")
            for rate in sizes:
                rows.append(_measure(stack, server, rate, seconds, Path(folder)))
    return Curve(
        "writes",
        "Writes a second",
        "UPDATEs of one row by primary key, each in a transaction of its own, as pgbench paces them (8 clients); event "
        "log in Redis. Lag: from the last commit until the worker's watermark is beyond it. Beyond 20,000 tags "
        "a second a relation is evicted as a whole.",
        "writes a second",
        sizes,
        gathered(rows),
    )


def _measure(stack: RunningStack, server: PostgresServer, rate: int, seconds: int, folder: Path) -> dict[str, float]:
    usage = Usage(stack, server.process.pid)
    began = time.perf_counter()
    written = _write(pgbench_program(server), server.url(), rate, seconds, folder) if rate else 0
    if not rate:
        time.sleep(seconds)  # what is measured is that nothing happens
    lag = _lag_seconds(stack, server)
    elapsed = time.perf_counter() - began
    spent = usage.seconds()
    return {
        "written, a second": written / seconds,
        **{f"{part}, % of a core": spent[part] / elapsed * 100 for part in PARTS},
        **{f"{part}, µs a write": spent[part] / written * MICROSECONDS if written else 0.0 for part in PARTS},
        "lag, ms": lag * 1000,
    }


def _write(program: Path, url: str, rate: int, seconds: int, folder: Path) -> int:
    """Have pgbench write at a rate, and return how many writes it made.

    Raises:
        ServerError: It failed.
    """
    script = folder / "write.sql"
    script.write_text(_WRITE)
    command = [str(program), "-n", "-f", str(script), "-M", "prepared", "-c", str(_CLIENTS), "-j", "1"]
    command += ["-R", str(rate), "-T", str(seconds), url]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    made = [line for line in run.stdout.splitlines() if line.startswith("number of transactions actually processed: ")]
    if run.returncode != 0 or not made:
        raise ServerError(f"pgbench failed: {run.stderr[-2000:]}")
    return int(made[0].rpartition(": ")[2].split("/")[0])


def _lag_seconds(stack: RunningStack, server: PostgresServer) -> float:
    """Return how long it takes until what has been committed by now is applied in the worker."""
    ((text,),) = server.execute("SELECT pg_current_wal_insert_lsn()::text")
    lsn = parse_lsn(text)
    server.execute("SELECT pg_logical_emit_message(true, 'benchmark', '')")  # the stream gets past it
    began = time.perf_counter()
    wait_until(lambda: stack.counter("tidegate_proxy_watermark_lsn") >= lsn, "the worker to catch up", _LAG_SECONDS)
    return time.perf_counter() - began
