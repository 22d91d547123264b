"""How fresh is what this worker knows? Consistency contract, sections 3 and 9.6.

A probe asks the primary for its insert LSN L and remembers t0, the moment before it asked. Once the worker has applied
a watermark beyond L, every change that was visible at t0 has been evicted here: what the cache holds is then as fresh
as t0. So freshness is the t0 of the newest covered probe, and a hit may be served until `t0 + max_staleness - margin`,
by this host's own clock and nobody else's.

The same numbers carry read-your-writes: a write is seen once a probe that was sent after its acknowledgement is
covered. Probes are numbered in the order of sending, LSNs only grow, so one number, `covered`, answers for all.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from services.shared.lsn import NO_LSN, Lsn

_MARGIN_SECONDS = 0.010  # grain and scheduling of the clock reads around a serve
_MARGIN_FRACTION = 0.01  # clocks are assumed to run within 1 % of each other


def boot_clock() -> float:
    """Return seconds on CLOCK_BOOTTIME, which goes on through a suspend (the loop's clock does not)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def lasting(max_staleness: float) -> float:
    """Return for how long after its moment a proof of freshness may be used, in seconds.

    Args:
        max_staleness: The bound, in seconds. One as small as the margin cannot be kept: nothing is ever fresh.
    """
    return max_staleness - _MARGIN_SECONDS - max_staleness * _MARGIN_FRACTION


class Probe(NamedTuple):
    """A question to the primary that is under way."""

    number: int
    sent_at: float  # seconds, boot clock, before the question was sent


class _Answer(NamedTuple):
    number: int
    sent_at: float
    lsn: Lsn


class Freshness:
    """Probes, watermark, and the deadline that follows from both. Pure; one per worker and cache.

    Attributes:
        deadline: Boot-clock second until which a hit may be served; 0.0: not at all. The hot path compares with it.
        covered: Number of the newest probe that is covered by the watermark.
        on_covered: Called with that number when it grows.
        proven_at: Boot-clock second at which what the cache holds was current, as proven last: it outlives a lost probe
            connection, but no doubt about the history. 0.0: never, or not any more.
    """

    __slots__ = (
        "_answers",
        "_clock",
        "_first_valid",
        "_last_answered_lsn",
        "_next_number",
        "_span",
        "_watermark",
        "covered",
        "deadline",
        "on_covered",
        "proven_at",
    )

    def __init__(self, max_staleness: float, clock: Callable[[], float] = boot_clock) -> None:
        """Start with nothing proven.

        Args:
            max_staleness: The bound, in seconds.
            clock: Seconds on a clock that counts suspended time too.
        """
        self._span = lasting(max_staleness)
        self._clock = clock
        self._answers: deque[_Answer] = deque()
        self._watermark = NO_LSN
        self._next_number = 1
        self._first_valid = 1
        self._last_answered_lsn = NO_LSN
        self.deadline = 0.0
        self.covered = 0
        self.on_covered: Callable[[int], None] | None = None
        self.proven_at = 0.0

    @property
    def span(self) -> float:
        """How long after its moment a proof of freshness lasts, in seconds."""
        return self._span

    @property
    def watermark(self) -> Lsn:
        """The watermark that this worker has applied."""
        return self._watermark

    @property
    def next_number(self) -> int:
        """The number of the next probe to be sent: the token of a write that is acknowledged now."""
        return self._next_number

    def age(self) -> float:
        """Return how old the newest proof is, in seconds; infinite when there is none."""
        if self.deadline == 0.0:
            return float("inf")
        return self._clock() - (self.deadline - self._span)

    def is_fresh(self, span: float | None = None) -> bool:
        """Tell whether a hit may be served now.

        Args:
            span: For how long a proof lasts under another bound than the cache's (`lasting`).
        """
        return self._clock() < (self.deadline if span is None else self.deadline_under(span))

    def deadline_under(self, span: float) -> float:
        """Return the boot-clock second until which a hit may be served when a proof lasts for so long; 0.0: not now."""
        return self.deadline - self._span + span if self.deadline else 0.0

    def send(self) -> Probe:
        """Number a probe that is about to be sent."""
        probe = Probe(self._next_number, self._clock())
        self._next_number += 1
        return probe

    def answer(self, probe: Probe, lsn: Lsn) -> None:
        """Take the primary's answer to a probe.

        An answer to a probe sent before the last `drop` proves nothing and is ignored. An LSN that went backwards means
        another history, which the caller should have seen by its identity; everything is dropped.
        """
        if probe.number < self._first_valid:
            return
        if lsn < self._last_answered_lsn:
            self.drop()
            return
        self._last_answered_lsn = lsn
        self._forget_overdue()
        self._answers.append(_Answer(probe.number, probe.sent_at, lsn))
        self._settle()

    def advance(self, watermark: Lsn) -> None:
        """Take a watermark that this worker has applied from the feed."""
        self._watermark = watermark
        self._settle()

    def drop(self) -> None:
        """The history is in doubt: forget every probe for good, and what was proven, until a later one is covered."""
        self.lose()
        self.proven_at = 0.0

    def lose(self) -> None:
        """The probe connection is lost: forget every probe for good. What was proven before was true."""
        self._answers.clear()
        self._first_valid = self._next_number
        self._last_answered_lsn = NO_LSN
        self.deadline = 0.0

    def restart(self, watermark: Lsn) -> None:
        """Begin a new history, whose watermark may lie below the old one."""
        self.drop()
        self._watermark = watermark

    def _forget_overdue(self) -> None:
        """Forget answers that would prove nothing any more, or a watermark that stands still would pile them up."""
        overdue = self._clock() - self._span
        while self._answers and self._answers[0].sent_at <= overdue:
            self._answers.popleft()

    def _settle(self) -> None:
        newest: _Answer | None = None
        while self._answers and self._answers[0].lsn < self._watermark:
            newest = self._answers.popleft()
        if newest is not None:
            self.covered = newest.number
            self.deadline = newest.sent_at + self._span
            self.proven_at = newest.sent_at
            if self.on_covered is not None:
                self.on_covered(newest.number)
