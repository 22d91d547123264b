"""Where most answers are never read again, one is kept when it is asked for a second time."""

import random
from collections import Counter, OrderedDict
from collections.abc import Iterator

import pytest

from services.proxy.admission.economies import Decision, Economies
from services.proxy.admission.economy import Economy, Keeps, Prices
from services.proxy.admission.table import decision_table
from services.proxy.sql.verdict import NameSpace

POINT_READ, AGGREGATE = 100e-6, 20e-3  # seconds that Postgres takes
_ROOM = 400


def economy(origin: float) -> Economy:
    made = Economy(Prices())
    made.origin.note(origin)
    made.miss.note(150e-6)
    made.looked_up.note(20e-6)
    return made


class Cache:
    """A cache with room for a number of answers, in front of an economy: who was read longest ago has to go."""

    def __init__(self, subject: Economy) -> None:
        self.subject = subject
        self.hits_of: OrderedDict[int, int] = OrderedDict()
        self.forwarded: Counter[str] = Counter()
        self.hits = self.misses = 0
        self.room = _ROOM

    def read(self, key: int) -> None:
        subject, number = self.subject, key * 0x9E3779B97F4A7C15 >> 7 & 0xFFFF_FFFF_FFFF
        refusal = subject.turns_away(number)
        tally = subject.tally(number)
        if refusal:
            self.forwarded[refusal] += 1
        elif key in self.hits_of:
            self.hits_of[key] += 1
            self.hits_of.move_to_end(key)
            tally.hits += 1
            self.hits += 1
        else:
            subject.missed(tally)
            self.misses += 1
            self.hits_of[key] = 0
            if len(self.hits_of) > self.room:
                _, hits = self.hits_of.popitem(last=False)
                tally.displaced += 1
                tally.unused += not hits

    def evict(self, key: int) -> None:
        hits = self.hits_of.pop(key, None)
        if hits is not None:
            self.subject.rest.evicted += 1
            self.subject.rest.unused += not hits


def some_hot(reads: int) -> Iterator[int]:
    """Seven reads of ten are of a hundred keys, the others of keys that never come again."""
    chooser = random.Random(1)
    for number in range(reads):
        yield chooser.randrange(100) if chooser.random() < 0.7 else 1_000 + number


def test_what_is_asked_for_first_is_turned_away_where_most_is_never_asked_for_again() -> None:
    cache = Cache(economy(POINT_READ))
    for key in some_hot(20_000):
        cache.read(key)
    assert cache.subject.keeps is Keeps.SEEN_BEFORE
    before, hits, misses = cache.forwarded.copy(), cache.hits, cache.misses
    for key in some_hot(10_000):
        cache.read(key + (key >= 1_000) * 1_000_000)  # others
    assert cache.hits - hits > 6_500
    assert cache.misses - misses < 400
    assert set(cache.forwarded - before) == {"first_sight"}
    assert (cache.forwarded - before)["first_sight"] > 2_600


def test_what_takes_postgres_long_is_kept_at_first_sight() -> None:
    """Equal reads that come at once share one query, which those that are turned away do not."""
    cache = Cache(economy(AGGREGATE))
    for key in some_hot(20_000):
        cache.read(key)
    assert cache.subject.keeps is Keeps.ALL
    assert not cache.forwarded


def test_what_is_evicted_after_it_was_read_again_is_kept_at_first_sight() -> None:
    cache, chooser = Cache(economy(POINT_READ)), random.Random(1)
    for _ in range(20_000):
        key = chooser.randrange(300)
        cache.evict(key) if chooser.random() < 0.1 else cache.read(key)
    assert cache.subject.reuse == pytest.approx(0.9, abs=0.05)
    assert cache.subject.keeps is Keeps.ALL
    assert not cache.forwarded


def test_as_long_as_nothing_has_to_go_all_is_kept() -> None:
    cache = Cache(economy(POINT_READ))
    for key in range(_ROOM):
        cache.read(key)
        for hot in range(10):
            cache.read(hot)
    assert cache.subject.reuse is None
    assert cache.subject.keeps is Keeps.ALL


def test_the_sample_shows_when_the_first_sight_pays_again() -> None:
    cache, chooser = Cache(economy(POINT_READ)), random.Random(1)
    for key in some_hot(20_000):
        cache.read(key)
    assert cache.subject.keeps is Keeps.SEEN_BEFORE
    for begin in range(1_000_000, 1_400_000, 100):  # each of a hundred is read five times in a row, then never again
        for _ in range(500):
            cache.read(begin + chooser.randrange(100))
        if keeps_all(cache):
            break
    else:
        pytest.fail("what is asked for first is still turned away")


def keeps_all(cache: Cache) -> bool:
    return cache.subject.keeps is Keeps.ALL  # a call, since it changes


def test_what_does_not_pay_at_all_is_not_kept_at_second_sight_either() -> None:
    cache = Cache(economy(POINT_READ))
    for key in range(30_000):
        cache.read(key // 2)  # each twice in a row
        cache.read(2_000_000 + key)
        cache.read(3_000_000 + key)
        cache.read(4_000_000 + key)
    assert cache.subject.keeps is Keeps.SAMPLE
    assert cache.forwarded["does_not_pay"] > 50_000


def test_while_the_worker_has_no_pause_more_has_to_be_read_again() -> None:
    subject = economy(POINT_READ)
    relaxed = subject.ratio_needed
    for _ in range(40):
        subject.prices.pressure.note(0.97)
    assert subject.ratio_needed > relaxed + 0.1
    slow = economy(AGGREGATE)
    slow.prices = subject.prices
    assert slow.ratio_needed < 0.05  # Postgres would have no pause either


def test_whose_answers_are_kept_is_shown() -> None:
    economies = Economies()
    for keeps in Keeps:
        found = economies.of((f"select {keeps.name}", NameSpace(("public",))))
        found.keeps = keeps
        found.missed(found.rest)
    found.sample.displaced, found.sample.unused = 64, 16
    found.sample.misses += 63
    found.missed(found.sample)  # it is judged
    lines = {line.split()[-1]: line for line in decision_table(economies.decisions()).splitlines()}
    assert lines["ALL"].lstrip().startswith("yes  ")
    assert lines["SEEN_BEFORE"].lstrip().startswith("2nd sight  ")
    assert " 75.0% " in lines["SAMPLE"]


class ReadyCache(Cache):
    """The same where what is in it is answered without a look at the economy, its reply being ready."""

    def read(self, key: int) -> None:
        if key not in self.hits_of:
            super().read(key)
            return
        self.hits_of[key] += 1
        self.hits_of.move_to_end(key)
        self.subject.rest.hits += 1
        self.hits += 1


def busy_economy(origin: float = POINT_READ) -> Economy:
    subject = economy(origin)
    for _ in range(50):
        subject.prices.pressure.note(0.95)
    return subject


def all_alike(reads: int, keys: int) -> Iterator[int]:
    chooser = random.Random(1)
    for _ in range(reads):
        yield chooser.randrange(keys)


def test_where_there_is_no_room_ever_less_of_what_is_seen_again_is_kept() -> None:
    """Whatever is kept displaces what is asked for as often: the sample, which has room, does not show that."""
    cache = ReadyCache(busy_economy())
    for key in all_alike(60_000, 2 * _ROOM):
        cache.read(key)
    assert cache.subject.keeps is Keeps.SEEN_BEFORE
    assert cache.subject.one_in > 4
    before, hits, misses = cache.forwarded["no_room"], cache.hits, cache.misses
    for key in all_alike(20_000, 2 * _ROOM):
        cache.read(key)
    assert cache.hits - hits > 0.4 * 20_000
    assert cache.misses - misses < 0.1 * 20_000
    assert cache.forwarded["no_room"] - before > 0.3 * 20_000
    assert f"2nd sight, 1 in {cache.subject.one_in}" in decision_table(decided(cache.subject))


def decided(subject: Economy) -> list[Decision]:
    economies = Economies()
    economies._by_identity["select", NameSpace(())] = subject
    return economies.decisions()


def test_what_is_hot_gets_in_all_the_same() -> None:
    cache = ReadyCache(busy_economy())
    for key in all_alike(60_000, 2 * _ROOM):
        cache.read(key)
    hot = 1_000_000 + 7  # that is not of the sample
    for turn, key in enumerate(all_alike(4_000, 2 * _ROOM)):
        cache.read(hot if turn % 10 == 0 else key)
    assert cache.hits_of.get(hot, 0) > 200


def test_a_worker_that_has_pauses_keeps_all_again() -> None:
    cache = ReadyCache(busy_economy())
    for key in all_alike(60_000, 2 * _ROOM):
        cache.read(key)
    assert cache.subject.one_in > 4
    for _ in range(50):
        cache.subject.prices.pressure.note(0.5)
    for key in all_alike(60_000, 2 * _ROOM):
        cache.read(key)
    assert cache.subject.one_in == 1
    assert cache.subject.keeps is Keeps.ALL


def test_how_often_it_is_asked_about_one_read_makes_no_difference() -> None:
    """A read that goes on to the express way, or waits for Redis in vain, is asked about again."""
    subject = busy_economy()
    subject._adapts = False
    subject.keeps, subject.one_in = Keeps.SEEN_BEFORE, 16
    chooser = random.Random(1)
    numbers = [chooser.getrandbits(64) | 1 for _ in range(20_000)]
    for number in numbers:
        subject.prices.sightings.again(number)
    let_in = [number for number in numbers if not subject.turns_away(number) and not subject.turns_away(number)]
    assert 20_000 / 20 < len(let_in) < 20_000 / 14


def test_so_does_one_that_has_room_again() -> None:
    cache = ReadyCache(busy_economy())
    for key in all_alike(60_000, 2 * _ROOM):
        cache.read(key)
    assert cache.subject.one_in > 4
    cache.room = 1_000_000
    for number in range(20_000):
        cache.read(1_000_000 + number // 4)
    assert cache.subject.one_in == 1
    for _ in range(50):
        cache.subject.prices.pressure.note(0.5)
    for number in range(20_000):
        cache.read(2_000_000 + number // 4)
    assert cache.subject.keeps is Keeps.ALL


def test_a_worker_without_a_pause_keeps_at_second_sight_while_nothing_is_known() -> None:
    """A cold cache: what is asked for once costs all who wait, and what is hot comes again."""
    cache = ReadyCache(busy_economy())
    cache.room = 1_000_000
    for key in some_hot(20_000):
        cache.read(key)
    assert cache.subject.reuse is None  # nothing had to go
    assert cache.subject.keeps is Keeps.SEEN_BEFORE
    assert cache.hits > 0.65 * 20_000
    assert cache.misses < 0.1 * 20_000


def test_with_pauses_it_keeps_at_first_sight_again() -> None:
    cache = ReadyCache(busy_economy())
    cache.room = 1_000_000
    for key in some_hot(20_000):
        cache.read(key)
    for _ in range(50):
        cache.subject.prices.pressure.note(0.5)
    for key in some_hot(20_000):
        cache.read(key + (key >= 1_000) * 1_000_000)
    assert cache.subject.keeps is Keeps.ALL


def test_a_worker_without_a_pause_keeps_at_first_sight_what_takes_postgres_long() -> None:
    cache = ReadyCache(busy_economy(AGGREGATE))
    cache.room = 1_000_000
    for key in some_hot(20_000):
        cache.read(key)
    assert cache.subject.keeps is Keeps.ALL
    assert not cache.forwarded
