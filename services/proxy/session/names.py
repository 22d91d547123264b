"""What each statement name means in a session, and which of them Postgres has seen.

The meaning is an interned value: sessions that prepared the same statements under the same names share one `Names`, and
with it the table of ready-made replies, in which the bytes of a Bind mean the same for all of them. Pure.
"""

from collections.abc import Callable, Set
from weakref import WeakValueDictionary

from services.proxy.session.prepared import LookUp, Prepared
from services.proxy.session.reply_table import ReplyTable

_MAX_NAMES = 1_000  # more would cost a millisecond for each further Parse; what is not known here is forwarded
_MANY_CONTEXTS = 256  # from here on empty tables of other session states are let go


class Names:
    """An immutable meaning of statement names, with a ready-made reply table per session state.

    Attributes:
        replies: Session state key → exact turn bytes → reply. Turns that depend on the unnamed statement without
            parsing it are never in it, since its meaning is not part of this value.
    """

    __slots__ = ("__weakref__", "_by_name", "_interned", "replies")

    def __init__(
        self,
        by_name: dict[bytes, Prepared],
        interned: "WeakValueDictionary[frozenset[tuple[bytes, Prepared]], Names]",
    ) -> None:
        self._by_name = by_name
        self._interned = interned
        self.replies: dict[bytes, ReplyTable] = {}

    def get(self, name: bytes) -> Prepared | None:
        """Return what a name means."""
        return self._by_name.get(name)

    def having(self, name: bytes, prepared: Prepared) -> "Names":
        """Return the names after this Parse; with too many of them, a further one is not known."""
        if len(self._by_name) >= _MAX_NAMES:
            return self.without(name)
        return self._intern({**self._by_name, name: prepared})

    def without(self, name: bytes) -> "Names":
        """Return the names after this Close or DEALLOCATE."""
        if name not in self._by_name:
            return self
        return self._intern({known: prepared for known, prepared in self._by_name.items() if known != name})

    def only(self, existing: Set[bytes]) -> "Names":
        """Return the names of which only these still exist."""
        if self._by_name.keys() <= existing:
            return self
        return self._intern({name: prepared for name, prepared in self._by_name.items() if name in existing})

    def looked_up(self, looked_up: Callable[[Prepared], Prepared]) -> "Names":
        """Return the names when all meanings are known that had to be looked up."""
        if not any(isinstance(prepared.meaning, LookUp) for prepared in self._by_name.values()):
            return self
        return self._intern(
            {
                name: looked_up(prepared) if isinstance(prepared.meaning, LookUp) else prepared
                for name, prepared in self._by_name.items()
            }
        )

    def over(self, earlier: "Names") -> "Names":
        """Return the names of both; what is known here counts."""
        if not earlier._by_name:
            return self
        together = {**earlier._by_name, **self._by_name}
        return self if len(together) > _MAX_NAMES else self._intern(together)

    def __bool__(self) -> bool:
        """Tell whether any name is known."""
        return bool(self._by_name)

    def context(self, state_key: bytes) -> ReplyTable:
        """Return the table of ready-made replies for a session state."""
        found = self.replies.get(state_key)
        if found is None:
            if len(self.replies) >= _MANY_CONTEXTS:
                self.replies = {key: replies for key, replies in self.replies.items() if replies}
            found = self.replies[state_key] = ReplyTable()
        return found

    def _intern(self, by_name: dict[bytes, Prepared]) -> "Names":
        identity = frozenset(by_name.items())
        found = self._interned.get(identity)
        if found is None:
            found = Names(by_name, self._interned)
            self._interned[identity] = found
        return found


def no_names() -> Names:
    """Make the empty meaning, the root of one cache's interned values; the caller keeps it."""
    interned: WeakValueDictionary[frozenset[tuple[bytes, Prepared]], Names] = WeakValueDictionary()
    root = Names({}, interned)
    interned[frozenset()] = root
    return root
