"""pgbench: the load, and the clock.

One thread of it, unless told otherwise: it then takes one processor at most, and what is measured has the others.
"""

import math
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.servers.processes import ServerError

MODES = ("simple", "extended", "prepared")

_TPS = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_LOGGED_IN = re.compile(r"initial connection time = ([\d.]+) ms")
_PATIENCE_SECONDS = 120
_ATTEMPTS = 4


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

    pgbench counts into its time, though not into its rate, until all clients are logged in. Where that left less than
    half of the time to the load, it gets more.

    Raises:
        ServerError: pgbench failed, or a transaction did.
    """
    command = _command(program, load, folder)
    if load.transactions:
        return _run([*command, "-t", str(load.transactions), url], _PATIENCE_SECONDS).rate
    seconds = load.seconds
    for _ in range(_ATTEMPTS):
        found = _run([*command, "-T", str(seconds), url], seconds + _PATIENCE_SECONDS)
        if found.rate and seconds - found.log_in_seconds >= load.seconds / 2:
            return found.rate
        seconds = load.seconds + math.ceil(found.log_in_seconds or 3 * seconds)
    raise ServerError(f"{load.clients} clients are not logged in after {seconds} s")


def _command(program: Path, load: Load, folder: Path) -> list[str]:
    command = [str(program), "-n", "-M", load.mode, "-c", str(load.clients), "-j", str(load.threads)]
    weights = {load.script: 1} if isinstance(load.script, str) else load.script
    for number, (script, weight) in enumerate(weights.items()):
        if weight:
            path = folder / f"load{number}.sql"
            path.write_text(script)
            command += ["-f", f"{path}@{weight}"]
    for name, value in load.variables.items():
        command += ["-D", f"{name}={value}"]
    return command


class _Found(NamedTuple):
    rate: float  # 0 if there was no time for a transaction
    log_in_seconds: float


def _run(command: list[str], timeout_seconds: float) -> _Found:
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_seconds)
    failed = _FAILED.search(run.stdout)
    if run.returncode != 0 or (failed is not None and failed[1] != "0"):
        raise ServerError(f"pgbench failed: {run.stderr[-2000:] or run.stdout[-2000:]}")
    rate, logged_in = _TPS.search(run.stdout), _LOGGED_IN.search(run.stdout)
    return _Found(float(rate[1]) if rate else 0.0, float(logged_in[1]) / 1000 if logged_in else 0.0)


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
