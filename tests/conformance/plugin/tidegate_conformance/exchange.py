"""What passes between the runner and a suite: which tests to run, and how each one ended."""

import json
import os
from pathlib import Path

OUTCOMES = "TIDEGATE_CONFORMANCE_OUTCOMES"  # the file that outcomes are appended to, one JSON object a line
ONLY = "TIDEGATE_CONFORMANCE_ONLY"  # a file of test names, one a line; unset: all
PORT = "TIDEGATE_CONFORMANCE_PORT"  # where the databases are on 127.0.0.1, for a suite that wants it in a settings file
_DETAIL_CHARACTERS = 2000


def asked_for() -> set[str] | None:
    """Return the names of the tests to run; None for all."""
    listed = os.environ.get(ONLY)
    return None if listed is None else set(Path(listed).read_text(encoding="utf-8").splitlines())


def write_outcome(test: str, how: str, detail: str) -> None:
    """Write down how a test ended."""
    line = {"test": test, "how": how, "detail": detail[-_DETAIL_CHARACTERS:]}
    with Path(os.environ[OUTCOMES]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
