"""A clock that moves when it is told to."""


class ManualClock:
    """Seconds; begins well above zero, as a boot clock does."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
