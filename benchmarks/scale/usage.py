"""Processor time that the parts of a running stack take."""

from collections.abc import Mapping

import psutil

from tests.servers.stack import RunningStack

PARTS: Mapping[str, str] = {"CDC": "cdc", "invalidator": "invalidator", "worker": "proxy-0", "Redis": "redis"}
"""Names of the parts, and of their processes."""


class Usage:
    """Counts from when it is made.

    Args:
        stack: The stack.
        postgres_pid: Its Postgres's postmaster, whose backends are counted with it.
    """

    def __init__(self, stack: RunningStack, postgres_pid: int) -> None:
        self._processes = {part: psutil.Process(stack.processes[name]) for part, name in PARTS.items()}
        self._postmaster = psutil.Process(postgres_pid)
        self._before = self._now()

    def seconds(self) -> dict[str, float]:
        """Return the processor seconds of each part since then; of Postgres, those of backends that still run."""
        now = self._now()
        return {part: spent - self._before[part] for part, spent in now.items()}

    def _now(self) -> dict[str, float]:
        spent = {part: _seconds_of(process) for part, process in self._processes.items()}
        backends = self._postmaster.children()
        return spent | {"Postgres": sum(map(_seconds_of, [self._postmaster, *backends]))}


def _seconds_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
