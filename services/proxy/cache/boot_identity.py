"""Which clock does this process read? Whoever reads the same one may compare moments with it.

CLOCK_BOOTTIME is the same for all processes of a running kernel, but for those in a time namespace of their own. So an
answer that ages may carry the moment at which it was asked for: through Redis to other workers of this machine, and to
those that are started later. On another machine, or after a boot, the number means nothing, and no clock there or in
Redis tells what it is worth; so what ages is not shared with them.
"""

import secrets
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")  # from Linux 5.6 on; before there was but one


@cache
def boot_clock_identity() -> bytes:
    """Return a name for this process's boot clock; one of its own where the kernel does not tell."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
        namespace = _TIME_NAMESPACE.readlink() if _TIME_NAMESPACE.is_symlink() else ""
    except OSError:
        return secrets.token_bytes(16)
    return f"{boot}/{namespace}".encode()
