"""Where was this worker when the primary was where a hot standby is now? Consistency contract, section 9.8.

An answer of a standby shows everything that the standby has replayed, and for certain nothing more. So it may be kept
as of a position at which no eviction had been applied of a commit that lies behind that: q0 of a fill need not be the
worker's newest position, an older one only has more evictions to be compared with. By that the rule of validity itself
decides what a standby that lags may bring: what has changed since is refused, the rest is kept.

A moment is noted with each watermark. What a standby must have replayed to stand for it is the highest commit whose
eviction was applied, and the watermark. The watermark speaks of what is never evicted: a commit that was there before
its stream was (H47), or before its table was followed (H11), or whose record was lost before the bucket's epoch began,
lies below a watermark that covers a probe sent behind that.

Pure; one per worker and cache.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from services.proxy.cache.freshness import boot_clock
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import Position

_SPACING_SECONDS = 0.005  # watermarks may come every millisecond; a standby's lag need not be known better
_MOST = 2_000  # moments that are remembered: ten seconds of steady writes, and some 400 KB
_LSN_GRAIN = 8  # a watermark is one above the LSN up to which everything was visible; LSNs are multiples of this


class Moment(NamedTuple):
    """One place in what was applied.

    Attributes:
        replayed: A standby that has replayed this shows everything that was evicted, or will never be, up to here.
        positions: What was applied, per partition.
        watermark: The watermark then.
    """

    replayed: Lsn
    positions: tuple[Position, ...]
    watermark: Lsn


class AppliedMoments:
    """The latest moments, oldest first."""

    def __init__(self, clock: Callable[[], float] = boot_clock) -> None:
        """Start with none.

        Args:
            clock: Seconds; only differences are of interest.
        """
        self._clock = clock
        self._moments: list[Moment] = []
        self._spaced_at = 0.0  # when the last but one was noted: the last is replaced until it is far enough from that

    def forget(self) -> None:
        """What was noted proves nothing any more: another history, or another set of followed relations."""
        self._moments.clear()
        self._spaced_at = 0.0

    def note(self, positions: tuple[Position, ...], highest_commit: Lsn, watermark: Lsn) -> None:
        """A watermark was applied.

        Args:
            positions: What has been applied now.
            highest_commit: The highest end of a commit among it.
            watermark: The watermark of all partitions; `NO_LSN` while there is none.
        """
        if watermark == NO_LSN:
            return
        replayed = max(highest_commit, Lsn(watermark // _LSN_GRAIN * _LSN_GRAIN))
        now = self._clock()
        if self._moments and self._moments[-1].positions == positions:
            return
        if self._moments:
            replayed = max(replayed, self._moments[-1].replayed)
            if now < self._spaced_at + _SPACING_SECONDS:
                self._moments.pop()
            else:
                self._spaced_at = now
        if len(self._moments) >= _MOST:
            del self._moments[: _MOST // 2]
        self._moments.append(Moment(replayed, positions, watermark))

    def at(self, replayed: Lsn) -> Moment | None:
        """Return the newest moment for which a standby stands that has replayed so much; None if there is none."""
        index = bisect_right(self._moments, replayed, key=lambda moment: moment.replayed)
        return self._moments[index - 1] if index else None
