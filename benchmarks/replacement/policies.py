"""Caches to play a trace to: ours, and others to measure it by. Pure.

All count alike: an entry takes what ours takes, and grows by its ready-made reply when it is first hit.
"""

import random
from collections import OrderedDict
from collections.abc import Sequence
from math import inf
from typing import Protocol

from benchmarks.replacement.traces import Read
from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.cache.s3fifo import S3Fifo

_BARE = Entry(b"", Answer(b"", b"", b""), (), ("16384:0123456789abcdef",), (16_384,), (), 0.0)
_ENTRY_BYTES, _REPLY_BYTES = _BARE.size, Reply(_BARE, b"", None).size + 60
_LARGEST_SHARE = 4  # of the room: what is larger is not kept


class Item:
    """What a cache keeps."""

    __slots__ = ("hits", "hits_seen", "key", "next_use", "size")

    def __init__(self, read: Read) -> None:
        self.key = read.key
        self.size = read.size + _ENTRY_BYTES
        self.hits = 0
        self.hits_seen = 0
        self.next_use = inf


class Policy(Protocol):
    """A cache."""

    def read(self, read: Read) -> bool:
        """Take a read; tell whether it was a hit."""


class Ours:
    """What the proxy does."""

    def __init__(self, capacity_bytes: int) -> None:
        self._largest = capacity_bytes // _LARGEST_SHARE
        self._queues: S3Fifo[Item] = S3Fifo(capacity_bytes)

    def read(self, read: Read) -> bool:
        """See `Policy`."""
        item = self._queues.get(read.key)
        if item is not None and read.changed:
            self._queues.remove(item)
            item = None
        if item is not None:
            item.hits += 1
            if item.hits == 1:
                self._queues.grow(item, read.size + _REPLY_BYTES)
            return True
        if read.size + _ENTRY_BYTES <= self._largest:
            self._queues.add(Item(read))
        return False


class _OneQueue:
    """What those have in common that keep all in one queue."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._items: OrderedDict[bytes, Item] = OrderedDict()
        self._bytes = 0

    def read(self, read: Read) -> bool:
        """See `Policy`."""
        item = self._items.get(read.key)
        if item is not None and read.changed:
            self._remove(item)
            item = None
        if item is not None:
            self._hit(item)
            if item.hits == 1:
                item.size += read.size + _REPLY_BYTES
                self._bytes += read.size + _REPLY_BYTES
                self._make_room()
            return True
        if read.size + _ENTRY_BYTES <= self._capacity_bytes // _LARGEST_SHARE:
            item = self._items[read.key] = Item(read)
            self._bytes += item.size
            self._make_room()
        return False

    def _hit(self, item: Item) -> None:
        item.hits += 1

    def _make_room(self) -> None:
        while self._bytes > self._capacity_bytes:
            self._remove(self._victim())

    def _victim(self) -> Item:
        return next(iter(self._items.values()))

    def _remove(self, item: Item) -> None:
        del self._items[item.key]
        self._bytes -= item.size


class SecondChance(_OneQueue):
    """First in, first out, but who was hit since he was last looked at stays: what the proxy did before."""

    def _victim(self) -> Item:
        while True:
            item = super()._victim()
            if item.hits == item.hits_seen:
                return item
            item.hits_seen = item.hits
            self._items.move_to_end(item.key)


class Lru(_OneQueue):
    """The least recently used goes."""

    def _hit(self, item: Item) -> None:
        item.hits += 1
        self._items.move_to_end(item.key)


class Foresight(_OneQueue):
    """Knows the future: of some that it looks at, the one goes whose next use is furthest away, by size.

    Not the optimum, which nobody can compute where sizes differ, but near it. What is not asked for again, before a
    change, is not kept.

    Args:
        capacity_bytes: The room.
        reads: What will be read.
    """

    _SAMPLE = 32

    def __init__(self, capacity_bytes: int, reads: Sequence[Read]) -> None:
        super().__init__(capacity_bytes)
        self._next_uses = _next_uses(reads)
        self._now = -1
        self._keys: list[bytes] = []  # of those that are kept, and some that were
        self._chance = random.Random(4)

    def read(self, read: Read) -> bool:
        """See `Policy`."""
        self._now += 1
        next_use = self._next_uses[self._now]
        if read.key not in self._items and next_use == inf:
            return False
        hit = super().read(read)
        item = self._items.get(read.key)
        if item is not None:
            item.next_use = next_use
            if not hit:
                self._keys.append(read.key)
            if next_use == inf:
                self._remove(item)
        return hit

    def _victim(self) -> Item:
        worst: Item | None = None
        worst_score = -1.0
        looked_at = 0
        while looked_at < min(self._SAMPLE, len(self._items)):
            place = self._chance.randrange(len(self._keys))
            item = self._items.get(self._keys[place])
            if item is None:
                self._keys[place] = self._keys[-1]
                self._keys.pop()
                continue
            looked_at += 1
            score = item.size * (item.next_use - self._now) if item.next_use != inf else -0.5
            if score > worst_score:
                worst, worst_score = item, score
        assert worst is not None
        return worst


def _next_uses(reads: Sequence[Read]) -> list[float]:
    """Return of each read the index of the next that would be a hit if its answer were kept."""
    following: dict[bytes, float] = {}
    next_uses = [inf] * len(reads)
    for index in range(len(reads) - 1, -1, -1):
        read = reads[index]
        next_uses[index] = following.get(read.key, inf)
        following[read.key] = inf if read.changed else index
    return next_uses
