"""pgbench: the load, and the clock."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import ServerError

MODES = ("simple", "extended", "prepared")

_TPS = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load.

    Attributes:
        script: What each client runs, in pgbench's language.
        mode: Protocol: simple, extended or prepared.
        clients: How many at once.
        seconds: For how long.
    """

    script: str
    mode: str
    clients: int
    seconds: int


def transactions_a_second(program: Path, url: str, load: Load, folder: Path) -> float:
    """Run a load and return its rate.

    Raises:
        ServerError: pgbench failed, or a transaction did.
    """
    script = folder / "load.sql"
    script.write_text(load.script)
    command = [str(program), "-n", "-f", str(script), "-M", load.mode, "-c", str(load.clients), "-j", "1"]
    run = subprocess.run(
        [*command, "-T", str(load.seconds), url], capture_output=True, text=True, check=False, timeout=load.seconds + 60
    )
    found = _TPS.search(run.stdout)
    failed = _FAILED.search(run.stdout)
    if run.returncode != 0 or found is None or (failed is not None and failed[1] != "0"):
        raise ServerError(f"pgbench failed: {run.stderr[-2000:] or run.stdout[-2000:]}")
    return float(found[1])


def initialise(program: Path, url: str, scale: int) -> None:
    """Make pgbench's tables.

    Raises:
        ServerError: pgbench failed.
    """
    command = [str(program), "-i", "-q", "-I", "dtgvp", "-s", str(scale), url]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if run.returncode != 0:
        raise ServerError(f"pgbench -i failed: {run.stderr[-2000:]}")
