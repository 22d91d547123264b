"""What a piece of code costs, in processor time of this process: what else the machine does is not in it.

Sizes are measured each in a process of its own, so that none pays for what an earlier one left behind.
"""

import gc
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

_Size = TypeVar("_Size")
_Result = TypeVar("_Result")

MICROSECONDS, MILLISECONDS = 1e6, 1e3


def seconds_of(action: Callable[[], object]) -> float:
    """Return the processor seconds that an action takes."""
    began = time.process_time()
    action()
    return time.process_time() - began


def each_in_a_process(measure: Callable[[_Size], _Result], sizes: Sequence[_Size]) -> list[_Result]:
    """Measure every size in a new process."""
    results: list[_Result] = []
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            results.append(pool.submit(measure, size).result())
    return results


class GarbagePauses:
    """Notes how long Python looks for garbage while this is open.

    Attributes:
        longest, total: Seconds.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.total = 0.0
        self._began = 0.0

    def __enter__(self) -> "GarbagePauses":
        gc.callbacks.append(self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.process_time()
            return
        took = time.process_time() - self._began
        self.total += took
        self.longest = max(self.longest, took)
