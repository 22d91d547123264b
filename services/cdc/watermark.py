"""Watermarks: what may be said of the change stream, and when to say it. Consistency contract, section 4.5 and 4.6.

One *round* takes an insert LSN `a`, and then, in a statement of its own, a snapshot; it waits until the stream has
delivered everything up to `a`, publishes what that snapshot shows, and says (w, c):

* w: everything visible below it is ahead of this watermark. `a + 1` if nothing is held back at `a`, else `a`. (LSNs are
  multiples of 8, so `a + 1` is no real position.)
* c: everything that committed up to it is ahead of this watermark, visible or not. Where something is held back, c is
  where the first held commit record *starts*: every commit before it ends at or below that, and Postgres, told to
  forget what lies below, sends again whatever commit record starts at or above. One byte below the record's *end* would
  make it skip that transaction for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from services.cdc.gate import Snapshot
from services.cdc.transactions import Transaction
from services.shared.lsn import NO_LSN, Lsn

SPACING_SECONDS = 0.004
"""At most one watermark in this time, however much is published."""

PERIOD_SECONDS = 0.020
"""How often to look whether the insert LSN moves while nothing is published."""

HEARTBEAT_AFTER_SECONDS = 0.005
"""How long the stream may take to deliver `a` before a heartbeat makes Postgres flush. Commits that wait for the WAL
writer, a page header at the end of the WAL and a switch of WAL files would make us wait without limit."""

PATIENCE_SECONDS = 0.5
"""The same while no transaction can have ended since the last watermark. Postgres writes some WAL of its own (15 s
after activity, for one) which its WAL writer flushes within `wal_writer_delay`; a heartbeat would be the activity
that makes it write more, on a database that nobody uses."""


class WatermarkValue(NamedTuple):
    """What a watermark says: see the module."""

    watermark: Lsn
    settled: Lsn


@dataclass(frozen=True, slots=True)
class Round:
    """A watermark in the making.

    Attributes:
        insert_lsn: `a`.
        snapshot: Taken after it.
        started_at: When, by the clock of the loop, in seconds.
        urgent: Whether a transaction may have ended since the last watermark.
    """

    insert_lsn: Lsn
    snapshot: Snapshot
    started_at: float
    urgent: bool

    @property
    def heartbeat_at(self) -> float:
        """When a heartbeat is due if the stream has not delivered `insert_lsn` by then."""
        return self.started_at + (HEARTBEAT_AFTER_SECONDS if self.urgent else PATIENCE_SECONDS)


def watermark_at(insert_lsn: Lsn, held: Iterable[Transaction]) -> WatermarkValue:
    """Return what may be said once the stream has delivered `insert_lsn`.

    Args:
        insert_lsn: `a` of the round.
        held: The transactions read from the stream that are not yet published.
    """
    starts = [transaction.commit_lsn for transaction in held if transaction.end_lsn <= insert_lsn]
    if not starts:
        return WatermarkValue(Lsn(insert_lsn + 1), insert_lsn)
    return WatermarkValue(insert_lsn, min(starts))


class WatermarkSchedule:
    """Decides when a round is worth its while. Pure: every time is given.

    After something was published: at once, but at most one in `SPACING_SECONDS`. Otherwise the insert LSN is looked at
    every `PERIOD_SECONDS`, and a round is made if it has moved. On an idle database it does not move; a heartbeat moves
    it once, and its own message delivers the new one, so that it needs no second heartbeat.
    """

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._published = True  # the first watermark of an incarnation is always due
        self._last_lsn = NO_LSN
        self._last_snapshot: Snapshot | None = None

    def published(self) -> None:
        """Note that a transaction was published."""
        self._published = True

    @property
    def look_at(self) -> float:
        """When to look at the insert LSN next."""
        return self._looked_at + (SPACING_SECONDS if self._published else PERIOD_SECONDS)

    def looked(self, now: float, insert_lsn: Lsn) -> bool:
        """Note a look at the insert LSN, and tell whether to make a round from it."""
        self._looked_at = now
        return self._published or insert_lsn > self._last_lsn

    def is_urgent(self, snapshot: Snapshot) -> bool:
        """Tell whether a transaction may have ended since the last watermark."""
        return self._published or snapshot != self._last_snapshot

    def sent(self, round_: Round) -> None:
        """Note that the watermark of a round was sent."""
        self._published = False
        self._last_lsn = round_.insert_lsn
        self._last_snapshot = round_.snapshot
