"""Whether processors are short, by what the kernel counts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.shared.runtime.processor_wait import ProcessorWait

MILLISECOND = 1_000_000  # nanoseconds


def counters(path: Path, ran: int, waited: int) -> None:
    path.write_text(f"{ran} {waited} 17\n")


def test_the_share_is_of_what_has_happened_since_the_last_look(tmp_path: Path) -> None:
    path = tmp_path / "schedstat"
    processors = ProcessorWait(path)
    counters(path, 900 * MILLISECOND, 5 * MILLISECOND)
    assert processors.look(1.0) == 0.0
    for number in range(1, 40):
        counters(path, (900 + 30 * number) * MILLISECOND, (5 + 10 * number) * MILLISECOND)
        processors.look(1.0 + number)
    assert processors.share == pytest.approx(1 / 4, rel=0.01)


def test_looks_that_come_close_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "schedstat"
    processors = ProcessorWait(path)
    counters(path, 0, 0)
    processors.look(1.0)
    counters(path, 0, MILLISECOND)
    assert processors.look(1.09) == 0.0
    assert processors.look(1.11) > 0.0


@pytest.mark.parametrize("text", [None, "", "cpu\n", "0 0 0\n"])
def test_where_the_kernel_does_not_tell_nothing_is_waited_for(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "schedstat"
    if text is not None:
        path.write_text(text)
    processors = ProcessorWait(path)
    for second in range(5):
        assert processors.look(float(second)) == 0.0


def test_who_shares_a_processor_waits_for_it() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # of this thread, and of the child with it
    try:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            processors = ProcessorWait()
            until = time.thread_time() + 0.5  # of a processor, so that it is shared by then
            while time.thread_time() < until:
                processors.look(time.monotonic())
            other.kill()
    finally:
        os.sched_setaffinity(0, before)
    assert processors.share > 0.2
