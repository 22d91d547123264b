"""Where the worker's time goes: flame graphs of hits, of forwarded statements and of misses, by py-spy.

`python -m benchmarks profiles` writes docs/profiles/*.svg, to be opened in a browser, and a table of the time that a
statement takes of the worker's processor.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.measurement import PGBOUNCER, TIDEGATE
from benchmarks.peers import Peers, running_peers
from benchmarks.pgbench import Load
from benchmarks.scenarios.accounts import HOT_READ, make_accounts
from tests.servers.processes import ServerError

FOLDER = Path(__file__).parents[1] / "docs" / "profiles"

_ROWS = 1_000_000
_CLIENTS, _PROTOCOL = 8, "prepared"
_SAMPLES_A_SECOND = 500
_LEAD_IN_SECONDS, _PATIENCE_SECONDS = 2, 60
_ONE_OF_MANY = f"\\set id random(1, {_ROWS})\n"
LOADS = {
    "hits": HOT_READ,
    "forwarded": f"{_ONE_OF_MANY}SELECT balance, clock_timestamp() FROM account WHERE id = :id;\n",
    "misses": f"{_ONE_OF_MANY}SELECT balance FROM account WHERE id = :id;\n",
}


class Spent(NamedTuple):
    """Processor time of one statement, in microseconds: of the worker, and of PgBouncer for the same load."""

    load: str
    worker: float
    bouncer: float


def measure_profiles(seconds: int) -> Iterator[Spent]:
    """Profile each load for so many seconds.

    Raises:
        ServerError: py-spy could not look into the worker.
    """
    FOLDER.mkdir(exist_ok=True)
    with running_peers(partial(make_accounts, rows=_ROWS)) as peers:
        worker = psutil.Process(peers.stack.processes["proxy-0"])
        bouncer = psutil.Process(peers.bouncer.process_id)
        for name, script in LOADS.items():
            load = Load(script, _PROTOCOL, _CLIENTS, seconds)
            peers.rate(peers.url(TIDEGATE), Load(script, _PROTOCOL, _CLIENTS, _LEAD_IN_SECONDS))
            ours = _processor_time(worker, peers, TIDEGATE, load)
            theirs = _processor_time(bouncer, peers, PGBOUNCER, load)
            with _spied_on(worker.pid, seconds, FOLDER / f"{name}.svg"):
                peers.rate(peers.url(TIDEGATE), load)
            yield Spent(name, ours, theirs)


def _processor_time(process: psutil.Process, peers: Peers, side: str, load: Load) -> float:
    """Return microseconds of a process for each statement of a load."""
    before = process.cpu_times()
    began = time.monotonic()
    rate = peers.rate(peers.url(side), load)
    after, lasted = process.cpu_times(), time.monotonic() - began
    spent = after.user - before.user + after.system - before.system
    return spent / (rate * min(lasted, load.seconds)) * 1e6


@contextmanager
def _spied_on(pid: int, seconds: int, file: Path) -> Iterator[None]:
    """Have py-spy beside what is done inside."""
    program = Path(sys.executable).with_name("py-spy")
    command = [str(program), "record", "--rate", str(_SAMPLES_A_SECOND), "--format", "flamegraph"]
    options = ["--duration", str(seconds), "--output", str(file), "--pid", str(pid)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as spy:
        yield
        said, _ = spy.communicate(timeout=_PATIENCE_SECONDS)
    if spy.returncode:
        raise ServerError(f"py-spy failed: {said[-1000:]}")
