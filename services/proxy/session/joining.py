"""One session's share in queries that are under way: which may it join, and what becomes of it when one fails?

Consistency contract, section 9.5. A query under way is no stored answer: it runs now, in Postgres, and what it sees is
current at an instant behind its sending. So nothing of what makes a stored answer current is asked of it: no bucket, no
epoch, no watermark, no freshness, no table whose changes are followed. A herd that comes to a cold cache, or to one
that cannot be reached, is one query all the same. What has to be proven is this:

1. *It asks the same of the same server.* The key holds the statement, its parameters, and all of the session that can
   change an answer, the timeline and the canary that its connection showed among it. The canary is a random row in an
   unlogged table: no copy of a server has it, and a crash empties it. So two sessions with one key and a canary are on
   one server; without a canary they need not be. While an epoch is followed, the server has to be that of the epoch.
2. *It means the same to both.* A key rests on the catalog: both have to have been planned by one reading of it, which
   counts, and neither session may have changed it since. DDL made elsewhere is heard of by the feed; so where nothing
   proves that the feed has been heard up to the session's bound, the catalog has to have been looked at within it. What
   is another template's fault (quarantine) is not passed on either.
3. *It is current enough.* It was sent within the session's bound, and behind the last write that the session has had
   acknowledged, or has been told of by a token or by those who share their writes with it. A strong read joins none
   that was sent before it arrived.
4. *It was sent to the primary.* What a standby answers is as old as that is.

Who joined is no worse off than with a query of its own. When the one who sent it is cancelled, fails or goes away, the
first who is told of that sends it again, and the others join that one. An answer that is too large to be kept is shared
with nobody: that is told as soon as it is known, and remembered, so that nobody waits for it in vain a second time.
"""

import asyncio
from collections.abc import Callable

from services.proxy.cache.entry import Answer
from services.proxy.cache.flights import Flight, FlightKey
from services.proxy.cache.freshness import boot_clock
from services.proxy.cached_database import CachedDatabase
from services.proxy.reasons import Reason
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Plan
from services.proxy.session.state import SessionState
from services.proxy.session.write_scope import SharedWrites

_MOST_LOSSES = 3  # of the queries that one read waited for; it then runs for itself, or a statement that fails for
# everybody would be tried by all of them, one after the other

Answered = Callable[[Answer | None, str], None]


class _Waiting:
    """A read that waits for another session's query."""

    __slots__ = ("answered", "arrived_at", "flight", "landed", "losses", "plan", "state")

    def __init__(self, plan: Plan, state: SessionState | None, answered: Answered, arrived_at: float | None) -> None:
        self.plan = plan
        self.state = state
        self.answered = answered
        self.arrived_at = arrived_at
        self.losses = 0
        self.flight: Flight | None = None
        self.landed: Callable[[Answer | None], None] | None = None

    def board(self, flight: Flight, landed: Callable[[Answer | None], None]) -> None:
        """Wait for this query."""
        self.flight, self.landed = flight, landed
        flight.join(landed)

    def leave(self) -> None:
        """Wait for nothing any more."""
        if self.flight is not None and self.landed is not None:
            self.flight.leave(self.landed)


class Joining:
    """The queries under way as one session sees them."""

    __slots__ = ("_database", "_shared", "_waiting", "_writes")

    def __init__(self, database: CachedDatabase, writes: OwnWrites, shared: SharedWrites | None) -> None:
        """See them through a session; see `Lookup` for the arguments."""
        self._database = database
        self._writes = writes
        self._shared = shared
        self._waiting: _Waiting | None = None

    @property
    def behind_own_ddl(self) -> bool:
        """Whether the session may have changed the catalog since it was read."""
        return self._writes.defining or self._database.catalog_watch.completed < self._writes.catalog_reading

    def catalog_refusal(self) -> str:
        """Return why what the catalog says cannot be relied on; empty when it can."""
        watch = self._database.catalog_watch
        if not watch.current:
            return Reason.CATALOG_CHANGED if watch.readable else Reason.CATALOG_UNKNOWN
        return Reason.OWN_DDL if self.behind_own_ddl else ""

    def open(
        self, plan: Plan, state: SessionState | None, sent_at: float, *, may_be_kept: bool = False
    ) -> Flight | None:
        """Let others join this read, which is about to be sent; None where nothing proves that they may.

        Args:
            plan: The read.
            state: The session's state.
            sent_at: Boot-clock second before it is sent.
            may_be_kept: Nothing speaks against keeping its answer now.
        """
        if not self._is_common(plan, state, may_be_kept=may_be_kept) or (state and state.server is not None):
            return None
        if self.is_too_large(plan, sent_at):
            return None
        return self._database.flights.start(
            _flight_key(plan), sent_at, described=plan.request is not None and plan.request.described
        )

    def is_too_large(self, plan: Plan, now: float) -> bool:
        """Tell whether the answer to a read was too large lately; see `Flights.is_too_large`."""
        return self._database.flights.is_too_large(_flight_key(plan), now)

    def join(self, plan: Plan, state: SessionState | None, answered: Answered, arrived_at: float | None = None) -> bool:
        """Join a query that is under way.

        Args:
            plan: The read.
            state: The session's state.
            answered: Called later, and once, if this returns True.
            arrived_at: Boot-clock second before which it must not have been sent; None: what the bound allows.
        """
        flight = self._joinable(plan, state, arrived_at)
        if flight is None:
            return False
        waiting = self._waiting = _Waiting(plan, state, answered, arrived_at)
        self._board(waiting, flight)
        return True

    def is_under_way(self, plan: Plan) -> bool:
        """Tell whether the same read is under way at all, for whoever it is."""
        return self._database.flights.under_way(_flight_key(plan))

    def could_join(self, plan: Plan, state: SessionState | None) -> bool:
        """Tell whether a query is under way that this read may join."""
        return not plan.demand.strong and self._joinable(plan, state, None) is not None

    def stop_waiting(self) -> None:
        """Stop waiting for another session's query."""
        if self._waiting is not None:
            self._waiting.leave()
            self._waiting = None

    def _joinable(self, plan: Plan, state: SessionState | None, arrived_at: float | None) -> Flight | None:
        key = _flight_key(plan)
        if not self._database.flights.under_way(key):
            return None
        if not self._is_common(plan, state) or not self._meaning_is_recent(plan):
            return None
        bound = boot_clock() - min(plan.demand.span, plan.ttl)
        sent_after = bound if arrived_at is None else max(bound, arrived_at)
        last_write = self._writes.last_acknowledged
        if self._shared is not None:
            self._shared.hear()
            last_write = max(last_write, self._shared.last_acknowledged)
        flight = self._database.flights.joinable(key, last_write, sent_after)
        if flight is None or (plan.request is not None and plan.request.described and not flight.described):
            return None
        return flight

    def _is_common(self, plan: Plan, state: SessionState | None, *, may_be_kept: bool = False) -> bool:
        """Tell whether equal keys stand for equal answers, by the first two clauses above.

        What may be kept has passed for it all that is asked here, but for the first.
        """
        database = self._database
        if state is None or not state.canary or plan.template is None or plan.catalog != database.templates.number:
            return False
        if may_be_kept:
            return True
        if database.follower.epoch:
            if not database.follower.matches(state.timeline, state.canary):
                return False
        elif state.server is not None:
            return False  # a standby shows no canary of its own: it goes by the epoch that is followed
        if plan.template.lexed.template in database.quarantine.templates:
            return False
        return not self.catalog_refusal()

    def _meaning_is_recent(self, plan: Plan) -> bool:
        """Tell whether DDL from before the session's bound would be known; have it looked for where the feed is not."""
        database, span = self._database, plan.demand.span
        if database.freshness.is_fresh(span):
            return True
        age = boot_clock() - database.catalog_watch.looked_at
        if age > span / 2:
            database.catalog_watch.ask()
        return age < span

    def _board(self, waiting: _Waiting, flight: Flight) -> None:
        loop = asyncio.get_running_loop()

        def landed(answer: Answer | None) -> None:
            waiting.flight = None
            loop.call_soon(self._go_on, waiting, answer)

        waiting.board(flight, landed)

    def _go_on(self, waiting: _Waiting, answer: Answer | None) -> None:
        """Take the answer; or join who has sent the query again, or else be the one who does."""
        if self._waiting is not waiting:
            return  # given up meanwhile
        if answer is None and waiting.losses < _MOST_LOSSES:
            waiting.losses += 1
            flight = self._joinable(waiting.plan, waiting.state, waiting.arrived_at)
            if flight is not None:
                self._board(waiting, flight)
                return
        self._waiting = None
        if answer is not None:
            statistics = self._database.statistics
            statistics.hits_joined += 1
            statistics.hits_ageing += waiting.plan.ages
        waiting.answered(answer, "" if answer is not None else Reason.FLIGHT_FAILED)


def _flight_key(plan: Plan) -> FlightKey:
    return plan.catalog, plan.key
