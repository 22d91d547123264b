"""What something costs, by what it has cost lately. Pure."""

from typing import ClassVar


class Cost:
    """Follows durations.

    Attributes:
        seconds: The cost; `at_first` until something was measured.
    """

    __slots__ = ("_measured", "seconds")
    _down: ClassVar[float]  # by what part of the distance it follows one that is shorter
    _up: ClassVar[float]  # and one that is longer

    def __init__(self, at_first: float) -> None:
        self.seconds = at_first
        self._measured = False

    def note(self, seconds: float) -> None:
        """Take a duration."""
        if not self._measured:
            self._measured, self.seconds = True, seconds
        else:
            self.seconds += (seconds - self.seconds) * (self._down if seconds < self.seconds else self._up)


class Wait(Cost):
    """Follows the lower end of times that are waited: what queues on a busy machine must not count."""

    __slots__ = ()
    _down, _up = 0.25, 0.002


class Work(Cost):
    """Follows the average of processor times: in them nothing is waited for, and what is cold is cold for a reason."""

    __slots__ = ()
    _down = _up = 1 / 32
