"""Which entries have to go when there is no room: S3-FIFO, by bytes, with an eye to the size of each. Pure.

Three queues, first in, first out (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023). What is
new is on trial in a *small* queue, a tenth of the room: most answers are asked for once, and leave from there without
having cost what is popular anything. Who was hit there moves to the *main* queue, and has another round in it for each
time that he was hit since, three at most. Of those who had to go, their keys' hashes are remembered (*ghosts*), and one
that comes back is popular after all: he goes to the main queue at once. A hit does nothing but count, and whoever makes
the hit needs not know of this module.

What differs from the paper, each by measurement (ADR 17, `python -m benchmarks replacement`):

- *Room is bytes.* An entry of n times twice the mean size has to be hit n times where another has to be hit once.
- *A large entry is not even tried at first sight* when room would have to be made for it: it would take the room of
  many who are on trial. It becomes a ghost, and is tried when it is asked for again.
- *A change that evicts an entry says nothing against it.* If it was popular, it becomes a ghost, and is back in the
  main queue when it is asked for again.
- *The search for who goes is bounded.* Where all were hit, as they are when the cache is first full, one insertion
  would go round the whole queue. It looks at sixteen at most; then the newest goes, unless that was hit too.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Generic, Protocol, TypeVar

from services.proxy.cache.ghosts import Ghosts

_TRIAL_SHARE = 10  # the small queue has one part of so many; 5 to 20 make no difference
_GHOST_SHARE = 128  # of the room, one part of so many: for as many ghosts as there are entries, where these have 2 KB
_ORDINARY_SIZE = 2  # times the mean: up to it, one hit is enough
_LARGE_SIZE = 8  # times the mean: beyond it, an entry is tried when it is asked for again
_MOST_ROUNDS = 3  # that hits earn in advance: who was popular long ago has to go in the end
_MOST_LOOKS = 16  # for one that goes


class Item(Protocol):
    """What is kept.

    Attributes:
        key: Whose answer it is.
        size: Its bytes; only `grow` changes them.
        hits: How often it was hit; counted by others.
        hits_seen: How many of those have been made use of here.
    """

    key: bytes
    size: int
    hits: int
    hits_seen: int


_Kept = TypeVar("_Kept", bound=Item)


class _Queue(Generic[_Kept]):
    """First in, first out, with its bytes. Who is taken from the middle costs no more than who is taken first."""

    __slots__ = ("bytes_used", "items")

    def __init__(self) -> None:
        # Not a plain dict: taking its first item scans over all that were taken before.
        self.items: OrderedDict[bytes, _Kept] = OrderedDict()
        self.bytes_used = 0

    def add(self, item: _Kept) -> None:
        self.items[item.key] = item
        self.bytes_used += item.size

    def remove(self, item: _Kept) -> None:
        del self.items[item.key]
        self.bytes_used -= item.size

    def first(self) -> _Kept:
        return next(iter(self.items.values()))


class S3Fifo(Generic[_Kept]):
    """Items by key, within a number of bytes.

    Attributes:
        capacity_bytes: What the items may take.
    """

    def __init__(self, capacity_bytes: int) -> None:
        """Start empty.

        Args:
            capacity_bytes: What items and ghosts together may take. The room of the ghosts is set aside.
        """
        ghost_bytes = capacity_bytes // _GHOST_SHARE
        self.capacity_bytes = capacity_bytes - ghost_bytes
        self._trial_bytes = self.capacity_bytes // _TRIAL_SHARE
        self._small: _Queue[_Kept] = _Queue()
        self._main: _Queue[_Kept] = _Queue()
        self._ghosts = Ghosts(ghost_bytes)

    def __len__(self) -> int:
        return len(self._small.items) + len(self._main.items)

    def __iter__(self) -> Iterator[_Kept]:
        return chain(self._small.items.values(), self._main.items.values())

    def keys(self) -> list[bytes]:
        """Return the keys of all."""
        return [*self._small.items, *self._main.items]

    @property
    def bytes_used(self) -> int:
        """What the items take."""
        return self._small.bytes_used + self._main.bytes_used

    def get(self, key: bytes) -> _Kept | None:
        """Return the item of a key."""
        return self._main.items.get(key) or self._small.items.get(key)

    def oldest(self) -> Iterator[_Kept]:
        """Return who is first in each queue."""
        for queue in (self._small, self._main):
            if queue.items:
                yield queue.first()

    def add(self, item: _Kept) -> list[_Kept]:
        """Take an item whose key is not here.

        Returns:
            Who had to go for it: they are not here any more. The item itself may be among them.
        """
        is_back = self._ghosts.take(item.key)
        if is_back:
            item.hits_seen -= 1  # that it was asked for again counts as a hit
        elif self._is_large(item) and self.bytes_used + item.size > self.capacity_bytes:
            self._ghosts.note(item.key, len(self))
            return [item]
        self._small.add(item)
        if is_back and self._has_earned(item):
            self._promote(item)
        return self._make_room()

    def grow(self, item: _Kept, by: int) -> list[_Kept]:
        """Change the size of an item that is here, and return who had to go for that; it may be among them."""
        queue = self._small if item.key in self._small.items else self._main
        item.size += by
        queue.bytes_used += by
        return self._make_room()

    def remove(self, item: _Kept) -> None:
        """Take out an item that is here, for a reason that is not its own: what was popular will be."""
        if item.key in self._main.items:
            self._main.remove(item)
            self._ghosts.note(item.key, len(self))
        else:
            popular = self._has_earned(item)
            self._small.remove(item)
            if popular:
                self._ghosts.note(item.key, len(self))

    def _is_large(self, item: _Kept) -> bool:
        return item.size * len(self) > self.bytes_used * _LARGE_SIZE

    def _worth(self, item: _Kept) -> float:
        """Return its hits since they were last made use of, in proportion to its size: 1.0 is enough to stay."""
        ordinary = _ORDINARY_SIZE * self.bytes_used  # of all together
        size = item.size * len(self)
        hits = item.hits - item.hits_seen
        return hits if size <= ordinary else hits * ordinary / size

    def _has_earned(self, item: _Kept) -> bool:
        return self._worth(item) >= 1.0

    def _promote(self, item: _Kept) -> None:
        self._small.remove(item)
        item.hits_seen = item.hits
        self._main.add(item)

    def _make_room(self) -> list[_Kept]:
        gone: list[_Kept] = []
        while self.bytes_used > self.capacity_bytes:
            gone.append(self._displace())
        return gone

    def _displace(self) -> _Kept:
        """Take out the next who has not earned to stay. Where too many have, the newest goes, or else the worst."""
        worst: _Kept | None = None
        worst_worth = 0.0
        for _ in range(_MOST_LOOKS):
            on_trial = self._small.bytes_used > self._trial_bytes or not self._main.items
            item = self._small.first() if on_trial else self._main.first()
            worth = self._worth(item)
            if worth < 1.0:
                return self._take_out(item, on_trial=on_trial)
            if worst is None or worth < worst_worth:
                worst, worst_worth = item, worth
            if on_trial:
                self._promote(item)
            else:
                self._reinsert(item, worth)
        newest = next(reversed(self._small.items.values()), None)
        if newest is not None and not self._has_earned(newest):
            return self._take_out(newest, on_trial=True)
        assert worst is not None
        return self._take_out(worst, on_trial=False)

    def _take_out(self, item: _Kept, *, on_trial: bool) -> _Kept:
        if on_trial:
            self._small.remove(item)
            self._ghosts.note(item.key, len(self))
        else:
            self._main.remove(item)
        return item

    def _reinsert(self, item: _Kept, worth: float) -> None:
        """Give an item of the main queue another round, for which it pays."""
        rounds_left = min(worth, _MOST_ROUNDS) - 1.0
        item.hits_seen = item.hits - int((item.hits - item.hits_seen) * rounds_left / worth)
        self._main.items.move_to_end(item.key)
