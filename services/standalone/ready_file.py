"""The ready file: what a script needs to know of a running stack, as one JSON object.

It is written when everything is ready, and replaced in one step whenever a process is. It holds passwords, so only its
owner can read it; it is removed at a clean stop.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.standalone.data_directory import write_private


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the parts of the stack are. URLs hold passwords.

    Attributes:
        database_url: The database through the proxy.
        upstream_url: The database itself.
        redis_url: The Redis of the stack.
        event_log: `redis`, or Kafka as the setting names it.
        metrics_url: The metrics of all processes; `/healthz` and `/readyz` are beside it.
    """

    database_url: str
    upstream_url: str
    redis_url: str
    event_log: str
    metrics_url: str


class ReadyFile:
    """The file, if one is wanted."""

    def __init__(self, path: Path | None, endpoints: Endpoints) -> None:
        self._path = path
        self._endpoints = endpoints

    def write(self, processes: Mapping[str, int]) -> None:
        """Write or replace it.

        Raises:
            OSError: The folder is missing or not ours to write in.
        """
        if self._path is not None:
            content = {name: getattr(self._endpoints, name) for name in Endpoints.__slots__}
            write_private(self._path, json.dumps(content | {"processes": dict(processes)}, indent=2) + "\n")

    def remove(self) -> None:
        """Remove it: the stack is no longer ready."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
