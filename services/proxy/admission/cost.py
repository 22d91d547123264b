"""What something costs, by what it has cost lately. Pure."""

_DOWN, _UP = 0.25, 0.002
_WEIGHT = 1 / 32  # of the last one in an average


class Wait:
    """Follows the lower end of times that are waited: what queues on a busy machine must not count.

    Attributes:
        seconds: The wait; `at_first` until something was measured.
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


class Work:
    """Follows the average of processor times: in them nothing is waited for, and what is cold is cold for a reason.

    Attributes:
        seconds: The time; `at_first` until something was measured.
    """

    __slots__ = ("_measured", "seconds")

    def __init__(self, at_first: float) -> None:
        self.seconds = at_first
        self._measured = False

    def note(self, seconds: float) -> None:
        """Take a processor time."""
        if not self._measured:
            self._measured, self.seconds = True, seconds
        else:
            self.seconds += (seconds - self.seconds) * _WEIGHT
