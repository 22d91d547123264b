"""What becomes of a session that has lost its connection to Postgres: ADR 15. Pure."""

from enum import Enum, auto

from services.proxy.cache.outage import Outage, Phase


class Fate(Enum):
    """What is to be done with it now."""

    WAITS = auto()  # for the verdict whether Postgres is down
    GOES_ON = auto()
    OVER = auto()  # nothing is left that may be served
    BACK = auto()  # Postgres is back, and this session is gone there
    MEANT = auto()  # Postgres was not down: it ended this session


class Outliving:
    """One session's way behind its connection.

    Attributes:
        outlived: Postgres has been down since it lost that.
    """

    __slots__ = ("_outage", "outlived")

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self.outlived = False

    def fate(self, *, idle: bool, draining: bool) -> Fate:
        """Tell what becomes of it.

        Args:
            idle: No turn is under way.
            draining: The worker is about to stop.
        """
        outage = self._outage
        if outage.phase is Phase.SUSPECTED:
            return Fate.GOES_ON if draining else Fate.WAITS
        if outage.phase is Phase.DOWN:
            self.outlived = True
            return Fate.GOES_ON if outage.may_serve or not idle else Fate.OVER
        if not idle:
            return Fate.GOES_ON
        return Fate.BACK if self.outlived else Fate.MEANT
