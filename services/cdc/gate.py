"""The visibility gate: is a commit that has been decoded visible yet? Consistency contract, section 4.4.

A walsender can show a commit before any new snapshot does: always by a little, and without limit while a synchronous
standby is awaited. Whoever evicts then refills the cache with the old row and keeps it (H1). No LSN tells what a
snapshot contains; only its transaction ids do.
"""

from dataclasses import dataclass
from typing import NamedTuple

from services.shared.lsn import Lsn

_XID_RANGE = 1 << 32
_XID_HALF = 1 << 31


class SnapshotError(ValueError):
    """The text is not what `pg_current_snapshot()` returns."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of the primary, taken by a statement of its own. Transaction ids are of 64 bits.

    Attributes:
        xmin: Every transaction below has ended.
        xmax: No transaction from here on is visible. That it exists and waits to become visible is possible (F4).
        in_progress: The top-level transactions between the two that have not ended.
    """

    xmin: int
    xmax: int
    in_progress: frozenset[int]

    def shows(self, xid: int) -> bool:
        """Tell whether a transaction that is known to commit is visible."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.in_progress)

    def widen(self, xid: int) -> int:
        """Return the 64-bit form of a 32-bit transaction id from the change stream.

        Ids that can still be met lie within 2^31 of the next one to be given out, so the signed distance in 32 bits is
        the true one.
        """
        distance = (xid - self.xmax) % _XID_RANGE
        return self.xmax + (distance - _XID_RANGE if distance >= _XID_HALF else distance)


class Look(NamedTuple):
    """What one statement shows: a snapshot, and an insert LSN that was read after it had been taken."""

    snapshot: Snapshot
    insert_lsn: Lsn


def parse_snapshot(text: str) -> Snapshot:
    """Read `xmin:xmax:xip,xip,…`.

    Raises:
        SnapshotError: The text is not of that form.
    """
    parts = text.split(":")
    try:
        xmin, xmax, in_progress = parts
        snapshot = Snapshot(int(xmin), int(xmax), frozenset(int(xid) for xid in in_progress.split(",") if xid))
    except ValueError:
        raise SnapshotError(f"not a snapshot: {text!r}") from None
    if not 0 < snapshot.xmin <= snapshot.xmax or not all(
        snapshot.xmin <= xid < snapshot.xmax for xid in snapshot.in_progress
    ):
        raise SnapshotError(f"not a snapshot: {text!r}")
    return snapshot
