"""How much processor time a server uses, by what the kernel says of its processes."""

import os
import time
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Fields of /proc/PID/stat behind the name in parentheses, which may hold spaces; see proc(5), minus its first three.
_PARENT = 1
_USER_TIME = 11
_CHILDREN_SYSTEM_TIME = 14


class CpuMeter:
    """Measures a process and its children, those that have ended too, from the moment when it is made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._started = time.monotonic()
        self._seconds = _cpu_seconds(pid)

    def cores(self) -> float:
        """Return how many cores they have kept busy on average."""
        return (_cpu_seconds(self._pid) - self._seconds) / (time.monotonic() - self._started)


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if int(path.parent.name) == pid or int(fields[_PARENT]) == pid:
            ticks += sum(int(field) for field in fields[_USER_TIME : _CHILDREN_SYSTEM_TIME + 1])
    return ticks / _TICKS_PER_SECOND
