"""One read that is a turn of its own, on its way to Postgres just as the client sent it."""

from typing import Protocol

from services.proxy.session.exchange import Exchange
from services.proxy.session.follow_up import Portal
from services.proxy.session.lookup import Lookup
from services.proxy.session.miss import Miss
from services.proxy.session.recorder import Recorder


class Turn(Protocol):
    """Whose read it is."""

    def finish(self, *, whole: bool, failed: bool, portal: Portal | None) -> None:
        """The turn is answered to its end."""


class SingleRead:
    """A read that the cache had no answer to; what `ReadRun` is to a turn of several.

    Attributes:
        recorder: What captures its answer; None where that cannot be kept.
    """

    __slots__ = ("_lookup", "_miss", "_turn")

    def __init__(self, turn: Turn, lookup: Lookup, miss: Miss | None) -> None:
        self._turn = turn
        self._lookup = lookup
        self._miss = miss

    @property
    def recorder(self) -> Recorder | None:
        """See the class."""
        return None if self._miss is None else self._miss.recorder

    def answered_upstream(self, exchange: Exchange) -> None:
        """Postgres has answered: keep the answer; the client has it already, or is about to."""
        if self._miss is not None:
            self._lookup.end_miss(self._miss, failed=exchange.failed)
        self._turn.finish(whole=True, failed=exchange.failed, portal=None)

    def reads_on(self) -> bool:
        """The client reads slowly: tell whether Postgres is read all the same; see `ReadRun.reads_on`."""
        if self._miss is not None and self._miss.awaited:
            return True
        self.abandon()
        return False

    def abandon(self) -> None:
        """The session is over, or holds its answer up: let those who joined run for themselves."""
        if self._miss is not None:
            self._miss.stop_sharing()
