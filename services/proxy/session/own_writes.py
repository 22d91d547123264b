"""What a session has changed itself, and what it must therefore not read from the cache yet. Pure.

Inside a transaction block writes pile up unseen; at its end they all become visible at once. Consistency contract, 9.6.
Writes are noted at every level: a session, or a statement of it, may ask for another one later.
"""

from services.proxy.cache.named_rows import NamedRows
from services.proxy.cache.tokens import RowsRead, Tokens, any_row
from services.proxy.session.planning import NO_EFFECT, Effect


class OwnWrites:
    """One session's writes.

    Attributes:
        tokens: Tokens of writes that are not covered yet, if the session's level counts them; None when there are none,
            which is what the hot path asks.
        last_acknowledged: Place of the last acknowledged write in the worker's order of sends and acknowledgements.
        catalog_reading: Number of the catalog reading to wait for after the session's own DDL.
        definitions: How many blocks, and turns outside of one, may have changed the catalog.
    """

    __slots__ = ("_block", "_counted", "_outstanding", "catalog_reading", "definitions", "last_acknowledged", "tokens")

    def __init__(self, *, counted: bool) -> None:
        """Start with nothing written.

        Args:
            counted: Whether the session's level has it read its own writes.
        """
        self._counted = counted
        self._block = NO_EFFECT
        self._outstanding: Tokens | None = None
        self.tokens: Tokens | None = None
        self.last_acknowledged = 0
        self.catalog_reading = 0
        self.definitions = 0

    def count(self, *, counted: bool) -> None:
        """The session's level has changed; see `__init__`."""
        self._counted = counted
        self._note()

    def begin(self, effect: Effect) -> None:
        """A turn with this effect is about to be forwarded."""
        self._block = effect if self._block is NO_EFFECT else self._block.union(effect)
        if effect.writes is None or effect.writes:
            self._tokens().begin(effect.writes, effect.rows)

    def require(self, next_probe: int) -> None:
        """Somebody else's write has to be seen as well, whatever it touched: a token was handed to this session.

        Args:
            next_probe: As in `visible`.
        """
        self._tokens().acknowledge(None, next_probe)

    @property
    def under_way(self) -> Effect:
        """What was done since Postgres was outside of a block last."""
        return self._block

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
        if done.writes is None or done.writes:
            self._tokens().acknowledge(done.writes, next_probe)
        return done

    def covered(self, relations: tuple[int, ...], newest_covered: int, rows_read: RowsRead = any_row) -> bool:
        """Tell whether all that was written of what a read looks at has been evicted; see `Tokens.covers`."""
        if self._outstanding is None:
            return True
        if self._outstanding.settled(newest_covered):
            self._outstanding = None
            self._note()
            return True
        return self._outstanding.covers(relations, newest_covered, rows_read)

    def spare(self, looked_at: tuple[NamedRows, ...] | None, newest_covered: int) -> bool:
        """Tell whether all that was written of these rows has been evicted; None: any may be looked at."""
        outstanding = self._outstanding
        return looked_at is not None and (outstanding is None or outstanding.spare(looked_at, newest_covered))

    def touch_rows(self, relations: tuple[int, ...], newest_covered: int) -> bool:
        """Tell of a read that is not covered whether that is for rows that are named: its answer will be evicted."""
        return self._outstanding is not None and self._outstanding.names_rows(relations, newest_covered)

    def _tokens(self) -> Tokens:
        """Return the tokens, to add to them."""
        if self._outstanding is None:
            self._outstanding = Tokens()
            self._note()
        return self._outstanding

    def _note(self) -> None:
        self.tokens = self._outstanding if self._counted else None
