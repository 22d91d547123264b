"""A driver's program as a process: calls go in as JSON lines, answers come back so (see `programs/__init__.py`)."""

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.processes import ServerError

_ANSWER_SECONDS = 60.0


class DriverError(Exception):
    """Postgres refused, as the driver reports it: `shown` has sqlstate, message, detail and constraint."""

    def __init__(self, shown: dict[str, Any]) -> None:
        super().__init__(str(shown))
        self.shown = shown


class DriverProgram:
    """One running program, connected to one database.

    Args:
        command: Program and arguments.
        url: The database's. It goes into the environment, not into the arguments: it may hold a password.
        environ: Further environment variables.
        cwd: Where it runs.

    Attributes:
        driver: The driver's name, as the program says it.
        version: The driver's version.
        functions: What it can do.
    """

    def __init__(
        self, command: Sequence[str | Path], url: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, **(environ or {}), "DATABASE_URL": url},
            cwd=cwd,
        )
        self._unread = b""
        try:
            told = self._line()
        except ServerError:
            self._process.kill()
            self.close()
            raise
        self.driver: str = told["driver"]
        self.version: str = told["version"]
        self.functions = frozenset[str](told["functions"])

    def __enter__(self) -> "DriverProgram":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def call(self, function: str, *arguments: Any) -> Any:
        """Call one of its functions and return the answer.

        Raises:
            DriverError: Postgres refused.
            ServerError: The program failed or does not answer; the message holds what it says.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"run": function, "with": arguments}).encode() + b"\n")
        self._process.stdin.flush()
        told = self._line()
        if "error" in told:
            raise DriverError(told["error"])
        if "crash" in told:
            raise ServerError(f"{function} of {self.driver} failed:\n{told['crash']}")
        return told["answer"]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._complaints.close()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            if not select.select([self._process.stdout], [], [], _ANSWER_SECONDS)[0]:
                raise ServerError(f"no answer within {_ANSWER_SECONDS:g} s:\n{self._said()}")
            received = os.read(self._process.stdout.fileno(), 1 << 16)
            if not received:
                raise ServerError(f"the program ended:\n{self._said()}")
            self._unread += received
        line, self._unread = self._unread.split(b"\n", 1)
        told: dict[str, Any] = json.loads(line)
        return told

    def _said(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace")[-4000:]
