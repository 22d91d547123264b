"""What a session has changed itself, and what it must therefore not read from the cache yet. Pure.

Inside a transaction block writes pile up unseen; at its end they all become visible at once. Consistency contract, 9.6.
"""

from services.proxy.cache.tokens import Tokens
from services.proxy.session.planning import NO_EFFECT, Effect


class OwnWrites:
    """One session's writes.

    Attributes:
        tokens: Tokens of writes that are not covered yet; None when there are none, which is what the hot path asks.
        last_acknowledged: Place of the last acknowledged write in the worker's order of sends and acknowledgements.
        catalog_reading: Number of the catalog reading to wait for after the session's own DDL.
        definitions: How many blocks, and turns outside of one, may have changed the catalog.
    """

    __slots__ = ("_block", "_tracked", "catalog_reading", "definitions", "last_acknowledged", "tokens")

    def __init__(self, *, tracked: bool) -> None:
        """Start with nothing written.

        Args:
            tracked: Whether the session reads its own writes (level `session`); else there are never tokens.
        """
        self._tracked = tracked
        self._block = NO_EFFECT
        self.tokens: Tokens | None = None
        self.last_acknowledged = 0
        self.catalog_reading = 0
        self.definitions = 0

    def track(self, *, tracked: bool, next_probe: int) -> None:
        """The session's level has changed: what it wrote so far counts too, if it reads its own writes from now on.

        Args:
            tracked: As above.
            next_probe: As in `visible`.
        """
        if tracked == self._tracked:
            return
        self._tracked = tracked
        self.tokens = None
        if tracked:
            self.tokens = Tokens()
            self.tokens.acknowledge(None, next_probe)

    def begin(self, effect: Effect) -> None:
        """A turn with this effect is about to be forwarded."""
        self._block = self._block.union(effect)
        if self._tracked and (effect.writes is None or effect.writes):
            self.tokens = self.tokens or Tokens()
            self.tokens.begin(effect.writes)

    @property
    def defining(self) -> bool:
        """Whether the turn or the block under way may have changed the catalog, which others see at its end."""
        return self._block.schema

    def visible(self, next_probe: int) -> Effect:
        """Postgres is outside a block again: everything since the last time is visible now, or undone.

        Args:
            next_probe: Number of the next probe to be sent; once it is covered, so are the writes.

        Returns:
            What was done in between.
        """
        done, self._block = self._block, NO_EFFECT
        self.definitions += done.schema
        if self.tokens is not None and (done.writes is None or done.writes):
            self.tokens.acknowledge(done.writes, next_probe)
        return done

    def covered(self, relations: tuple[int, ...], newest_covered: int) -> bool:
        """Tell whether the session may read these relations from the cache."""
        if self.tokens is None:
            return True
        if self.tokens.settled(newest_covered):
            self.tokens = None
            return True
        return self.tokens.covers(relations, newest_covered)
