"""Who has to go: not what is popular, whatever passes by; and what is large only stays for as many hits."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from services.proxy.cache.ghosts import Ghosts
from services.proxy.cache.s3fifo import S3Fifo

ROOM = 1 << 20
SIZE = 1_000  # a thousand of them have room


@dataclass(eq=False)
class Item:
    key: bytes
    size: int = SIZE
    hits: int = 0
    hits_seen: int = 0


class Reader:
    """Reads through a cache: what it has is hit, what it has not is put in."""

    def __init__(self) -> None:
        self.cache: S3Fifo[Item] = S3Fifo(ROOM)

    def read(self, keys: Iterable[bytes], size: int = SIZE) -> int:
        """Return how many were hits."""
        hits = 0
        for key in keys:
            found = self.cache.get(key)
            if found is None:
                self.cache.add(Item(key, size))
            else:
                found.hits += 1
                hits += 1
        return hits

    def has(self, keys: Iterable[bytes]) -> int:
        """Return how many of these are in the cache."""
        return sum(self.cache.get(key) is not None for key in keys)


def named(name: str, count: int) -> list[bytes]:
    return [f"{name} {number}".encode() for number in range(count)]


@pytest.fixture
def reader() -> Reader:
    return Reader()


def test_a_scan_of_many_times_the_cache_leaves_the_working_set_alone(reader: Reader) -> None:
    working_set = named("working", 800)
    for _ in range(3):
        reader.read(working_set)
    reader.read(named("scan", 5_000))
    assert reader.has(working_set) == 800


def test_who_is_popular_beside_a_scan_finds_his_way_in(reader: Reader) -> None:
    """The cache is full of what is asked for once; each of the others is forgotten before it is asked for again."""
    working_set = named("working", 500)
    scan = iter(named("scan", 10_000))
    hits = []
    for _ in range(10):
        hit = 0
        for key in working_set:
            hit += reader.read([key])
            reader.read([next(scan), next(scan)])
        hits.append(hit)
    assert hits[0] == 0
    assert hits[-1] > 450


def test_large_answers_do_not_push_out_the_many_small_ones_that_their_room_would_hold(reader: Reader) -> None:
    """Each large one is asked for more often than each small one, and not a hundred times as often."""
    small, large = named("small", 900), named("large", 10)
    for _ in range(2):
        reader.read(small)
    hits = 0
    for _ in range(20):
        for number, key in enumerate(large):
            reader.read([key, key], 100 * SIZE)
            hits += reader.read(small[number * 90 : number * 90 + 90])
    assert hits > 20 * 900 * 0.97


def test_a_large_answer_stays_where_it_is_hit_as_often_as_the_small_ones_that_it_takes_the_room_of(
    reader: Reader,
) -> None:
    small = named("small", 1_000)
    for _ in range(2):
        reader.read(small)
    for _ in range(50):
        for part in range(0, 1_000, 10):
            reader.read([b"large"], 100 * SIZE)  # a hundred times in each round
            reader.read(small[part : part + 10])
    assert reader.has([b"large"]) == 1


def test_large_answers_that_pass_by_take_nobodys_trial(reader: Reader) -> None:
    reader.read(named("filling", 1_100))
    on_trial = named("on trial", 50)
    reader.read(on_trial)
    reader.read(named("large", 100), 50 * SIZE)
    assert reader.has(on_trial) == 50


def test_a_large_answer_is_taken_at_first_sight_where_there_is_room(reader: Reader) -> None:
    reader.read(named("small", 100))
    reader.read([b"large"], 100 * SIZE)
    assert reader.has([b"large"]) == 1


def test_what_was_popular_is_back_in_its_place_after_a_change(reader: Reader) -> None:
    working_set = named("working", 800)
    for _ in range(3):
        reader.read(working_set)
    reader.read(named("scan", 1_000))
    changed = working_set[:20]
    for key in changed:
        found = reader.cache.get(key)
        assert found is not None
        reader.cache.remove(found)
    reader.read(changed)
    reader.read(named("another scan", 5_000))
    assert reader.has(changed) == 20


def test_one_that_was_not_popular_is_not_remembered_for_having_been_changed(reader: Reader) -> None:
    changed = named("changed", 20)
    reader.read(changed)
    for key in changed:
        found = reader.cache.get(key)
        assert found is not None
        reader.cache.remove(found)
    reader.read(changed)
    reader.read(named("scan", 5_000))
    assert reader.has(changed) == 0


@pytest.mark.parametrize("on_trial", [True, False])
def test_who_was_popular_long_ago_goes_in_the_end(reader: Reader, *, on_trial: bool) -> None:
    """However often it was hit: a hit of yesterday is not worth more than three rounds."""
    yesterday, today = named("yesterday", 800), named("today", 900)
    reader.read(yesterday)
    if not on_trial:
        reader.read(yesterday)
        reader.read(named("passing by", 1_100))
        assert len(reader.cache._main) == 800
    for item in reader.cache:
        item.hits += 1_000_000
    for _ in range(12):
        reader.read(today)
    assert reader.has(today) > 850


def test_one_insertion_does_not_go_round_the_whole_queue(reader: Reader) -> None:
    """When the cache is first full everything in it may have been hit."""
    looks = 0

    class Counting(Item):
        @property
        def hits(self) -> int:
            nonlocal looks
            looks += 1
            return 1_000

        @hits.setter
        def hits(self, value: int) -> None:
            pass

    most = 0
    for key in named("hit", 1_200):
        looks = 0
        reader.cache.add(Counting(key))
        most = max(most, looks)
    assert len(reader.cache) < 1_200
    assert 0 < most < 100


def test_ghosts_are_bounded_and_the_oldest_are_forgotten_first() -> None:
    ghosts = Ghosts(most_bytes=8_192)  # 1,024 cells in each generation
    keys = named("gone", 2_000)
    for key in keys:
        ghosts.note(key, entry_count=500)
    assert ghosts._newer.itemsize * (len(ghosts._newer) + len(ghosts._older)) <= 8_192
    assert sum(map(ghosts.take, keys[:1_000])) == 0
    assert sum(map(ghosts.take, keys[1_000:])) > 750
    assert sum(map(ghosts.take, keys[1_000:])) == 0  # each comes back once
    assert sum(map(ghosts.take, named("never here", 2_000))) == 0


def test_without_room_there_are_no_ghosts() -> None:
    ghosts = Ghosts(most_bytes=7)
    ghosts.note(b"gone", 10)
    assert not ghosts.take(b"gone")
