"""pgbench: the load, and the clock.

One thread of it, unless told otherwise: it then takes one processor at most, and what is measured has the others.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.processes import ServerError

MODES = ("simple", "extended", "prepared")

_TPS = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load.

    Attributes:
        script: What each client runs, in pgbench's language; or several, each with its weight (0: never).
        mode: Protocol: simple, extended or prepared.
        clients: How many at once.
        seconds: For how long.
        transactions: Of each client, instead of a time.
        variables: That the scripts begin with.
        threads: Of pgbench.
    """

    script: str | Mapping[str, int]
    mode: str
    clients: int
    seconds: int = 0
    transactions: int = 0
    variables: Mapping[str, int] = field(default_factory=dict)
    threads: int = 1


def transactions_a_second(program: Path, url: str, load: Load, folder: Path) -> float:
    """Run a load and return its rate.

    Raises:
        ServerError: pgbench failed, or a transaction did.
    """
    command = [str(program), "-n", "-M", load.mode, "-c", str(load.clients), "-j", str(load.threads)]
    weights = {load.script: 1} if isinstance(load.script, str) else load.script
    for number, (script, weight) in enumerate(weights.items()):
        if weight:
            path = folder / f"load{number}.sql"
            path.write_text(script)
            command += ["-f", f"{path}@{weight}"]
    for name, value in load.variables.items():
        command += ["-D", f"{name}={value}"]
    command += ["-t", str(load.transactions)] if load.transactions else ["-T", str(load.seconds)]
    run = subprocess.run(
        [*command, url], capture_output=True, text=True, check=False, timeout=load.seconds + _PATIENCE_SECONDS
    )
    found = _TPS.search(run.stdout)
    failed = _FAILED.search(run.stdout)
    if run.returncode != 0 or found is None or (failed is not None and failed[1] != "0"):
        raise ServerError(f"pgbench failed: {run.stderr[-2000:] or run.stdout[-2000:]}")
    return float(found[1])


def mean_milliseconds(program: Path, url: str, load: Load, folder: Path) -> float:
    """Run a load and return how long a client waits for a transaction, in the mean.

    Raises:
        ServerError: pgbench failed, or a transaction did.
    """
    return 1000 * load.clients / transactions_a_second(program, url, load, folder)


def initialise(program: Path, url: str, scale: int) -> None:
    """Make pgbench's tables.

    Raises:
        ServerError: pgbench failed.
    """
    command = [str(program), "-i", "-q", "-I", "dtgvp", "-s", str(scale), url]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if run.returncode != 0:
        raise ServerError(f"pgbench -i failed: {run.stderr[-2000:]}")
