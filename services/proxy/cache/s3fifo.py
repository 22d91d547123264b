"""Which entries have to go when there is no room: S3-FIFO, by bytes, with an eye to the size of each. Pure.

Three queues, first in, first out (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023). What is
new is on trial in a *small* queue, a tenth of the room: most answers are asked for once, and leave from there without
having cost what is popular anything. Who was hit there moves to the *main* queue, and has another round in it for each
time that he was hit since, three at most. Of those who had to go, their keys' hashes are remembered (*ghosts*), and one
that comes back is popular after all: he goes to the main queue at once. A hit does nothing but count, and whoever makes
the hit needs not know of this module.

What differs from the paper, each by measurement (ADR 18, `python -m benchmarks replacement`):

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


class S3Fifo(Generic[_Kept]):
    """Items by key, within a number of bytes.

    Attributes:
        capacity_bytes: What the items may take.
        bytes_used: What they take.
    """

    def __init__(self, capacity_bytes: int) -> None:
        """Start empty.

        Args:
            capacity_bytes: What items and ghosts together may take. The room of the ghosts is set aside.
        """
        ghost_bytes = capacity_bytes // _GHOST_SHARE
        self.capacity_bytes = capacity_bytes - ghost_bytes
        self.bytes_used = 0
        self._ghosts = Ghosts(ghost_bytes)
        # Oldest first. Not plain dicts: taking the first item of one scans over all that were taken before.
        self._small: OrderedDict[bytes, _Kept] = OrderedDict()
        self._main: OrderedDict[bytes, _Kept] = OrderedDict()
        self._small_bytes = 0
        self._trial_bytes = self.capacity_bytes // _TRIAL_SHARE

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[_Kept]:
        """All, in no order: to iterate over an OrderedDict in its order is to look each key up."""
        return chain(dict.values(self._small), dict.values(self._main))

    def keys(self) -> list[bytes]:
        """Return the keys of all, in no order."""
        return [*dict.keys(self._small), *dict.keys(self._main)]

    def get(self, key: bytes) -> _Kept | None:
        """Return the item of a key."""
        return self._main.get(key) or self._small.get(key)

    def oldest(self) -> Iterator[_Kept]:
        """Return who is first in each queue."""
        for queue in (self._small, self._main):
            if queue:
                yield next(iter(queue.values()))

    def add(self, item: _Kept) -> list[_Kept]:
        """Take an item whose key is not here.

        Returns:
            Who had to go for it: they are not here any more. The item itself may be among them.
        """
        is_back = self._ghosts.take(item.key)
        if is_back:
            item.hits_seen -= 1  # that it was asked for again counts as a hit
        elif self.bytes_used + item.size > self.capacity_bytes and self._is_large(item):
            self._ghosts.note(item.key, len(self))
            return [item]
        self._small[item.key] = item
        self._small_bytes += item.size
        self.bytes_used += item.size
        if is_back and self._worth(item, self._ordinary_size()) >= 1.0:
            self._promote(item)
        return self._make_room()

    def grow(self, item: _Kept, by: int) -> list[_Kept]:
        """Change the size of an item that is here, and return who had to go for that; it may be among them."""
        item.size += by
        self.bytes_used += by
        if item.key in self._small:
            self._small_bytes += by
        return self._make_room()

    def remove(self, item: _Kept) -> None:
        """Take out an item that is here, for a reason that is not its own: what was popular will be."""
        on_trial = item.key in self._small
        popular = not on_trial or self._worth(item, self._ordinary_size()) >= 1.0
        self._take_out(item, on_trial=on_trial)
        if popular:
            self._ghosts.note(item.key, len(self))

    def _ordinary_size(self) -> float:
        return _ORDINARY_SIZE * self.bytes_used / max(1, len(self))

    def _is_large(self, item: _Kept) -> bool:
        return item.size * len(self) > _LARGE_SIZE * self.bytes_used

    @staticmethod
    def _worth(item: _Kept, ordinary_size: float) -> float:
        """Return its hits since they were last made use of, in proportion to its size: 1.0 is enough to stay."""
        hits = item.hits - item.hits_seen
        return hits if item.size <= ordinary_size else hits * ordinary_size / item.size

    def _make_room(self) -> list[_Kept]:
        gone: list[_Kept] = []
        while self.bytes_used > self.capacity_bytes:
            gone.append(self._displace())
        return gone

    def _displace(self) -> _Kept:
        """Take out the next who has not earned to stay. Where too many have, the newest goes, or else the worst."""
        ordinary_size = self._ordinary_size()
        worst: _Kept | None = None
        worst_worth = 0.0
        for _ in range(_MOST_LOOKS):
            on_trial = self._small_bytes > self._trial_bytes or not self._main
            item = next(iter(self._small.values() if on_trial else self._main.values()))
            worth = self._worth(item, ordinary_size)
            if worth < 1.0:
                self._take_out(item, on_trial=on_trial)
                if on_trial:
                    self._ghosts.note(item.key, len(self))
                return item
            if worst is None or worth < worst_worth:
                worst, worst_worth = item, worth
            if on_trial:
                self._promote(item)
            else:
                self._reinsert(item, worth)
        newest = next(reversed(self._small.values()), None)
        if newest is not None and self._worth(newest, ordinary_size) < 1.0:
            self._take_out(newest, on_trial=True)
            self._ghosts.note(newest.key, len(self))
            return newest
        assert worst is not None
        self._take_out(worst, on_trial=False)
        return worst

    def _take_out(self, item: _Kept, *, on_trial: bool) -> None:
        self.bytes_used -= item.size
        if on_trial:
            del self._small[item.key]
            self._small_bytes -= item.size
        else:
            del self._main[item.key]

    def _promote(self, item: _Kept) -> None:
        """Let an item on trial into the main queue; what it has earned is used up with that."""
        del self._small[item.key]
        self._small_bytes -= item.size
        item.hits_seen = item.hits
        self._main[item.key] = item

    def _reinsert(self, item: _Kept, worth: float) -> None:
        """Give an item of the main queue another round, for which it pays."""
        rounds_left = min(worth, _MOST_ROUNDS) - 1.0
        item.hits_seen = item.hits - int((item.hits - item.hits_seen) * rounds_left / worth)
        self._main.move_to_end(item.key)
