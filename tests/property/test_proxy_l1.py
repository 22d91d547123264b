"""L1 under random feeds and fills: what it gives out passes the rule of validity, and its bytes add up.

Beside a plain dictionary: what it gives out is what was put in last. Its bytes are within their bound after every step,
and nothing lives that an eviction would not find.
"""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.cache.l1 import L1
from services.proxy.cache.recent import RecentEvictions
from services.shared.lsn import Lsn
from services.shared.position import START, Position, partition_of
from tests.unit.proxy.manual_clock import ManualClock

PARTITIONS = 2
RELATIONS = (10, 11, 12, 13)
TAGS = tuple(f"{relation}:{value}" for relation in RELATIONS for value in ("a", "b"))
FAR = 1e12
CAPACITIES = (5_000, 8_000, 1_000_000)  # of four entries and more

relation_sets = st.sets(st.sampled_from(RELATIONS), min_size=1, max_size=3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), st.integers(0, 5), st.sets(st.sampled_from(TAGS), max_size=3), st.integers(0, 3)),
        st.tuples(st.just("evict tag"), st.sampled_from(TAGS), st.booleans(), st.integers(1, 3)),
        st.tuples(st.just("evict relation"), st.sampled_from(RELATIONS), st.booleans(), st.integers(1, 3)),
        st.tuples(st.just("reply"), st.integers(0, 5), st.integers(0, 3), st.integers(0, 400)),
        st.tuples(st.just("hit"), st.integers(0, 5), st.none(), st.none()),
        st.tuples(st.just("drop"), st.none(), st.none(), st.none()),
        st.tuples(st.just("forget replies"), st.none(), st.none(), st.none()),
        st.tuples(st.just("expire"), st.integers(0, 5), st.none(), st.none()),
    ),
    max_size=80,
)


class Worker:
    """An L1 with its feed, beside a full history of evictions."""

    def __init__(self, capacity: int, generation_cells: int) -> None:
        self.clock = ManualClock()
        self.l1 = L1(capacity, (START,) * PARTITIONS, self.clock)
        self.l1._recent = RecentEvictions((START,) * PARTITIONS, generation_cells)
        self.positions = [START] * PARTITIONS
        self.noted: list[tuple[Position, ...]] = [tuple(self.positions)]  # positions at which queries began
        self.history: list[tuple[int, Position, str | int]] = []
        self.contexts: list[dict[bytes, Reply]] = [{}, {}, {}]
        self.inserted: dict[bytes, Entry] = {}  # what was taken last, by key; it may have had to make room since

    def fill(self, key: int, tags: Iterable[str], age: int) -> None:
        """Insert an answer whose query began some time ago."""
        at = self.noted[-1 - min(age, len(self.noted) - 1)]
        tags = tuple(sorted(tags))
        relations = tuple(sorted({int(tag.split(":")[0]) for tag in tags}))
        entry = Entry(b"%d" % key, Answer(b"", b"x" * (key * 50), b""), at, tags, relations, (), FAR)
        refusal = self.l1.insert(entry)
        if not self._valid(entry):
            assert refusal != ""
        if not refusal:
            self.inserted[entry.key] = entry

    def evict(self, cell: str | int, steps: int) -> None:
        relation = cell if isinstance(cell, int) else int(cell.split(":")[0])
        partition = partition_of(relation, PARTITIONS)
        applied = tuple(self.positions)
        position = Position(Lsn(100), self.positions[partition].k + steps)
        tags, relations = ((cell,), ()) if isinstance(cell, str) else ((), (cell,))
        self.l1.evict(partition, position, tags, relations, applied)
        self.positions[partition] = position
        self.noted.append(tuple(self.positions))
        self.history.append((partition, position, cell))
        self.inserted = {key: entry for key, entry in self.inserted.items() if self._valid(entry)}

    def drop(self) -> None:
        self.l1.drop(tuple(self.positions))
        self.inserted.clear()

    def reply(self, key: int, context: int, length: int) -> None:
        entry = self.l1.get(b"%d" % key)
        if entry is not None:
            turn = b"turn %d %d" % (key, length)
            reply, also = Reply(entry, bytes(length), None), (self.contexts[2], turn + b" of %d" % (context % 2))
            self.l1.remember_reply(entry, self.contexts[context % 2], turn, reply, also if length % 2 else None)

    def expire(self, key: int) -> None:
        entry = self.l1.get(b"%d" % key)
        if entry is not None:
            entry.expires_at = self.clock.now
            del self.inserted[entry.key]
            self.l1.sweep()

    def _valid(self, entry: Entry) -> bool:
        cells: set[str | int] = {*entry.tags, *entry.relations}
        return not any(cell in cells and entry.at[part] < position for part, position, cell in self.history)

    def check(self) -> None:
        l1 = self.l1
        known = {entry.key: entry for entry in l1._entries}  # some of them dead, and not yet taken out
        for key, entry in known.items():
            assert l1._entries.get(key) is entry
            assert not entry.live or self._valid(entry)
        assert len(l1) == sum(entry.live for entry in known.values())
        standing = [(context, turn) for context in self.contexts for turn in context]
        for context, turn in standing:
            reply = context[turn]
            places = [(reply.table, reply.turn)] + [(reply.also, reply.also_turn)] * bool(reply.also_turn)
            assert any(table is context and by == turn for table, by in places)
            assert all(table[by] is reply for table, by in places)
            assert reply in reply.entry.replies
            assert known[reply.entry.key] is reply.entry
        assert l1.bytes_used == sum(_size(entry) for entry in known.values())
        assert l1.bytes_used <= l1._entries.capacity_bytes < CAPACITIES[-1]
        assert _indexed(l1) == {id(entry) for entry in known.values() if entry.tags}
        for key in map(b"%d".__mod__, range(6)):
            found = l1.get(key)
            assert found is None or (found.live and found is self.inserted[key])


def _indexed(l1: L1) -> set[int]:
    by_tag, by_relation = l1._index._by_tag, l1._index._by_relation
    for members in by_tag.values():
        assert not isinstance(members, set) or len(members) > 1
    of_tags = {id(entry) for cell in by_tag.values() for entry in (cell if isinstance(cell, set) else (cell,))}
    assert of_tags == {id(entry) for cell in by_relation.values() for entry in cell}
    return of_tags


def _size(entry: Entry) -> int:
    """What an entry costs, from its parts."""
    bare = Entry(entry.key, entry.answer, entry.at, entry.tags, entry.relations, (), 0.0).size
    return bare + sum(reply.size for reply in entry.replies)


def play(worker: Worker, step: tuple[str, object, object, object]) -> None:
    match step:
        case "fill", int(key), set(tags), int(age):
            worker.fill(key, tags, age)
        case (("evict tag" | "evict relation"), (str() | int()) as cell, _, int(count)):
            worker.evict(cell, count)
        case "reply", int(key), int(context), int(length):
            worker.reply(key, context, length)
        case "hit", int(key), _, _:
            found = worker.l1.get(b"%d" % key)
            if found is not None:
                found.hits += 1
        case "drop", _, _, _:
            worker.drop()
            assert len(worker.l1) == 0
        case "forget replies", _, _, _:
            worker.l1.forget_replies()
            assert worker.contexts == [{}, {}, {}]
        case "expire", int(key), _, _:
            worker.expire(key)
        case _:
            raise AssertionError(step)


@settings(max_examples=200)
@given(steps, st.sampled_from(CAPACITIES), st.sampled_from([1, 3, 50_000]))
def test_what_is_kept_is_valid_and_adds_up(
    script: list[tuple[str, object, object, object]], capacity: int, generation_cells: int
) -> None:
    worker = Worker(capacity, generation_cells)
    for step in script:
        play(worker, step)
        worker.check()
    for relation in RELATIONS:
        worker.evict(relation, 1)
    assert all(not entry.tags for entry in worker.l1._entries)
    worker.check()
    worker.drop()
    assert (worker.l1.bytes_used, len(worker.l1), worker.contexts) == (0, 0, [{}, {}, {}])


@settings(max_examples=100)
@given(steps, st.sampled_from(CAPACITIES))
def test_what_is_dead_is_within_the_bound_until_it_is_taken_out(
    script: list[tuple[str, object, object, object]], capacity: int
) -> None:
    """As above, where each call takes out one entry, and so there are dead ones of many drops and evictions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.proxy.cache.l1._MOST_AT_ONCE", 1)
        patch.setattr("services.proxy.cache.l1._WITH_AN_INSERTION", 1)
        worker = Worker(capacity, 50_000)
        for step in script:
            play(worker, step)
            worker.check()
        while worker.l1.sweep():
            pass
        assert all(entry.live for entry in worker.l1._entries)
        standing = sum(len(context) for context in worker.contexts)
        replies = [reply for entry in worker.l1._entries for reply in entry.replies]
        assert standing == sum(1 + bool(reply.also_turn) for reply in replies)
