"""How many clients the open files of this process are enough for.

A client takes two descriptors: its own connection and the one to Postgres. A process that runs out of them accepts
connections and drops them without a word, so the limit on clients is lowered instead, where it would come to that.
"""

import resource
from collections.abc import Mapping

import structlog

from services.shared.runtime.settings import CacheSettings

_EACH_CLIENT = 2
_SPARE = 256  # Redis, control connections, logs, metrics, and clients that are being told that there is no room

_log = structlog.get_logger()


def raise_open_files() -> int:
    """Allow this process as many open files as it may allow itself, and return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # some kernels take no unlimited number
            _log.debug("the number of open files stays as it is", error=repr(error))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _as_number(soft)


def client_limits(caches: Mapping[str, CacheSettings], open_files: int) -> dict[str, int]:
    """Return how many clients each cache may have in this worker.

    Args:
        caches: Their settings, with the number that is wanted.
        open_files: How many files the process may have open.
    """
    wanted = {name: cache.max_clients for name, cache in caches.items()}
    needed = _EACH_CLIENT * sum(wanted.values()) + _SPARE
    if needed <= open_files:
        return wanted
    share = max(0, open_files - _SPARE) / (needed - _SPARE)
    limits = {name: max(1, int(share * clients)) for name, clients in wanted.items()}
    _log.warning(
        "too few open files for max_clients, so fewer clients are let in",
        open_files=open_files,
        needed=needed,
        max_clients=sum(wanted.values()),
        let_in=sum(limits.values()),
        advice=f"raise the hard limit on open files (ulimit -Hn, LimitNOFILE=) to {needed}, or lower max_clients",
    )
    return limits


def _as_number(limit: int) -> int:
    return limit if limit != resource.RLIM_INFINITY else 1 << 30
