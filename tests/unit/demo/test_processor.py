"""The processor time of a process and its children."""

import os
import subprocess
import sys
import time

from demo.processor import CpuMeter


def test_a_child_counts_even_when_it_has_ended() -> None:
    meter = CpuMeter(os.getpid())
    began = time.process_time()
    subprocess.run([sys.executable, "-c", "for _ in range(3_000_000): pass"], check=True)
    own = time.process_time() - began

    elapsed_and_more = 1000.0
    assert meter.cores() * elapsed_and_more > own
