"""Is Postgres down, and may answers be served that are older than the bound? What `serve_stale_for` rests on (ADR 15).

Down is more than slow, and nothing that a single session meets is enough: the probe connection was lost, or a probe was
not answered in its time, *and* an attempt at a new connection has failed since. Whatever Postgres says to that attempt,
but that it is starting up, shutting down or recovering, shows that it is there.

While it is down, an answer may be served for `serve_stale_for` seconds from the last proof of freshness on: the moment
before the newest probe was sent that a watermark covered. What casts doubt on the history (another canary or timeline,
a gap in the feed, another epoch) forgets that proof, and with it the right to serve anything: see `Freshness.drop`.

A session that loses its connection cannot know whether Postgres is down or was only told to end this one session. So it
voices a suspicion, and waits for the verdict. The probe connection is asked, and while it answers, a new one is tried:
before Postgres ends any session with itself it takes no new ones, but it ends them one after the other, so that an
answered probe proves nothing yet. Unless it goes on for a while: then Postgres waits for its clients (smart shutdown).
"""

from collections.abc import Callable
from enum import Enum, auto

from services.proxy.cache.freshness import Freshness, boot_clock, lasting

_WAITS_SECONDS = 1.0  # a probe that is answered so long after a session's end shows that Postgres waits for its clients
_FASTEST_SECONDS = 0.05  # between two proofs, however short that is
_PROOFS_PER_BOUND = 10  # an idle cache proves itself so often within `serve_stale_for`, for an outage that may come


class Phase(Enum):
    """How Postgres is."""

    UP = auto()
    SUSPECTED = auto()  # a connection was lost, and what that means is being found out
    DOWN = auto()


class Change(Enum):
    """What has changed."""

    BEGUN = auto()  # Postgres is down
    SPENT = auto()  # it still is, and `serve_stale_for` has passed
    CLEARED = auto()  # it was only suspected to be down
    ENDED = auto()  # it was down, and is back


class Outage:
    """How Postgres is, as one worker sees it for one cache. Pure.

    Attributes:
        phase: How it is.
        proof_spacing: Seconds between two proofs at the most, also of an idle cache; None: any number.
    """

    def __init__(
        self,
        serve_stale_for: float,
        freshness: Freshness,
        changed: Callable[[Change], None],
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        """Begin with a Postgres that is up.

        Args:
            serve_stale_for: How long after the last proof of freshness answers may be served, in seconds; 0: never.
            freshness: Where that proof is.
            changed: Is told of every change.
            clock: Seconds on a clock that counts suspended time too.
        """
        self._span = lasting(serve_stale_for)
        self._enabled = serve_stale_for > 0
        self._freshness = freshness
        self._changed = changed
        self._clock = clock
        self._suspected_at = 0.0
        self._spent = False
        self.phase = Phase.UP
        self._began_at = 0.0
        spacing = max(serve_stale_for / _PROOFS_PER_BOUND, _FASTEST_SECONDS)
        self.proof_spacing = spacing if self._enabled else None

    @property
    def keeps_sessions(self) -> bool:
        """Whether sessions may outlive their connection to Postgres."""
        return self._enabled

    @property
    def serves(self) -> bool:
        """Whether an answer may be served now although nothing proves it fresh enough."""
        return self._enabled and self.phase is Phase.DOWN and self._within_bound()

    @property
    def may_serve(self) -> bool:
        """Whether answers could be served now if Postgres were down."""
        return self._enabled and self._within_bound()

    @property
    def staleness(self) -> float:
        """How far out of date an answer may be that is served now, in seconds."""
        return self._clock() - self._freshness.proven_at

    @property
    def down_seconds(self) -> float:
        """For how long Postgres has been down, or was."""
        return self._clock() - self._began_at

    # -- what is noticed

    def suspect(self) -> None:
        """A session has lost its connection."""
        if self.phase is Phase.UP:
            self.phase = Phase.SUSPECTED
            self._suspected_at = self._clock()

    def probe_lost(self) -> None:
        """The probe connection was lost, or did not answer in its time."""
        self.suspect()

    def probe_answered(self, sent_at: float) -> None:
        """A probe was answered that was sent at this boot-clock second."""
        if self.phase is Phase.SUSPECTED and sent_at >= self._suspected_at + _WAITS_SECONDS:
            self._end()

    def unreachable(self) -> None:
        """An attempt at a new connection has failed, and the probe connection is gone."""
        if self.phase is not Phase.DOWN:
            self.phase = Phase.DOWN
            self._began_at = self._clock()
            self._spent = not self.may_serve
            self._changed(Change.BEGUN)
        elif not self._spent and not self.may_serve:
            self._spent = True
            self._changed(Change.SPENT)

    def reached(self) -> None:
        """A new connection was made, or Postgres gave a reason of its own against it."""
        if self.phase is not Phase.UP:
            self._end()

    def _end(self) -> None:
        change = Change.ENDED if self.phase is Phase.DOWN else Change.CLEARED
        self.phase = Phase.UP
        self._changed(change)

    def _within_bound(self) -> bool:
        proven_at = self._freshness.proven_at
        return proven_at > 0.0 and self._clock() < proven_at + self._span
