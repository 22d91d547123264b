"""What a process has resident, now and at most, as Linux tells it."""

import re
from pathlib import Path

_PEAK_OF_RESIDENT = "5"  # proc(5), clear_refs: the peak begins anew at what is resident now


def resident_bytes(pid: int) -> int:
    """Return what is resident now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """Return the most that was resident since `restart_peak`, or since the process began."""
    return _status(pid, "VmHWM")


def restart_peak(pid: int) -> None:
    """Let the peak begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text(_PEAK_OF_RESIDENT, encoding="ascii")


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None, f"/proc/{pid}/status has no {name}"
    return int(found[1]) * 1024
