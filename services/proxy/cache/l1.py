"""L1: the answers in this worker's memory, by key and by what they depend on.

Bounded in bytes: those of entries and ready-made replies with their cells in the indexes, and of the memory of what had
to go, for which a part is set aside. Who has to go for lack of room is decided in `s3fifo`; here is what is valid.

What dies in great numbers (a relation's entries, a template's, or all) is dead at once and served no more: to mark it
costs some hundred nanoseconds for each. It is taken out of the indexes, and its memory given back, in parts, with the
insertions and sweeps that follow; until then its bytes count.
"""

from collections.abc import Callable, Iterable

from services.proxy.cache.entry import Entry, Reply
from services.proxy.cache.freshness import boot_clock
from services.proxy.cache.recent import RecentEvictions
from services.proxy.cache.reply_tables import ReplyTables
from services.proxy.cache.s3fifo import S3Fifo
from services.proxy.cache.tag_index import TagIndex
from services.shared.position import Position

_REPLIES_PER_ENTRY = 32  # clients that name statements at random would else fill the cache with one answer
_MOST_AT_ONCE = 2_000  # entries that one call takes out: some milliseconds
_WITH_AN_INSERTION = 8  # what is dead is gone before an eighth as much is there again


class L1:
    """Entries of one cache in one worker. Pure.

    Attributes:
        evicted: Entries removed because a change may have altered them.
        displaced: Entries removed for space or age.
    """

    def __init__(
        self, capacity_bytes: int, floor: tuple[Position, ...], clock: Callable[[], float] = boot_clock
    ) -> None:
        """Start empty, at a floor below which nothing may be inserted."""
        self._largest_bytes = capacity_bytes // 4
        self._clock = clock
        self._recent = RecentEvictions(floor)
        self._entries: S3Fifo[Entry] = S3Fifo(capacity_bytes)
        self._index = TagIndex()
        self._tables = ReplyTables()
        self._dead_keys: list[bytes] = []  # of entries that are still to be taken out; another may be there by now
        self._dead_count = 0
        self._forgotten_keys: list[
            bytes
        ] = []  # of entries of which replies that were forgotten are still to be taken out
        self.evicted = 0
        self.displaced = 0

    def __len__(self) -> int:
        return len(self._entries) - self._dead_count

    @property
    def bytes_used(self) -> int:
        """What the entries and all that goes with them take, by estimate; the dead included that are still here."""
        return self._entries.bytes_used

    def get(self, key: bytes) -> Entry | None:
        """Return the live entry of a key."""
        entry = self._entries.get(key)
        if entry is None or not entry.live:
            return None
        if entry.expires_at <= self._clock():
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
        if entry.size > self._largest_bytes:
            return "too_large"
        previous = self._entries.get(entry.key)
        if previous is not None:
            self._remove(previous)
        self._take_out_dead(_WITH_AN_INSERTION, entry.size)
        self._index.add(entry)
        self._displace(self._entries.add(entry))
        return ""

    def remember_reply(
        self,
        entry: Entry,
        context: dict[bytes, Reply],
        turn: bytes,
        reply: Reply,
        also: tuple[dict[bytes, Reply], bytes] | None = None,
    ) -> None:
        """Keep a ready-made reply for as long as its entry lives.

        Args:
            entry: What it rests on.
            context: The table in which it is found, where it is not yet.
            turn: By these bytes of a turn.
            reply: The reply.
            also: A second table, and by what it is found there.
        """
        if not entry.live:
            return
        known = context.get(turn)
        if known is not None:
            if known.entry.live:
                if known.looked_at is None and known.entry is entry and reply.looked_at is not None:
                    growth = -known.size
                    known.looked_at = reply.looked_at
                    self._displace(self._entries.grow(entry, growth + known.size))
                return
            self._tables.take_out(known)
        growth = 0
        if len(entry.replies) >= _REPLIES_PER_ENTRY:
            oldest, *_ = entry.replies
            entry.replies = entry.replies[1:]
            self._tables.take_out(oldest)
            growth -= oldest.size
        self._tables.put(reply, context, turn)
        if also is not None and also[1] not in also[0]:
            self._tables.put_also(reply, *also)
        entry.replies = (*entry.replies, reply)
        growth += reply.size
        self._take_out_dead(0, growth)
        self._displace(self._entries.grow(entry, growth))

    def discard(self, entry: Entry) -> None:
        """Remove one entry, if it is still here."""
        entry.displaced = False  # from now on something is wrong with it
        if entry.live and self._entries.get(entry.key) is entry:
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
        found = self._index.find(tags, relations)
        doomed = [entry for entry in found if entry.live and entry.at[partition] < position]
        self._end(doomed)
        for entry in doomed:
            entry.tally.evicted += 1
            entry.tally.unused += not entry.hits
        self._recent.note(position, tags, relations, applied)
        self.evicted += len(doomed)
        return len(doomed)

    def drop(self, floor: tuple[Position, ...]) -> None:
        """Forget every entry and every recent eviction; nothing from before the floor is taken any more."""
        for entry in self._entries:
            entry.live = False
        self._dead_count = len(self._entries)
        self._dead_keys = self._entries.keys()
        self._take_out_dead(_MOST_AT_ONCE)
        self._recent.reset(floor)

    def forget_replies(self) -> None:
        """Forget the ready-made replies; the entries stay, under keys that say what they rest on.

        None is found any more; what they took is given back in parts, as it is with what is dead.
        """
        self._tables.clear()
        self._forgotten_keys = self._entries.keys()
        self._take_out_forgotten(_MOST_AT_ONCE)

    def forget_replies_of(self, entry: Entry) -> None:
        """Forget the ready-made replies of one entry: the next read of it takes the slow path."""
        for reply in entry.replies:
            self._tables.take_out(reply)
        self._clean(entry)

    def discard_template(self, template: str) -> None:
        """Remove every answer to a template. Looks at all entries: some hundred nanoseconds for each."""
        doomed = [entry for entry in self._entries if entry.template == template and entry.live]
        self._end(doomed)
        self.displaced += len(doomed)

    def sweep(self) -> bool:
        """Take out some of what is older than the maximum age, and of what is dead: a bounded part of the work.

        Age is a backstop, since nothing else depends on it. Of each queue the oldest are looked at, up to the first
        that is young enough, so one that ages sooner than those in front of it goes with them.

        Returns:
            Whether there is more to do.
        """
        self._take_out_dead(_MOST_AT_ONCE)
        self._take_out_forgotten(_MOST_AT_ONCE)
        now = self._clock()
        for _ in range(_MOST_AT_ONCE):
            aged = next((entry for entry in self._entries.oldest() if entry.expires_at <= now), None)
            if aged is None:
                return bool(self._dead_keys or self._forgotten_keys)
            self.displaced += aged.live
            self._remove(aged)
        return True

    def _end(self, doomed: list[Entry]) -> None:
        """Have entries served no more from now on; of many, most are taken out later."""
        if len(doomed) <= _MOST_AT_ONCE:
            for entry in doomed:
                self._remove(entry)
            return
        for entry in doomed:
            entry.live = False
        self._dead_count += len(doomed)
        self._dead_keys += [entry.key for entry in doomed]
        self._take_out_dead(_MOST_AT_ONCE)

    def _take_out_dead(self, most: int, wanted_bytes: int = 0) -> None:
        """Give back the memory of some of what is dead, and of more while no live entry should have to make room."""
        keys = self._dead_keys
        while keys and (most > 0 or self.bytes_used + wanted_bytes > self._entries.capacity_bytes):
            most -= 1
            entry = self._entries.get(keys.pop())
            if entry is not None and not entry.live:
                self._remove(entry)

    def _take_out_forgotten(self, most: int) -> None:
        keys = self._forgotten_keys
        for _ in range(min(most, len(keys))):
            entry = self._entries.get(keys.pop())
            if entry is not None:
                self._clean(entry)

    def _clean(self, entry: Entry) -> None:
        """Give back those of an entry's replies that are found no more."""
        standing = tuple(reply for reply in entry.replies if self._tables.stands(reply))
        if len(standing) < len(entry.replies):
            self._entries.grow(entry, _bytes_of(standing) - _bytes_of(entry.replies))
            entry.replies = standing

    def _displace(self, entries: Iterable[Entry]) -> None:
        """End entries that had to make room: they are in no queue any more."""
        for entry in entries:
            entry.displaced = entry.live
            self.displaced += entry.live
            entry.tally.displaced += entry.live
            entry.tally.unused += entry.live and not entry.hits
            self._kill(entry)

    def _remove(self, entry: Entry) -> None:
        self._entries.remove(entry)
        self._kill(entry)

    def _kill(self, entry: Entry) -> None:
        self._index.discard(entry)
        self._dead_count -= not entry.live
        entry.live = False
        for reply in entry.replies:
            self._tables.take_out(reply)
        entry.replies = ()


def _bytes_of(replies: Iterable[Reply]) -> int:
    return sum(reply.size for reply in replies)
