"""How dear the time of a worker is. Pure.

A worker that has pauses takes from nobody what it does a little longer for one read. One without a pause does: as long
as it works, all other reads wait. By the theory of queues, a share b of the time in which it is busy has each wait
1 / (1 - b) times as long as the work takes; how many can wait is bounded by how many clients there are.
"""

_RELAXED = 0.75  # share up to which its work counts once: one client that asks again and again makes it so busy
_MOST = 8.0
_UP, _DOWN = 3 / 4, 1 / 4  # of the last look in the average: whoever has no pause any more is to notice at once


class Pressure:
    """Follows how busy a worker is.

    Attributes:
        busy: The share of its time lately in which it had something to do.
        factor: How often its work counts: 1 to 8.
    """

    __slots__ = ("busy", "factor")

    def __init__(self) -> None:
        self.busy = 0.0
        self.factor = 1.0

    def note(self, busy_share: float) -> None:
        """Take the share of the last time in which it had something to do."""
        further = min(max(busy_share, 0.0), 1.0) - self.busy
        self.busy += further * (_UP if further > 0 else _DOWN)
        pause = 1.0 - self.busy
        self.factor = min(max(1.0, (1.0 - _RELAXED) / pause) if pause > 0 else _MOST, _MOST)
