"""Waits until a cache that has just started serves reads: before that, tables are not followed and nothing is kept."""

from tests.integration.wire_client import WireClient
from tests.servers.processes import wait_until
from tests.servers.stack import RunningStack

_FOLLOWED_SECONDS = 60.0
_HITS = "tidegate_proxy_hits_total"
_STREAK = 5  # hits in a row: the first may still be followed by a drop, when the catalog is read again


def wait_until_cached(stack: RunningStack, read: str) -> None:
    """Return once a read of a table is a hit, several times in a row.

    Raises:
        ServerError: It never is.
    """
    with WireClient(stack.database_url).start() as client:

        def cached() -> bool:
            before = stack.counter(_HITS)
            for _ in range(_STREAK):
                client.query(read)
            return stack.counter(_HITS) >= before + _STREAK

        wait_until(cached, f"{read!r} to be served from the cache", _FOLLOWED_SECONDS)
