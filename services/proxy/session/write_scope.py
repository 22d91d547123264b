"""Who reads whose writes: `token_scope`. Pure.

By itself a session reads its own writes. A pool that writes on one connection and reads on the next wants more: with
`token_scope = user`, whatever one session of a login has had acknowledged is seen by all sessions of that login in this
proxy, and with `cache` by all sessions. What is shared are acknowledged writes: while a write is under way, it holds up
nobody but its own session.

Workers of one proxy are processes of their own: what they tell each other comes through `WritesOfPeers`, and is there
before the client that wrote has its acknowledgement.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from services.proxy.cache.tokens import Tokens
from services.shared.runtime.settings import TokenScope

EVERYBODY = 0
"""The group of a cache's sessions when they all share their writes."""


class Written(NamedTuple):
    """An acknowledged write in another worker.

    Attributes:
        group: Who shares it; None: that is not known any more, it may be anybody.
        relation: What was written; None: it may be any.
    """

    group: int | None
    relation: int | None


class WritesOfPeers(Protocol):
    """The other workers of the proxy."""

    def tell(self, group: int, relations: Iterable[int | None]) -> None:
        """Let them know of an acknowledged write."""

    @property
    def unheard(self) -> bool:
        """Whether they have told something that was not taken yet."""

    def take(self) -> list[Written]:
        """Take what they have told since the last time."""


class SharedWrites:
    """The acknowledged writes of the sessions of one group.

    Attributes:
        tokens: Those that are not covered yet; None when there are none.
        last_acknowledged: Place of the last one in the worker's order of sends and acknowledgements.
    """

    __slots__ = ("__weakref__", "_scopes", "group", "last_acknowledged", "tokens")

    def __init__(self, scopes: "WriteScopes", group: int) -> None:
        self._scopes = scopes
        self.group = group
        self.tokens: Tokens | None = None
        self.last_acknowledged = 0

    @property
    def quiet(self) -> bool:
        """Whether nothing is outstanding, as the hot path asks."""
        return self.tokens is None and not self._scopes.unheard

    def acknowledged(self, relations: frozenset[int] | None, next_probe: int) -> None:
        """A session of the group has written, and is about to be told so; None: anything."""
        self.note(relations, next_probe)
        self._scopes.tell(self.group, relations)

    def note(self, relations: frozenset[int] | None, next_probe: int) -> None:
        """Somebody of the group has written."""
        self.tokens = self.tokens or Tokens()
        self.tokens.acknowledge(relations, next_probe)
        self.last_acknowledged = self._scopes.tick()

    def hear(self) -> None:
        """Take in what other workers have told: before tokens or the last acknowledged write are looked at."""
        self._scopes.hear()

    def covered(self, relations: tuple[int, ...], newest_covered: int) -> bool:
        """Tell whether all that the group has written to these relations has been evicted."""
        self.hear()
        if self.tokens is None:
            return True
        if self.tokens.settled(newest_covered):
            self.tokens = None
            return True
        return self.tokens.covers(relations, newest_covered)


class WriteScopes:
    """The groups of one cache in one worker."""

    def __init__(
        self,
        scope: TokenScope,
        next_probe: Callable[[], int],
        tick: Callable[[], int],
        ask: Callable[[], None],
        peers: WritesOfPeers | None,
    ) -> None:
        """Begin without a session.

        Args:
            scope: Who shares.
            next_probe: Tells the number of the next probe to be sent.
            tick: Takes the next place in the worker's order of sends and acknowledgements.
            ask: Has a probe sent.
            peers: The other workers; None when there are none.
        """
        self._scope = scope
        self._next_probe = next_probe
        self.tick = tick
        self._ask = ask
        self._peers = peers
        self._groups: WeakValueDictionary[int, SharedWrites] = WeakValueDictionary()

    def of(self, user: bytes) -> SharedWrites | None:
        """Return what a new session of this login shares; None when sessions share nothing.

        Nobody has kept what a group without a session wrote: it counts as having written anything just now.
        """
        if self._scope is TokenScope.SESSION:
            return None
        group = EVERYBODY if self._scope is TokenScope.CACHE else _group(user)
        shared = self._groups.get(group)
        if shared is None:
            shared = self._groups[group] = SharedWrites(self, group)
            shared.note(None, self._next_probe())
            self._ask()
        return shared

    @property
    def unheard(self) -> bool:
        """Whether other workers have told something that was not taken yet."""
        return self._peers is not None and self._peers.unheard

    def tell(self, group: int, relations: frozenset[int] | None) -> None:
        """Tell the other workers of an acknowledged write."""
        if self._peers is not None:
            self._peers.tell(group, (None,) if relations is None else relations)

    def hear(self) -> None:
        """Take in what the other workers have told."""
        if self._peers is None or not self._peers.unheard:
            return
        next_probe = self._next_probe()
        for group, relation in self._peers.take():
            relations = None if relation is None else frozenset((relation,))
            for shared in self._groups.values() if group is None else filter(None, (self._groups.get(group),)):
                shared.note(relations, next_probe)
        self._ask()


def _group(user: bytes) -> int:
    return int.from_bytes(blake2b(user, digest_size=8).digest()) | 1
