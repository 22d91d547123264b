"""Watermarks, many a second, as one line now and then: how far the log is, and how far behind the cache is. Pure."""

from collections import deque
from datetime import datetime

from services.shared.lsn import NO_LSN, Lsn, format_lsn
from services.tail.line import Line, LineKind

SPACING_SECONDS = 1.0
"""At most one line in this time."""

UNSEEN_SECONDS = 2.0
"""How long to wait for a first word of Redis before it is said that there is none."""

STUCK_SECONDS = 5.0
"""How often to say that the cache is behind while nothing moves."""

_REMEMBERED = 10_000  # watermarks on their way: some seconds of the most that there can be


class Watermarks:
    """The watermarks of the log, and of them the one that was applied in Redis."""

    def __init__(self, partition_count: int) -> None:
        self._partition_count = partition_count
        self._told_at = float("-inf")
        self._told = (NO_LSN, NO_LSN)
        self._first_at = float("-inf")
        self._forget()

    def _forget(self) -> None:
        self._in_log = [NO_LSN] * self._partition_count
        self._settled = [NO_LSN] * self._partition_count
        self._applied = [NO_LSN] * self._partition_count
        self._on_their_way: deque[tuple[Lsn, float]] = deque(maxlen=_REMEMBERED)
        self._count = 0

    def begin(self) -> None:
        """Forget everything: LSNs of another history do not compare."""
        self._forget()

    def logged(self, partition: int, watermark: Lsn, settled: Lsn, now: float) -> None:
        """Note a watermark of the log."""
        if max(self._in_log) == NO_LSN:
            self._first_at = now
        before = min(self._in_log)
        self._in_log[partition] = watermark
        self._settled[partition] = settled
        self._count += 1
        if (least := min(self._in_log)) > before:
            self._on_their_way.append((least, now))

    def applied(self, partition: int, watermark: Lsn) -> None:
        """Note the watermark that Redis has for a partition."""
        self._applied[partition] = max(self._applied[partition], watermark)
        reached = min(self._applied)
        while self._on_their_way and self._on_their_way[0][0] <= reached:
            self._on_their_way.popleft()

    def line(self, now: float, at: datetime) -> Line | None:
        """Return a line if one is due."""
        in_log, applied = min(self._in_log), min(self._applied)
        moved = (in_log, applied) != self._told
        behind = bool(self._on_their_way)
        since = now - self._told_at
        if applied == NO_LSN and now < self._first_at + UNSEEN_SECONDS:
            return None  # the feed is read after the log
        if in_log == NO_LSN or since < SPACING_SECONDS or not (moved or (behind and since >= STUCK_SECONDS)):
            return None
        count, self._count = self._count, 0
        self._told, self._told_at = (in_log, applied), now
        settled = min(self._settled)
        lag_bytes = max(0, in_log - applied) if applied != NO_LSN else None
        lag_seconds = now - self._on_their_way[0][1] if behind else 0.0
        parts = (f"log {format_lsn(in_log)}", _behind(applied, lag_bytes, lag_seconds), f"(+{count})")
        return Line(
            LineKind.WATERMARK,
            at,
            parts=parts,
            facts={
                "watermark": format_lsn(in_log),
                "settled": format_lsn(settled),
                "applied": None if applied == NO_LSN else format_lsn(applied),
                "lag_bytes": lag_bytes,
                "lag_seconds": round(lag_seconds, 3),
                "count": count,
            },
        )


def _behind(applied: Lsn, lag_bytes: int | None, lag_seconds: float) -> str:
    if lag_bytes is None:
        return "Redis: none yet"
    if not lag_bytes:
        return "Redis: all of it"
    return f"Redis {format_lsn(applied)}, {lag_bytes:,} bytes and {lag_seconds:.1f} s behind"
