"""`tidegate up` as a process of its own, as a user starts it."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, wait_until

_URLS = ("database", "upstream", "redis", "metrics")
_START_SECONDS = 60.0
_STOP_SECONDS = 40.0  # the proxies wait for transactions that a test left open


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What its ready file says.

    Attributes:
        database_url: Through the proxy.
        upstream_url: Around it.
        redis_url: Its Redis.
        metrics_url: Counters of all processes.
        ready_file: Where all of this stands.
        process: `tidegate up` itself.
    """

    database_url: str
    upstream_url: str
    redis_url: str
    metrics_url: str
    ready_file: Path
    process: ManagedProcess

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name, as they are now: the ready file is rewritten when one is replaced."""
        found: dict[str, int] = json.loads(self.ready_file.read_text())["processes"]
        return found

    def counter(self, *names: str, **labels: str) -> float:
        """Return the sum of counters over all processes, of those of their series that have these labels."""
        series = self._series(*names)
        return sum(value for line, value in series if all(f'{key}="{label}"' in line for key, label in labels.items()))

    def counters(self, name: str, label: str) -> dict[str, float]:
        """Return a counter by the values of one of its labels."""
        found: dict[str, float] = {}
        for line, value in self._series(name):
            key = line.partition(f'{label}="')[2].partition('"')[0]
            found[key] = found.get(key, 0.0) + value
        return found

    def _series(self, *names: str) -> list[tuple[str, float]]:
        with urlopen(self.metrics_url, timeout=5) as page:
            lines = page.read().decode().splitlines()
        begins = tuple(f"{name}{{" for name in names)
        return [(line, float(line.rpartition(" ")[2])) for line in lines if line.startswith(begins)]


@contextmanager
def running_stack(database_url: str, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[RunningStack]:
    """Start the stack in front of a database, and stop it at the end.

    Args:
        database_url: The database.
        options: Further options of `tidegate up`.
        environ: Further environment variables for it.

    Raises:
        ServerError: It did not become ready; its log is in the message.
    """
    directory = ServerDirectory("stack")
    ready = directory.path / "ready.json"
    process = ManagedProcess(
        "tidegate up",
        [sys.executable, "-m", "services.cli", "up", "--listen", "127.0.0.1:0", "--ready-file", ready, *options],
        directory.path / "output.log",
        env={**os.environ, **(environ or {}), "TIDEGATE_DATABASE_URL": database_url},
    )
    try:
        try:
            wait_until(lambda: ready.exists() or not process.running, "tidegate up to be ready", _START_SECONDS)
        except ServerError as error:
            raise ServerError(f"{error}\n{process.log()}") from error
        if not ready.exists():
            raise ServerError(f"tidegate up ended\n{process.log()}")
        content: dict[str, Any] = json.loads(ready.read_text())
        database, upstream, redis, metrics = (content[f"{name}_url"] for name in _URLS)
        yield RunningStack(database, upstream, redis, metrics, ready, process)
    finally:
        process.stop(timeout_seconds=_STOP_SECONDS)
        directory.remove()
