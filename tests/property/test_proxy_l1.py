"""L1 under random feeds and fills: what it gives out passes the rule of validity, and its bytes add up."""

from collections.abc import Iterable

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
        self.contexts: list[dict[bytes, Reply]] = [{}, {}]

    def fill(self, key: int, tags: Iterable[str], age: int) -> None:
        """Insert an answer whose query began some time ago."""
        at = self.noted[-1 - min(age, len(self.noted) - 1)]
        tags = tuple(sorted(tags))
        relations = tuple(sorted({int(tag.split(":")[0]) for tag in tags}))
        entry = Entry(b"%d" % key, Answer(b"", b"x" * (key * 50), b""), at, tags, relations, (), FAR)
        refusal = self.l1.insert(entry)
        if not self._valid(entry):
            assert refusal != ""

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

    def drop(self) -> None:
        self.l1.drop(tuple(self.positions))

    def reply(self, key: int, context: int, length: int) -> None:
        entry = self.l1._entries.get(b"%d" % key)
        if entry is not None:
            turn = b"turn %d %d" % (key, length)
            self.l1.remember_reply(entry, self.contexts[context % 2], turn, Reply(entry, bytes(length), None))

    def _valid(self, entry: Entry) -> bool:
        cells: set[str | int] = {*entry.tags, *entry.relations}
        return not any(cell in cells and entry.at[part] < position for part, position, cell in self.history)

    def check(self) -> None:
        entries = self.l1._entries
        replies = [(context, turn) for context in self.contexts for turn in context]
        for key, entry in entries.items():
            assert entry.live
            assert entry.key == key
            assert self._valid(entry)
        for context, turn in replies:
            assert context[turn].entry.live
            assert context[turn].entry in entries.values()
        assert len(replies) == sum(len(entry.replies) for entry in entries.values())
        assert self.l1.bytes_used == sum(_size(entry) for entry in entries.values())
        assert self.l1.bytes_used <= self.l1._capacity_bytes
        indexed = {
            id(entry) for index in (self.l1._by_tag, self.l1._by_relation) for cell in index.values() for entry in cell
        }
        assert indexed == {id(entry) for entry in entries.values() if entry.tags}


def _size(entry: Entry) -> int:
    """What an entry costs, from its parts."""
    answer = entry.answer
    bare = Entry(entry.key, answer, entry.at, entry.tags, entry.relations, (), 0.0).size
    replies = sum(len(turn) + len(context[turn].payload) + 350 for context, turn in entry.replies)
    return bare + replies


@settings(max_examples=200)
@given(steps, st.sampled_from([5_000, 8_000, 1_000_000]), st.sampled_from([1, 3, 50_000]))
def test_what_is_kept_is_valid_and_adds_up(
    script: list[tuple[str, object, object, object]], capacity: int, generation_cells: int
) -> None:
    worker = Worker(capacity, generation_cells)
    for step in script:
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
                assert worker.l1.bytes_used == 0
            case "forget replies", _, _, _:
                worker.l1.forget_replies()
                assert worker.contexts == [{}, {}]
            case "expire", int(key), _, _:
                entry = worker.l1._entries.get(b"%d" % key)
                if entry is not None:
                    entry.expires_at = worker.clock.now
                    worker.l1.sweep()
            case _:
                raise AssertionError(step)
        worker.check()
    for relation in RELATIONS:
        worker.evict(relation, 1)
    assert worker.l1.bytes_used == sum(_size(entry) for entry in worker.l1._entries.values())
    assert all(not entry.tags for entry in worker.l1._entries.values())
    worker.l1.drop(tuple(worker.positions))
    assert (worker.l1.bytes_used, len(worker.l1), worker.contexts) == (0, 0, [{}, {}])
