"""A load seen in slices of time: transactions a second, and how many of its reads were hits, from the first on.

pgbench logs when transactions end; meanwhile `pg_stat_statements` is asked again and again how many of them reached
Postgres. Both go by the same clock.
"""

import subprocess
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psycopg

from benchmarks.pgbench import Load
from tests.servers.processes import ServerError

_LOGGED = 0.2  # of all transactions
_LOOK_SECONDS = 0.05
_REACHED = "SELECT coalesce(sum(calls), 0)::int FROM pg_stat_statements WHERE query LIKE %s"


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of time.

    Attributes:
        begin, end: In seconds from the first transaction's begin.
        rate: Transactions a second.
        hit_ratio: Of those that did not reach Postgres.
    """

    begin: float
    end: float
    rate: float
    hit_ratio: float


class _Counting(threading.Thread):
    """Looks how many statements have reached Postgres, until it is told to stop."""

    def __init__(self, direct_url: str, pattern: str) -> None:
        super().__init__(daemon=True)
        self._connection = psycopg.connect(direct_url, autocommit=True)
        self._connection.execute("SELECT pg_stat_statements_reset()")
        self._pattern = pattern
        self._stopped = threading.Event()
        self.looks: list[tuple[float, int]] = [self._look()]

    def run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            self.looks.append(self._look())

    def stop(self) -> None:
        """Look once more, and stop."""
        self._stopped.set()
        self.join()
        self.looks.append(self._look())
        self._connection.close()

    def _look(self) -> tuple[float, int]:
        row = self._connection.execute(_REACHED, (self._pattern,)).fetchone()
        assert row is not None
        return time.time(), int(row[0])


def measured_slices(
    program: Path, url: str, direct_url: str, load: Load, pattern: str, edges: Sequence[float]
) -> list[Slice]:
    """Run a load and cut it into slices.

    Args:
        program: pgbench.
        url: What is loaded.
        direct_url: The Postgres behind it, with `pg_stat_statements`.
        load: One read a transaction.
        pattern: What the read's text is LIKE there.
        edges: Where slices begin and end, in seconds from the begin.

    Raises:
        ServerError: pgbench failed.
    """
    counting = _Counting(direct_url, pattern)
    counting.start()
    try:
        ends, first = _logged_ends(program, url, load)
    finally:
        counting.stop()
    looks = counting.looks
    slices: list[Slice] = []
    for begin, end in pairwise(edges):
        done = (bisect_right(ends, first + end) - bisect_left(ends, first + begin)) / _LOGGED
        reached = _reached_by(looks, first + end) - _reached_by(looks, first + begin)
        ratio = 0.0 if not done else min(1.0, max(0.0, 1 - reached / done))
        slices.append(Slice(begin, end, done / (end - begin), ratio))
    return slices


def _logged_ends(program: Path, url: str, load: Load) -> tuple[list[float], float]:
    """Run pgbench, and return when logged transactions ended, in order, and when the first one began."""
    with tempfile.TemporaryDirectory(prefix="tidegate-slices-") as folder:
        script = Path(folder, "load.sql")
        assert isinstance(load.script, str), "one script: what is counted is one statement"
        script.write_text(load.script)
        command = [str(program), "-n", "-f", str(script), "-M", load.mode, "-c", str(load.clients), "-j", "1"]
        command += ["-T", str(load.seconds), "-l", f"--sampling-rate={_LOGGED}", url]
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=load.seconds + 60, cwd=folder
        )
        if run.returncode != 0:
            raise ServerError(f"pgbench failed: {run.stderr[-2000:]}")
        (log,) = Path(folder).glob("pgbench_log.*")
        rows = [line.split() for line in log.read_text().splitlines()]
    # client, transaction, microseconds, script, second, microsecond
    ends = sorted(int(row[4]) + int(row[5]) / 1e6 for row in rows)
    first = min(int(row[4]) + int(row[5]) / 1e6 - int(row[2]) / 1e6 for row in rows)
    return ends, first


def _reached_by(looks: Sequence[tuple[float, int]], moment: float) -> float:
    """Return how many had reached Postgres by a moment, on a straight line between the looks around it."""
    at = bisect_left(looks, (moment, 0))
    if at == 0:
        return looks[0][1]
    if at == len(looks):
        return looks[-1][1]
    (before, least), (after, most) = looks[at - 1], looks[at]
    return least + (most - least) * (moment - before) / (after - before)
