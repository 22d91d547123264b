"""Services with a deliberate fault, to see that the suite finds it: a suite that passes a broken cache proves nothing.

    python -m tests.chaos.broken no_gate cdc      `tidegate cdc`, with that fault

A fault is a change of some function of ours before the service runs. There are no switches for them in the services.
"""

import itertools
import sys
import time
from collections import deque
from collections.abc import Callable

from services import cli
from services.cdc.gate import Snapshot
from services.cdc.publisher import Publisher
from services.cdc.transactions import Transaction
from services.cdc.watermark import WatermarkValue
from services.invalidator.evictor import Evictor
from services.invalidator.planner import Plan
from services.proxy.cache.freshness import Freshness
from services.proxy.cache.recent import RecentEvictions
from services.proxy.session.own_writes import OwnWrites

_DROP_EVERY = 50
_BEHIND_SECONDS = 2.5
_NOTHING = Plan(())


def no_gate() -> None:
    """Publish a commit when it is decoded, visible or not: evict on event."""

    def shows(self: Snapshot, xid: int) -> bool:
        return True

    Snapshot.shows = shows  # type: ignore[method-assign]


def watermark_first() -> None:
    """Send watermarks before the changes that they promise: seconds before, so that the bound is broken by it."""
    real_publish, real_watermark = Publisher.publish, Publisher.watermark
    waiting: deque[tuple[float, Transaction, int]] = deque()

    def publish(self: Publisher, transaction: Transaction, xid: int) -> None:
        waiting.append((time.monotonic() + _BEHIND_SECONDS, transaction, xid))

    def watermark(self: Publisher, value: WatermarkValue) -> None:
        real_watermark(self, value)
        while waiting and waiting[0][0] <= time.monotonic():
            _, transaction, xid = waiting.popleft()
            real_publish(self, transaction, xid)

    Publisher.publish = publish  # type: ignore[method-assign]
    Publisher.watermark = watermark  # type: ignore[method-assign]


def drops_evictions() -> None:
    """Lose one eviction in fifty."""
    real, numbers = Evictor._plan, itertools.count(1)

    def plan(self: Evictor, event: object) -> Plan:
        return _NOTHING if next(numbers) % _DROP_EVERY == 0 else real(self, event)  # type: ignore[arg-type]

    Evictor._plan = plan  # type: ignore[method-assign]


def no_evictions() -> None:
    """Evict nothing: with a short `max_entry_age` what remains is a plain cache with a time to live."""

    def plan(self: Evictor, event: object) -> Plan:
        return _NOTHING

    Evictor._plan = plan  # type: ignore[method-assign]


def trusts_for_ever() -> None:
    """Call the cache fresh for ever once it was, whatever has become of the stream."""
    real = Freshness._settle

    def settle(self: Freshness) -> None:
        real(self)
        self.deadline = float("inf") if self.covered else self.deadline

    Freshness._settle = settle  # type: ignore[method-assign]


def unchecked_fills() -> None:
    """Keep every answer, though what it depends on was evicted while its query was under way."""

    def refuses(*arguments: object) -> str:
        return ""

    RecentEvictions.refuses = refuses  # type: ignore[method-assign,assignment]


def no_tokens() -> None:
    """Forget what a session has written."""

    def covered(*arguments: object) -> bool:
        return True

    OwnWrites.covered = covered  # type: ignore[method-assign,assignment]


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        no_gate,
        watermark_first,
        drops_evictions,
        no_evictions,
        trusts_for_ever,
        unchecked_fills,
        no_tokens,
    )
}


def main() -> None:
    """Break what the first argument names, and be `tidegate` with the rest."""
    FAULTS[sys.argv.pop(1)]()
    cli.main()


if __name__ == "__main__":
    main()
