"""L1: the answers in this worker's memory, by key and by what they depend on.

Bounded in bytes. Eviction for space is first in, first out with a second chance for what was hit since it was last
looked at, so that the hot path has nothing to do but count.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

from services.proxy.cache.entry import Entry, Reply
from services.proxy.cache.freshness import boot_clock
from services.proxy.cache.recent import RecentEvictions
from services.shared.position import Position

_REPLIES_PER_ENTRY = 32  # clients that name statements at random would else fill the cache with one answer
_REPLY_OVERHEAD_BYTES = 350  # a Reply with its dictionary cell and key

_Cell = TypeVar("_Cell", str, int)


class L1:
    """Entries of one cache in one worker. Pure.

    Attributes:
        bytes_used: What the entries and their ready-made replies take, by estimate.
        evicted: Entries removed because a change may have altered them.
        displaced: Entries removed for space or age.
    """

    def __init__(
        self, capacity_bytes: int, floor: tuple[Position, ...], clock: Callable[[], float] = boot_clock
    ) -> None:
        """Start empty, at a floor below which nothing may be inserted."""
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._recent = RecentEvictions(floor)
        # Oldest first. Not a plain dict: taking its first item scans over all that were taken before.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_tag: dict[str, set[Entry]] = {}
        self._by_relation: dict[int, set[Entry]] = {}
        self.bytes_used = 0
        self.evicted = 0
        self.displaced = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Entry | None:
        """Return the live entry of a key."""
        entry = self._entries.get(key)
        if entry is not None and entry.expires_at <= self._clock():
            self._remove(entry)
            self.displaced += 1
            return None
        return entry

    def refusal(self, at: tuple[Position, ...], tags: Iterable[str], relations: Iterable[int]) -> str:
        """Return why an answer that was right at these positions may not be used any more; empty when it may."""
        return self._recent.refuses(at, tags, relations)

    def insert(self, entry: Entry) -> str:
        """Take an answer if the rule of validity allows it.

        Returns:
            Why it was refused; empty when it was taken.
        """
        refusal = self._recent.refuses(entry.at, entry.tags, entry.relations)
        if refusal:
            return refusal
        if entry.size > self._capacity_bytes // 4:
            return "too_large"
        previous = self._entries.get(entry.key)
        if previous is not None:
            self._remove(previous)
        self._entries[entry.key] = entry
        for tag in entry.tags:
            self._by_tag.setdefault(tag, set()).add(entry)
        for relation in entry.relations:
            self._by_relation.setdefault(relation, set()).add(entry)
        self.bytes_used += entry.size
        self._make_room()
        return ""

    def remember_reply(self, entry: Entry, context: dict[bytes, Reply], turn: bytes, reply: Reply) -> None:
        """Keep the ready-made reply to an exact turn, for as long as its entry lives."""
        if not entry.live or turn in context:
            return
        if len(entry.replies) >= _REPLIES_PER_ENTRY:
            oldest_context, oldest_turn = entry.replies.pop(0)
            self._shrink(entry, oldest_turn, oldest_context.pop(oldest_turn, None))
        context[turn] = reply
        entry.replies.append((context, turn))
        size = len(turn) + len(reply.payload) + _REPLY_OVERHEAD_BYTES
        entry.size += size
        self.bytes_used += size
        self._make_room()

    def discard(self, entry: Entry) -> None:
        """Remove one entry, if it is still here."""
        if self._entries.get(entry.key) is entry:
            self._remove(entry)
            self.displaced += 1

    def evict(
        self,
        partition: int,
        position: Position,
        tags: Iterable[str],
        relations: Iterable[int],
        applied: tuple[Position, ...],
    ) -> int:
        """Apply one feed item's evictions, and remember them against answers that are still under way.

        An entry that was read at or after the item's position already has the change in it and stays.

        Returns:
            How many entries died.
        """
        doomed: set[Entry] = set()
        for tag in tags:
            doomed.update(self._by_tag.get(tag, ()))
        for relation in relations:
            doomed.update(self._by_relation.get(relation, ()))
        count = 0
        for entry in doomed:
            if entry.at[partition] >= position:
                continue
            self._remove(entry)
            entry.tally.evicted += 1
            count += 1
        self._recent.note(position, tags, relations, applied)
        self.evicted += count
        return count

    def drop(self, floor: tuple[Position, ...]) -> None:
        """Forget every entry and every recent eviction; nothing from before the floor is taken any more."""
        for entry in self._entries.values():
            self._kill(entry)
        self._entries.clear()
        self._by_tag.clear()
        self._by_relation.clear()
        self.bytes_used = 0
        self._recent.reset(floor)

    def forget_replies(self) -> None:
        """Forget the ready-made replies; the entries stay, under keys that say what they rest on."""
        for entry in self._entries.values():
            self.forget_replies_of(entry)

    def forget_replies_of(self, entry: Entry) -> None:
        """Forget the ready-made replies of one entry: the next read of it takes the slow path."""
        for context, turn in entry.replies:
            self._shrink(entry, turn, context.pop(turn, None))
        entry.replies.clear()

    def discard_template(self, template: str) -> None:
        """Remove every answer to a template. Looks at all entries."""
        for entry in [entry for entry in self._entries.values() if entry.template == template]:
            self.discard(entry)

    def sweep(self) -> None:
        """Remove what is older than the maximum age: a backstop, since nothing else depends on age."""
        now = self._clock()
        for entry in [entry for entry in self._entries.values() if entry.expires_at <= now]:
            self._remove(entry)
            self.displaced += 1

    def _shrink(self, entry: Entry, turn: bytes, reply: Reply | None) -> None:
        if reply is not None:
            size = len(turn) + len(reply.payload) + _REPLY_OVERHEAD_BYTES
            entry.size -= size
            self.bytes_used -= size

    def _make_room(self) -> None:
        while self.bytes_used > self._capacity_bytes and self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.hits > entry.hits_seen:
                entry.hits_seen = entry.hits
                self._entries.move_to_end(key)
                continue
            self._remove(entry)
            self.displaced += 1

    def _remove(self, entry: Entry) -> None:
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
        self.bytes_used -= entry.size
        for tag in entry.tags:
            _discard(self._by_tag, tag, entry)
        for relation in entry.relations:
            _discard(self._by_relation, relation, entry)
        self._kill(entry)

    @staticmethod
    def _kill(entry: Entry) -> None:
        entry.live = False
        for context, turn in entry.replies:
            context.pop(turn, None)
        entry.replies.clear()


def _discard(index: dict[_Cell, set[Entry]], cell: _Cell, entry: Entry) -> None:
    members = index.get(cell)
    if members is not None:
        members.discard(entry)
        if not members:
            del index[cell]
