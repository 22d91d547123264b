"""How long a thread waits for a processor, beside how long it has one: whether processors are short. Linux alone tells.

How long answers take says little of that: most of them come from where a processor was free, or is another machine's.
The kernel counts both times for each thread (`/proc/<pid>/schedstat`, Documentation/scheduler/sched-stats.rst).
"""

from pathlib import Path

_SAMPLE_SECONDS = 0.1  # of what is looked at at a time
_WEIGHT = 1 / 4  # of the last sample in the average


class ProcessorWait:
    """Looks at the thread that asks.

    Attributes:
        share: Of the time in which the thread had something to do, lately, the part in which it waited for a processor:
            0 to 1; 0 where that cannot be told.
    """

    __slots__ = ("_path", "_ran", "_sampled_at", "_waited", "share")

    def __init__(self, path: Path = Path("/proc/thread-self/schedstat")) -> None:
        """Begin; `path` is the file with the kernel's counters."""
        self._path = path
        self._sampled_at = float("-inf")
        self._ran = self._waited = 0
        self.share = 0.0

    def look(self, now: float) -> float:
        """Return the share as of now, a clock's seconds; at most ten times a second something is done for that."""
        if now - self._sampled_at < _SAMPLE_SECONDS:
            return self.share
        began, self._sampled_at = self._sampled_at > float("-inf"), now
        before_ran, before_waited = self._ran, self._waited
        try:
            self._ran, self._waited = (int(word) for word in self._path.read_bytes().split()[:2])
        except (OSError, ValueError):
            return self.share
        ran, waited = self._ran - before_ran, self._waited - before_waited
        if began and ran + waited > 0:
            self.share += (waited / (ran + waited) - self.share) * _WEIGHT
        return self.share
