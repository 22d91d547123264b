"""What the processes print, passed on with their names."""

import json
from datetime import UTC, datetime
from typing import TextIO

_NAME_WIDTH = 11  # of `invalidator`


class Output:
    """Writes the lines of all processes to one stream."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json

    def receive(self, name: str, line: str) -> None:
        """Pass on one line of a process."""
        self._stream.write((_as_event(name, line) if self._as_json else f"{name:<{_NAME_WIDTH}} | {line}") + "\n")
        self._stream.flush()


def _as_event(name: str, line: str) -> str:
    """Return a JSON line: as it is when the process wrote JSON, else wrapped as our own log lines look."""
    if line.startswith("{"):
        try:
            json.loads(line)
        except ValueError:
            pass  # it only looks like JSON: wrapped below
        else:
            return line
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"timestamp": now, "level": "info", "process": name, "event": line}, ensure_ascii=False)
