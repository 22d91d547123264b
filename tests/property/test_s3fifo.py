"""The queues beside a plain dictionary: what is in them, what leaves them, and that it is within the bound."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.cache.s3fifo import S3Fifo

CAPACITY = 10_000
KEYS = 40
keys = st.integers(0, KEYS - 1)
sizes = st.one_of(st.integers(1, 400), st.integers(1, CAPACITY // 4))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), keys, sizes),
        st.tuples(st.just("ask"), st.integers(KEYS, 10**6), sizes),  # of a scan
        st.tuples(st.just("hit"), keys, st.integers(1, 30)),
        st.tuples(st.just("grow"), keys, sizes),
        st.tuples(st.just("remove"), keys, st.just(0)),
    ),
    max_size=300,
)


@dataclass(eq=False)
class Item:
    key: bytes
    size: int
    hits: int = 0
    hits_seen: int = 0


class Beside:
    """The queues and a dictionary that is told who goes."""

    def __init__(self) -> None:
        self.queues: S3Fifo[Item] = S3Fifo(CAPACITY)
        self.known: dict[bytes, Item] = {}

    def do(self, what: str, key: bytes, number: int) -> None:
        item = self.known.get(key)
        match what:
            case "ask" if item is None:
                item = self.known[key] = Item(key, number)
                self.part_from(self.queues.add(item))
            case "ask" | "hit" if item is not None:
                item.hits += 1 if what == "ask" else number
            case "grow" if item is not None:
                self.part_from(self.queues.grow(item, number))
            case "remove" if item is not None:
                self.queues.remove(self.known.pop(key))

    def part_from(self, gone: list[Item]) -> None:
        for item in gone:
            assert self.known.pop(item.key) is item

    def check(self) -> None:
        assert {item.key: item for item in self.queues} == self.known
        assert len(self.queues) == len(self.known)
        assert sorted(self.queues.keys()) == sorted(self.known)
        assert all(self.queues.get(key) is item for key, item in self.known.items())
        assert self.queues.bytes_used == sum(item.size for item in self.known.values())
        assert self.queues.bytes_used <= self.queues.capacity_bytes < CAPACITY
        oldest = list(self.queues.oldest())
        assert bool(oldest) == bool(self.known)
        assert all(self.known[item.key] is item for item in oldest)


@settings(max_examples=150)
@given(steps)
def test_the_queues_hold_what_was_added_and_has_not_gone(script: list[tuple[str, int, Any]]) -> None:
    beside = Beside()
    for what, key, number in script:
        beside.do(what, b"%d" % key, number)
        beside.check()
