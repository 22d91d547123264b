"""Which WAL may Postgres forget? Consistency contract, section 4.7.

Only what lies below the c of a watermark that stands in the log: acknowledged by every partition, with nothing that was
appended before it still unacknowledged. Acknowledgements arrive in any order; the records are numbered in the order in
which they were appended, whatever their partition, and a watermark is settled once all up to its last one are in.

A ledger belongs to one incarnation and starts where its stream does: no watermark of an earlier one is ever confirmed.
"""

from collections import deque
from typing import NewType

from services.shared.lsn import Lsn

Ticket = NewType("Ticket", int)
"""Number of a record among all that this incarnation has appended, from 0."""


class ProgressError(Exception):
    """The order of events is impossible, so nothing may be confirmed any more: a bug, or a corrupt stream."""


class ProgressLedger:
    """Records between append and acknowledgement, and the watermarks among them. Pure."""

    def __init__(self, start: Lsn) -> None:
        """Begin where the stream begins, which Postgres has already been told."""
        self._confirmed = start
        self._next_ticket = 0
        self._oldest = 0  # every ticket below is acknowledged
        self._acknowledged: set[int] = set()  # tickets above the oldest unacknowledged one
        self._watermarks: deque[tuple[int, Lsn]] = deque()  # ticket of the watermark's last record, and its c

    @property
    def confirmed(self) -> Lsn:
        """What lies below may be forgotten."""
        return self._confirmed

    @property
    def unacknowledged(self) -> int:
        """Number of records that are on their way."""
        return self._next_ticket - self._oldest - len(self._acknowledged)

    def append(self) -> Ticket:
        """Number a record that is being appended."""
        ticket = Ticket(self._next_ticket)
        self._next_ticket += 1
        return ticket

    def acknowledge(self, ticket: Ticket) -> None:
        """Note that the log has a record.

        Raises:
            ProgressError: The record was never appended, or was acknowledged before.
        """
        if not self._oldest <= ticket < self._next_ticket or ticket in self._acknowledged:
            raise ProgressError(f"record {ticket} is not awaited")
        self._acknowledged.add(ticket)
        while self._oldest in self._acknowledged:
            self._acknowledged.remove(self._oldest)
            self._oldest += 1
        while self._watermarks and self._watermarks[0][0] < self._oldest:
            self._confirmed = self._watermarks.popleft()[1]

    def watermark(self, settled: Lsn) -> None:
        """Note that the records appended last, one for each partition, are a watermark.

        Args:
            settled: Its c.

        Raises:
            ProgressError: An earlier watermark promised more.
        """
        newest = self._watermarks[-1][1] if self._watermarks else self._confirmed
        if settled < newest:
            raise ProgressError("a watermark settles less than the one before it")
        if settled > newest:
            self._watermarks.append((self._next_ticket - 1, settled))
