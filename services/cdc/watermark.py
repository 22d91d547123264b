"""Watermarks: what may be said of the change stream, and when to say it. Consistency contract, section 4.5 and 4.6.

A *look* at Postgres gives a snapshot and, read after it, an insert LSN: one statement, so that nothing waits for two. A
*round* takes an LSN `a` that the WAL had reached before its snapshot was taken; it waits until the stream has delivered
everything up to `a`, publishes what that snapshot shows, and says (w, c). There are two such LSNs:

* where the stream stood before the look, if the look's snapshot has published something: nothing is waited for then,
  and the changes and the watermark that covers them go into the log together;
* else the insert LSN of the look before, which covers what is no commit of a followed table.

What is said:

* w: everything visible below it is ahead of this watermark. `a + 1` if nothing is held back at `a`, else `a`. (LSNs are
  multiples of 8, so `a + 1` is no real position.)
* c: everything that committed up to it is ahead of this watermark, visible or not. Where something is held back, c is
  where the first held commit record *starts*: every commit before it ends at or below that, and Postgres, told to
  forget what lies below, sends again whatever commit record starts at or above. One byte below the record's *end* would
  make it skip that transaction for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.cdc.gate import Look, Snapshot
from services.cdc.transactions import Transaction
from services.shared.lsn import NO_LSN, Lsn
from services.shared.runtime.pace import Pace

LEAST_SPACING_SECONDS = 0.003
MOST_SPACING_SECONDS = 0.020
WAITED_SHARE = 1 / 8
"""How far apart looks are that have something to say: between these, the farther the longer we wait for a processor,
and such that at most this share of the time is waited for their answers, beyond what these take at best. Each look
wakes Postgres, the log, the invalidator, Redis and every worker. Where processors have time to spare commits are told
of within milliseconds; where all these wait for one, more commits share what a look costs."""

PERIOD_SECONDS = 0.020
"""How often to look while nothing is published."""

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
        snapshot: Taken after the WAL had reached it.
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
    """Decides when to look, and when a round is worth its while. Pure: every time is given.

    A commit is looked at when it comes, but looks keep their distance (`Pace`). Without one the insert LSN is looked at
    every `PERIOD_SECONDS`, and a round is made if it has moved. On an idle database it does not move; a heartbeat moves
    it once, and its own message delivers the new one, so that it needs no second heartbeat.

    Attributes:
        round: The watermark in the making, if there is one.
        pace: How far apart looks are that have something to say.
    """

    def __init__(self) -> None:
        self.round: Round | None = None
        self.pace = Pace(LEAST_SPACING_SECONDS, MOST_SPACING_SECONDS, WAITED_SHARE)
        self._looked_at = float("-inf")
        self._looked_lsn = NO_LSN  # of the last look: the next one's snapshot comes after it
        self._published = False  # something, since the last watermark
        self._sent_at = float("-inf")
        self._sent_lsn = NO_LSN
        self._sent_snapshot: Snapshot | None = None

    def published(self) -> None:
        """Note that a transaction was published."""
        self._published = True

    @property
    def paced_at(self) -> float:
        """When the next look is due at the earliest, if there is something to say."""
        return self._sent_at + self.pace.spacing

    @property
    def look_at(self) -> float:
        """When to look next, if no commit comes."""
        news = self._published or self._looked_lsn > self._sent_lsn
        return self.paced_at if news and self.round is None else self._looked_at + PERIOD_SECONDS

    def looked(self, now: float, look: Look, delivered: Lsn) -> None:
        """Note a look, and begin a round if there is something to say.

        Args:
            now: When the look was over, by the clock of the loop, in seconds.
            look: What it showed; what its snapshot shows must have been noted as published.
            delivered: Up to where the stream had been read before the look began.
        """
        before, self._looked_lsn, self._looked_at = self._looked_lsn, look.insert_lsn, now
        urgent = self._published or look.snapshot != self._sent_snapshot
        if self._published:  # a round that waits would promise more, but keep this waiting
            self.round = Round(delivered, look.snapshot, now, urgent)
        elif self.round is not None:  # what has become visible meanwhile is told as well
            self.round = replace(self.round, snapshot=look.snapshot, urgent=urgent)
        elif before > self._sent_lsn:
            self.round = Round(before, look.snapshot, now, urgent)

    def sent(self, now: float) -> None:
        """Note that the watermark of the round was sent."""
        if self.round is not None:
            self._sent_lsn, self._sent_snapshot = self.round.insert_lsn, self.round.snapshot
        self._sent_at = now
        self._published = False
        self.round = None
