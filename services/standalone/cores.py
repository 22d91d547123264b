"""How many processor cores this process may really use: the machine's, less what it is bound to and its quota.

A container with a quota of one processor sees all cores of its host; a worker for each of them would only take turns.
"""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # control groups, version 2: quota and period in µs, or `max` for no quota
_MOST_WORKERS = 16
"""Of those that are started unasked: each has an L1 of its own and keeps two connections to Postgres."""


def usable_cores(quota_file: Path = _QUOTA) -> int:
    """Return how many cores there are for us, at least one."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text().split()
        return max(1, min(bound, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file here, or no quota
        return bound


def worker_count(wanted: int) -> int:
    """Return how many workers to start; 0 asks for one per core."""
    return wanted or min(usable_cores(), _MOST_WORKERS)
