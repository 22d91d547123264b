"""`tidegate up` as a process of its own, as a user starts it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, wait_until

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What its ready file says.

    Attributes:
        database_url: Through the proxy.
        upstream_url: Around it.
        metrics_url: Counters of all processes.
        processes: Process ids by name.
    """

    database_url: str
    upstream_url: str
    metrics_url: str
    processes: dict[str, int]


@contextmanager
def running_stack(database_url: str, *options: str) -> Iterator[RunningStack]:
    """Start the stack in front of a database, and stop it at the end.

    Args:
        database_url: The database.
        options: Further options of `tidegate up`.

    Raises:
        ServerError: It did not become ready; its log is in the message.
    """
    directory = ServerDirectory("stack")
    ready = directory.path / "ready.json"
    process = ManagedProcess(
        "tidegate up",
        [sys.executable, "-m", "services.cli", "up", "--listen", "127.0.0.1:0", "--ready-file", ready, *options],
        directory.path / "output.log",
        env={**os.environ, "TIDEGATE_DATABASE_URL": database_url},
    )
    try:
        try:
            wait_until(lambda: ready.exists() or not process.running, "tidegate up to be ready", _START_SECONDS)
        except ServerError as error:
            raise ServerError(f"{error}\n{process.log}") from error
        if not ready.exists():
            raise ServerError(f"tidegate up ended\n{process.log}")
        content: dict[str, Any] = json.loads(ready.read_text())
        yield RunningStack(
            content["database_url"], content["upstream_url"], content["metrics_url"], content["processes"]
        )
    finally:
        process.stop()
        directory.remove()
