"""Caching a template goes on while it pays, by what is measured; what it is judged by is a sample of its keys."""

import itertools
import random

import pytest

from services.proxy.admission.cost import Wait, Work
from services.proxy.admission.economies import Economies
from services.proxy.admission.economy import Economy, Keeps, Prices, read_number
from services.proxy.admission.l2_yield import L2Yield
from services.proxy.admission.table import decision_table
from services.proxy.sql.verdict import NameSpace

POINT_READ, AGGREGATE = 100e-6, 20e-3  # seconds that Postgres takes


def economy(origin: float, *, adapts: bool = True) -> Economy:
    return measured(Economy(Prices(), adapts=adapts), origin)


def measured(made: Economy, origin: float) -> Economy:
    made.origin.note(origin)
    made.miss.note(110e-6)
    made.looked_up.note(20e-6)
    return made


class Keys:
    """A cache without bounds in front of an economy."""

    def __init__(self, subject: Economy) -> None:
        self.subject = subject
        self.cached: set[int] = set()
        self.forwarded = 0

    def read(self, key: int) -> None:
        subject, number = self.subject, read_number(b"SELECT", b"%d" % key)
        if subject.turns_away(number):
            self.forwarded += 1
        elif key in self.cached:
            subject.tally(number).hits += 1
        else:
            subject.missed(subject.tally(number))
            self.cached.add(key)


def lets_all_in(keys: Keys) -> bool:
    return keys.subject.admitted  # a call, since it changes


def test_of_what_is_never_read_again_a_sixteenth_is_kept() -> None:
    keys = Keys(economy(POINT_READ))
    for key in range(50_000):
        keys.read(key)
    assert not keys.subject.admitted
    assert len(keys.cached) < 2_000 + 50_000 / 14
    assert keys.subject.ratio == 0.0


def test_a_smaller_sample_has_to_do_where_a_trial_was_in_vain() -> None:
    economies = Economies()
    keys = Keys(measured(economies.of(("SELECT", NameSpace(()))), POINT_READ))
    kept: list[int] = []
    for key in range(200_000):
        before = len(keys.cached)
        keys.read(key)
        if len(keys.cached) > before:
            kept.append(key)
    assert sum(key >= 100_000 for key in kept) < 100_000 / 50  # with a trial of all
    assert "1 in 64" in decision_table(economies.decisions())


@pytest.mark.parametrize(("hot", "within"), [(2_000, 20_000), (40_000, 120_000)])
def test_what_becomes_hot_is_let_in_by_the_smaller_sample_and_stays(hot: int, within: int) -> None:
    keys, chooser = Keys(economy(POINT_READ)), random.Random(1)
    for key in range(200_000):
        keys.read(1_000_000 + key)
    assert keys.subject.sampled == 64
    read_hot(keys, within, hot, chooser)
    assert lets_all_in(keys)
    before = keys.forwarded
    read_hot(keys, 4 * hot, hot, chooser)
    assert keys.forwarded == before


def read_hot(keys: Keys, reads: int, hot: int, chooser: random.Random) -> None:
    for _ in range(reads):
        keys.read(chooser.randrange(hot))


def test_what_the_larger_sample_had_is_nothing_to_the_smaller_one() -> None:
    """It is hit as long as it is there, and would make the ratio seem four times as good."""
    keys = Keys(economy(POINT_READ))
    old = keys.subject.sample
    for key in range(20_000):
        keys.read(key)
    assert keys.subject.sampled == 64
    assert keys.subject.sample is not old
    assert keys.subject.sample.hits + keys.subject.rest.hits == 0
    assert keys.subject.sample.misses + keys.subject.rest.misses == len(keys.cached)
    old.hits += 10_000
    for key in range(20_000, 30_000):
        keys.read(key)
    assert keys.subject.ratio == 0.0


def test_judgments_by_the_samples_misses_bring_no_trial_early() -> None:
    """Half of the reads are of one key of the sample that is written all the time."""
    keys = Keys(economy(POINT_READ))
    for key in range(100_000):
        keys.read(1_000_000 + key)
    subject, let_in = keys.subject, 0
    for key in range(50_000):
        before = subject.admitted
        keys.read(key)
        if not subject.turns_away(0):
            subject.missed(subject.sample)
        let_in += subject.admitted and not before
    assert subject.sampled == 64
    assert let_in <= 2


def test_what_is_read_again_and_again_is_cached() -> None:
    keys, chooser = Keys(economy(POINT_READ)), random.Random(1)
    for _ in range(20_000):
        keys.read(chooser.randrange(1_000))
    assert keys.subject.admitted
    assert keys.forwarded == 0


@pytest.mark.parametrize(("origin", "admitted"), [(POINT_READ, False), (AGGREGATE, True)])
def test_how_often_it_has_to_be_read_again_depends_on_what_postgres_takes(origin: float, admitted: bool) -> None:
    keys, chooser = Keys(economy(origin)), random.Random(1)
    for key in range(30_000):
        keys.read(key if chooser.random() < 0.9 else chooser.randrange(100))  # one in ten is read again
    assert keys.forwarded == 0 if admitted else keys.forwarded > 20_000  # but for the sample, and for trials of all


def test_what_takes_postgres_long_is_let_in_though_nobody_reads_it_again() -> None:
    """Equal reads that come at once share one query, which those that are turned away do not."""
    keys = Keys(economy(AGGREGATE))
    for key in range(5_000):
        keys.read(key)
    assert keys.subject.ratio == 0.0
    assert keys.forwarded == 0


def test_a_template_is_let_in_again_when_its_keys_are_read_again() -> None:
    keys, chooser = Keys(economy(POINT_READ)), random.Random(1)
    for key in range(20_000):
        keys.read(1_000_000 + key)
    assert not lets_all_in(keys)
    for _ in range(20_000):
        keys.read(chooser.randrange(2_000))
    assert lets_all_in(keys)
    before = keys.forwarded
    for _ in range(20_000):  # those that were turned away miss once, and it is not judged by them
        keys.read(chooser.randrange(2_000))
    assert keys.subject.admitted
    assert keys.forwarded == before


def test_where_the_sample_holds_no_key_all_are_tried_again_now_and_then() -> None:
    subject = economy(POINT_READ)
    subject.keeps = Keeps.SAMPLE
    for _ in range(512):
        subject.turns_away(1)
    assert lets_all_in(Keys(subject))
    for _ in range(64):
        subject.missed(subject.rest)
    assert not lets_all_in(Keys(subject))


def test_what_is_let_in_so_stays_where_it_pays() -> None:
    subject = economy(POINT_READ)
    subject.keeps = Keeps.SAMPLE
    for _ in range(512):
        subject.turns_away(1)
    subject.rest.hits += 300
    for _ in range(1_024):
        subject.missed(subject.rest)
        subject.rest.hits += 5
    assert subject.admitted


def read_skewed(keys: Keys, reads: int, chooser: random.Random) -> None:
    """Half of the reads are of one key, which the sample lacks; those of the others never come again."""
    hot = next(key for key in range(100) if read_number(b"SELECT", b"%d" % key) & 15)
    for _ in range(reads):
        keys.read(hot if chooser.random() < 0.5 else chooser.randrange(1_000, 1 << 40))


def test_what_is_hot_counts_though_the_sample_lacks_it() -> None:
    keys, chooser = Keys(economy(5 * POINT_READ)), random.Random(1)
    read_skewed(keys, 20_000, chooser)
    assert keys.subject.ratio == pytest.approx(0.5, abs=0.05)
    assert keys.forwarded == 0


def test_what_is_hot_is_found_though_the_sample_lacks_it() -> None:
    keys, chooser = Keys(economy(5 * POINT_READ)), random.Random(1)
    for key in range(3_000):
        keys.read(1 << 41 | key)
    assert not lets_all_in(keys)
    read_skewed(keys, 30_000, chooser)
    assert lets_all_in(keys)
    before = keys.forwarded
    read_skewed(keys, 30_000, chooser)
    assert keys.forwarded == before


def test_all_are_let_in_ever_more_seldom_where_that_is_in_vain() -> None:
    keys = Keys(economy(POINT_READ))
    let_in: list[int] = []
    for number in range(400_000):
        before = keys.subject.admitted
        keys.read(number)
        if keys.subject.admitted and not before:
            let_in.append(number)
    distances = [later - earlier for earlier, later in itertools.pairwise(let_in)]
    assert len(let_in) < 8
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(distances[:4]))


def test_a_hit_takes_what_its_hits_take_on_the_average() -> None:
    """Most find a reply ready, which takes a tenth of what it takes to look one up."""
    subject = economy(POINT_READ)
    subject.looked_up.seconds = 200e-6
    assert subject.ratio_needed > 1

    def read(looked_up: int) -> None:
        for _ in range(1_024):
            subject.rest.hits += 10
            subject.rest.looked_up += looked_up
            subject.missed(subject.rest)

    for _ in range(10):
        read(looked_up=1)
    assert subject.hit == pytest.approx(8e-6 + 0.1 * 192e-6, rel=0.05)
    assert subject.ratio_needed < 0.5
    for _ in range(10):
        read(looked_up=10)
    assert subject.hit == pytest.approx(200e-6, rel=0.05)
    assert subject.ratio_needed > 1


def test_a_clock_too_coarse_for_what_is_forwarded_does_no_harm() -> None:
    subject = economy(POINT_READ)
    subject.prices.forwarding.note(0.0)
    for _ in range(1_024):
        subject.missed(subject.rest)
    assert subject.one_in == 1


def test_a_hit_that_takes_longer_than_postgres_never_pays() -> None:
    subject = economy(POINT_READ)
    for _ in range(100):
        subject.looked_up.note(1.0)
    subject.looked_up.seconds = 1.0
    assert subject.ratio_needed > 1
    subject.sample.hits = 10_000
    for _ in range(64):
        subject.missed(subject.sample)
    assert not subject.admitted


def test_without_adapting_all_are_cached() -> None:
    keys = Keys(economy(POINT_READ, adapts=False))
    for key in range(10_000):
        keys.read(key)
    assert keys.forwarded == 0


def test_a_wait_is_followed_by_its_lower_end() -> None:
    wait = Wait(1.0)
    for number in range(400):
        wait.note(10.0 if number % 8 else 0.1)  # drawn out most of the time
    assert 0.1 <= wait.seconds < 1.0
    for _ in range(4_000):
        wait.note(1.0)
    assert wait.seconds > 0.9


def test_work_is_followed_by_its_average() -> None:
    work = Work(1.0)
    for number in range(400):
        work.note(0.1 if number % 4 else 0.5)
    assert work.seconds == pytest.approx(0.2, rel=0.2)


def test_a_miss_never_takes_less_than_to_forward() -> None:
    subject = economy(POINT_READ)
    subject.prices.forwarding.note(1.0)
    assert 0 < subject.ratio_needed < 0.1


def test_the_work_for_one_turn_in_eight_is_measured() -> None:
    economies = Economies()
    assert [economies.measures() for _ in range(16)] == [False] * 7 + [True] + [False] * 7 + [True]


def test_redis_is_asked_at_first_and_then_while_it_pays() -> None:
    useless = L2Yield()
    asked = [useless.pays() for _ in range(1_000)]
    assert all(asked[:50])
    assert 0.05 < sum(asked[50:]) / len(asked[50:]) < 0.1
    useful = L2Yield()
    useful.hits = 1_000
    assert all(useful.pays() for _ in range(1_000))
    assert not useful.skips()


@pytest.mark.parametrize(("origin", "hits", "yields"), [(2e-3, 60, True), (2e-3, 40, False), (0.2e-3, 400, False)])
def test_redis_is_asked_while_its_hits_save_more_than_the_look_ups_take(
    *, origin: float, hits: int, yields: bool
) -> None:
    subject = economy(origin)
    subject.l2.wait.note(250e-6)
    assert subject.l2.yields
    subject.l2.lookups, subject.l2.hits = 400, hits
    assert subject.l2.yields is yields
    subject.l2.lookups = 49
    assert subject.l2.yields


def test_what_redis_had_long_ago_counts_ever_less() -> None:
    subject = L2Yield()
    subject.lookups = subject.hits = 1_000
    for _ in range(10_000):
        subject.pays()
    assert subject.hits * 20 < subject.lookups <= 1_024


def test_what_goes_by_counts_like_what_is_decided() -> None:
    goes_by, decided = L2Yield(), L2Yield()
    taken = [goes_by.skips() or not goes_by.pays() for _ in range(500)]
    assert taken == [not decided.pays() for _ in range(500)]


def test_decisions_are_shown_the_most_used_first() -> None:
    economies = Economies()
    for text, reads in (("select 1", 1), ("select 2", 3), ("select 3", 0)):
        found = economies.of((text, NameSpace(("public",))))
        for _ in range(reads):
            found.missed(found.rest)
    shown = economies.decisions()
    assert [(one.template, one.misses) for one in shown] == [("select 2", 3), ("select 1", 1)]
    assert economies.of(("select 2", NameSpace(("public",)))).rest.misses == 3
