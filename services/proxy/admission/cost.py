"""What something costs, by what it has cost lately. Pure."""

_DOWN, _UP = 0.25, 0.02


class Cost:
    """Follows the lower end of durations that are sometimes drawn out: by a busy machine, by whoever was served first.

    What queues is drawn out for hits, misses and forwarded statements alike, so it must not count as what one of them
    takes.

    Attributes:
        seconds: The cost; `at_first` until something was measured.
    """

    __slots__ = ("_measured", "seconds")

    def __init__(self, at_first: float) -> None:
        self.seconds = at_first
        self._measured = False

    def note(self, seconds: float) -> None:
        """Take a duration."""
        if not self._measured:
            self._measured, self.seconds = True, seconds
        else:
            self.seconds += (seconds - self.seconds) * (_DOWN if seconds < self.seconds else _UP)
