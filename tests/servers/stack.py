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

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What its ready file says.

    Attributes:
        database_url: Through the proxy.
        upstream_url: Around it.
        metrics_url: Counters of all processes.
        ready_file: Where all of this stands.
        process: `tidegate up` itself.
    """

    database_url: str
    upstream_url: str
    metrics_url: str
    ready_file: Path
    process: ManagedProcess

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name, as they are now: the ready file is rewritten when one is replaced."""
        found: dict[str, int] = json.loads(self.ready_file.read_text())["processes"]
        return found

    def counter(self, name: str, **labels: str) -> float:
        """Return the sum of a counter over all processes, of those of its series that have these labels."""
        with urlopen(self.metrics_url, timeout=5) as page:
            text = page.read().decode()
        total = 0.0
        for line in text.splitlines():
            if line.startswith(f"{name}{{") and all(f'{label}="{value}"' in line for label, value in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total


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
        yield RunningStack(content["database_url"], content["upstream_url"], content["metrics_url"], ready, process)
    finally:
        process.stop()
        directory.remove()
