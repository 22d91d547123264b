"""What each statement name means in a session, and which of them Postgres has seen.

The meaning is an interned value: sessions that prepared the same statements under the same names share one `Names`, and
with it the table of ready-made replies, in which the bytes of a Bind mean the same for all of them.

Most turns use one name, or none. So that what is ready for them outlasts the next Parse, and is shared by sessions that
have other names beside it, it stands in the table of that name alone, or of no names. Replies are shared further: by
all names of a statement. Pure.
"""

from collections.abc import Callable, Set
from weakref import WeakValueDictionary

from services.proxy.cache.entry import Reply
from services.proxy.session.prepared import LookUp, Meaning, Prepared
from services.proxy.session.reply_table import ReplyTable

_MAX_NAMES = 1_000  # more would cost a millisecond for each further Parse; what is not known here is forwarded
_MANY_CONTEXTS = 256  # from here on empty tables of other session states are let go


class StatementReplies:
    """What is ready for a prepared statement, whatever it is called.

    Attributes:
        by_state: Session state key → what stands behind the statement's name in a turn → reply.
    """

    __slots__ = ("__weakref__", "by_state")

    def __init__(self) -> None:
        self.by_state: dict[bytes, dict[bytes, Reply]] = {}

    def in_state(self, state_key: bytes) -> dict[bytes, Reply]:
        """Return the replies for a session state."""
        found = self.by_state.get(state_key)
        if found is None:
            if len(self.by_state) >= _MANY_CONTEXTS:
                self.by_state = {key: replies for key, replies in self.by_state.items() if replies}
            found = self.by_state[state_key] = {}
        return found


class _Interned:
    """The values of one cache that are in use."""

    __slots__ = ("names", "statements")

    def __init__(self) -> None:
        self.names: WeakValueDictionary[frozenset[tuple[bytes, Prepared]], Names] = WeakValueDictionary()
        self.statements: WeakValueDictionary[tuple[bytes, tuple[int, ...], Meaning], StatementReplies] = (
            WeakValueDictionary()
        )

    def replies_of(self, prepared: Prepared) -> StatementReplies:
        """Return what is ready for a statement."""
        identity = (prepared.text, prepared.parameter_types, prepared.meaning)
        found = self.statements.get(identity)
        if found is None:
            found = self.statements[identity] = StatementReplies()
        return found


class Names:
    """An immutable meaning of statement names, with a ready-made reply table per session state.

    Attributes:
        replies: Session state key → exact turn bytes → reply. Turns that depend on the unnamed statement without
            parsing it are never in it, since its meaning is not part of this value.
    """

    __slots__ = ("__weakref__", "_alone", "_by_name", "_interned", "_nameless", "_statement", "replies")

    def __init__(
        self, by_name: dict[bytes, Prepared], alone: "dict[bytes, Names]", interned: _Interned, nameless: "Names | None"
    ) -> None:
        self._by_name = by_name
        self._alone = alone  # each name by itself, where there are several: held here, so that they outlast the others
        self._interned = interned
        self._nameless = nameless  # None: it is this one
        single = next(iter(by_name.values())) if len(by_name) == 1 else None
        self._statement = None if single is None else interned.replies_of(single)
        self.replies: dict[bytes, ReplyTable] = {}

    def get(self, name: bytes) -> Prepared | None:
        """Return what a name means."""
        return self._by_name.get(name)

    def having(self, name: bytes, prepared: Prepared) -> "Names":
        """Return the names after this Parse; with too many of them, a further one is not known."""
        if len(self._by_name) >= _MAX_NAMES:
            return self.without(name)
        return self._intern(
            {**self._by_name, name: prepared}, {**self._each_alone(), name: self._single(name, prepared)}
        )

    def without(self, name: bytes) -> "Names":
        """Return the names after this Close or DEALLOCATE."""
        if name not in self._by_name:
            return self
        return self._changed({known: prepared for known, prepared in self._by_name.items() if known != name})

    def only(self, existing: Set[bytes]) -> "Names":
        """Return the names of which only these still exist."""
        if self._by_name.keys() <= existing:
            return self
        return self._changed({name: prepared for name, prepared in self._by_name.items() if name in existing})

    def looked_up(self, looked_up: Callable[[Prepared], Prepared]) -> "Names":
        """Return the names when all meanings are known that had to be looked up."""
        if not any(isinstance(prepared.meaning, LookUp) for prepared in self._by_name.values()):
            return self
        return self._changed(
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
        return self if len(together) > _MAX_NAMES else self._changed(together)

    def __bool__(self) -> bool:
        """Tell whether any name is known."""
        return bool(self._by_name)

    def context(self, state_key: bytes) -> ReplyTable:
        """Return the table of ready-made replies for a session state."""
        found = self.replies.get(state_key)
        if found is None:
            if len(self.replies) >= _MANY_CONTEXTS:
                self.replies = {key: replies for key, replies in self.replies.items() if replies}
            plain = None if self._nameless is None else self._nameless.context(state_key)
            found = self.replies[state_key] = ReplyTable(state_key, plain)
        return found

    def alone(self, name: bytes, table: ReplyTable) -> ReplyTable:
        """Return the table for turns that use this name and no other one.

        Args:
            name: The name.
            table: That of all of these names, in the same state.
        """
        single = self._alone.get(name)
        if single is None:  # it is the only one, or not known
            return table
        table.alone[name] = found = single.context(table.state_key)
        return found

    def meant(self, name: bytes, table: ReplyTable) -> dict[bytes, Reply] | None:
        """Return the replies to turns that use this name and no other one; None: it is not known.

        Args:
            name: The name.
            table: As for `alone`.
        """
        single = self._alone.get(name, self)
        if single._statement is None or name not in single._by_name:
            return None
        table.meant[name] = found = single._statement.in_state(table.state_key)
        return found

    def _each_alone(self) -> "dict[bytes, Names]":
        return self._alone if len(self._by_name) > 1 else dict.fromkeys(self._by_name, self)

    def _single(self, name: bytes, prepared: Prepared) -> "Names":
        return self._intern({name: prepared}, {})

    def _changed(self, by_name: dict[bytes, Prepared]) -> "Names":
        known = self._each_alone()
        alone = {
            name: known[name] if self._by_name.get(name) is prepared else self._single(name, prepared)
            for name, prepared in by_name.items()
        }
        return self._intern(by_name, alone)

    def _intern(self, by_name: dict[bytes, Prepared], alone: "dict[bytes, Names]") -> "Names":
        identity = frozenset(by_name.items())
        found = self._interned.names.get(identity)
        if found is None:
            nameless = self if self._nameless is None else self._nameless
            found = Names(by_name, alone if len(by_name) > 1 else {}, self._interned, nameless)
            self._interned.names[identity] = found
        return found


def no_names() -> Names:
    """Make the empty meaning, the root of one cache's interned values; the caller keeps it."""
    interned = _Interned()
    root = Names({}, {}, interned, None)
    interned.names[frozenset()] = root
    return root
