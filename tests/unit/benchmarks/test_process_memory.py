"""Resident memory: a peak is seen, and begins anew."""

import mmap
import os

from benchmarks.process_memory import peak_bytes, resident_bytes, restart_peak

_MEBIBYTE = 1 << 20


def test_a_peak_is_seen_until_it_begins_anew() -> None:
    own = os.getpid()
    restart_peak(own)
    before = resident_bytes(own)
    # Asked of the kernel itself: what the allocator gives out may have been resident before, freed by another test.
    with mmap.mmap(-1, 50 * _MEBIBYTE) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
    assert peak_bytes(own) > before + 40 * _MEBIBYTE
    restart_peak(own)
    assert peak_bytes(own) < before + 20 * _MEBIBYTE
