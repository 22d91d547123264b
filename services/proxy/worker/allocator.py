"""How the C library gives out large blocks of memory.

uvloop takes 256 KiB for each connection under TLS, of which a few pages are ever touched. glibc maps blocks of 128 KiB
and more by themselves, so the rest costs nothing, but it stops doing so once a large block has been freed: then they
lie in the heap among used pages, and each connection costs 22 KiB more (measured). A fixed threshold keeps them apart.
"""

import ctypes

_M_MMAP_THRESHOLD = -3  # <malloc.h>
_THRESHOLD_BYTES = 256 * 1024  # uvloop's buffer, and nothing that is allocated for every chunk of data


def map_large_blocks() -> None:
    """Fix the size from which blocks are mapped by themselves; another C library than glibc goes on as it does."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
