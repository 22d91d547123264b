"""What a session's writes, and the tokens that it is handed, ask of reads to come. Consistency contract, 9.6.

`own_writes` knows what has to be seen; here is when: at the acknowledgement, in this session and in those that share
their writes with it. Each time the next probe is asked for, behind which all is visible.
"""

from services.proxy.cached_database import CachedDatabase
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Effect
from services.proxy.session.write_scope import SharedWrites
from services.proxy.session.write_token import parse_token


class Acknowledging:
    """The acknowledgements of one session."""

    __slots__ = ("_database", "_shared", "_writes")

    def __init__(self, database: CachedDatabase, writes: OwnWrites, shared: SharedWrites | None) -> None:
        """Note them for a session; see `Lookup` for the arguments."""
        self._database = database
        self._writes = writes
        self._shared = shared

    def take_token(self, text: str) -> None:
        """Somebody's writes have to be seen, up to where this token says.

        What is no token, or of another history, stands for everything up to now: nothing is lost but a few reads. One
        that is covered asks nothing of stored answers, but a query under way may be older than what it tells of.
        """
        database, token = self._database, parse_token(text)
        self._writes.last_acknowledged = database.flights.tick()
        of_this_history = token is not None and database.follower.matches(token.timeline, token.canary)
        if of_this_history and token is not None and token.lsn < database.freshness.watermark:
            return
        self._writes.require(database.freshness.next_number)
        database.prober.ask()

    def writes_visible(self) -> Effect:
        """Postgres is outside a block again: what the session wrote is visible now, and returned."""
        database = self._database
        done = self._writes.visible(database.freshness.next_number)
        if done.writes is None or done.writes:
            self._writes.last_acknowledged = database.flights.tick()
            if self._shared is not None:
                self._shared.acknowledged(done.writes, database.freshness.next_number)
            database.prober.ask()
        if done.schema:
            self._writes.catalog_reading = database.catalog_watch.ask()
        return done

    def share_early(self) -> None:
        """A transaction is committed, and the turn or a further transaction goes on: others see it already."""
        done = self._writes.under_way
        if self._shared is not None and (done.writes is None or done.writes):
            self._shared.acknowledged(done.writes, self._database.freshness.next_number)
            self._database.prober.ask()
