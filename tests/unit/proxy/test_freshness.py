"""Consistency contract, section 3: what may be served until when, and what takes that back."""

import time

import pytest

from services.proxy.cache.freshness import Freshness, boot_clock
from services.shared.lsn import NO_LSN, Lsn
from tests.unit.proxy.manual_clock import ManualClock

MAX_STALENESS = 1.0
EPSILON = 0.010 + 0.01 * MAX_STALENESS  # as the contract has it


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def freshness(clock: ManualClock) -> Freshness:
    return Freshness(MAX_STALENESS, clock)


def _probe(freshness: Freshness, lsn: int) -> int:
    probe = freshness.send()
    freshness.answer(probe, Lsn(lsn))
    return probe.number


def test_nothing_is_fresh_at_first(freshness: Freshness) -> None:
    freshness.advance(Lsn(800))
    assert not freshness.is_fresh()
    assert freshness.deadline == 0.0
    assert freshness.age() == float("inf")
    assert freshness.covered == 0


def test_the_deadline_counts_from_before_the_probe_was_sent(freshness: Freshness, clock: ManualClock) -> None:
    sent_at = clock.now
    probe = freshness.send()
    clock.advance(0.3)  # the answer takes its time, and the watermark too
    freshness.answer(probe, Lsn(800))
    clock.advance(0.2)
    freshness.advance(Lsn(801))
    assert freshness.deadline == pytest.approx(sent_at + MAX_STALENESS - EPSILON)
    assert freshness.age() == pytest.approx(0.5)
    clock.now = freshness.deadline - 0.001
    assert freshness.is_fresh()
    clock.now = freshness.deadline
    assert not freshness.is_fresh()


@pytest.mark.parametrize(("watermark", "covered"), [(799, False), (800, False), (801, True), (808, True)])
def test_covered_means_strictly_below_the_watermark(freshness: Freshness, watermark: int, covered: bool) -> None:
    number = _probe(freshness, 800)
    freshness.advance(Lsn(watermark))
    assert freshness.is_fresh() is covered
    assert freshness.covered == (number if covered else 0)


def test_a_watermark_that_came_first_covers_too(freshness: Freshness) -> None:
    freshness.advance(Lsn(801))
    number = _probe(freshness, 800)
    assert freshness.covered == number


def test_the_newest_covered_probe_counts(freshness: Freshness, clock: ManualClock) -> None:
    for lsn in (800, 808, 816, 824):
        _probe(freshness, lsn)
        clock.advance(0.1)
    freshness.advance(Lsn(817))
    assert freshness.covered == 3
    assert freshness.age() == pytest.approx(0.2)
    freshness.advance(Lsn(825))
    assert freshness.covered == 4


def test_probes_of_an_idle_database_keep_it_fresh_under_one_watermark(freshness: Freshness, clock: ManualClock) -> None:
    freshness.advance(Lsn(801))
    for _ in range(50):
        _probe(freshness, 800)
        assert freshness.is_fresh()
        clock.advance(0.1)


def test_a_drop_is_for_good(freshness: Freshness) -> None:
    under_way = freshness.send()
    _probe(freshness, 800)
    freshness.advance(Lsn(801))
    freshness.drop()
    assert not freshness.is_fresh()
    freshness.answer(under_way, Lsn(800))  # sent before the drop: proves nothing
    freshness.advance(Lsn(900))
    assert not freshness.is_fresh()
    _probe(freshness, 800)
    assert freshness.is_fresh()


def test_an_uncovered_answer_does_not_survive_a_drop(freshness: Freshness) -> None:
    _probe(freshness, 800)
    freshness.drop()
    freshness.advance(Lsn(801))
    assert not freshness.is_fresh()
    assert freshness.covered == 0


def test_an_lsn_that_goes_back_drops_everything(freshness: Freshness) -> None:
    freshness.advance(Lsn(805))
    _probe(freshness, 800)
    assert freshness.is_fresh()
    _probe(freshness, 792)
    assert not freshness.is_fresh()
    _probe(freshness, 792)  # the new history, seen from its beginning, is as good as any
    assert freshness.is_fresh()


def test_a_restart_takes_a_lower_watermark(freshness: Freshness) -> None:
    _probe(freshness, 800)
    freshness.advance(Lsn(801))
    freshness.restart(Lsn(400))
    assert not freshness.is_fresh()
    assert freshness.watermark == 400
    _probe(freshness, 500)
    assert not freshness.is_fresh()
    freshness.advance(Lsn(501))
    assert freshness.is_fresh()


def test_a_restart_without_a_watermark_covers_nothing(freshness: Freshness) -> None:
    freshness.advance(Lsn(801))
    freshness.restart(NO_LSN)
    _probe(freshness, 0)
    assert not freshness.is_fresh()


def test_the_token_of_a_write_is_a_probe_that_is_not_sent_yet(freshness: Freshness) -> None:
    freshness.advance(Lsn(801))
    under_way = freshness.send()
    token = freshness.next_number
    freshness.answer(under_way, Lsn(800))
    assert freshness.covered < token
    assert _probe(freshness, 800) == token
    assert freshness.covered == token


def test_a_watermark_that_stands_still_does_not_pile_up_answers(freshness: Freshness, clock: ManualClock) -> None:
    for _ in range(10_000):
        _probe(freshness, 800)
        clock.advance(0.1)
    assert len(freshness._answers) <= 11


def test_a_bound_below_the_margin_serves_nothing(clock: ManualClock) -> None:
    freshness = Freshness(0.010, clock)
    freshness.advance(Lsn(801))
    _probe(freshness, 800)
    assert not freshness.is_fresh()


def test_the_clock_counts_from_boot_and_has_a_fine_grain() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= boot_clock() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_what_was_proven_outlives_a_lost_connection_but_no_doubt(freshness: Freshness, clock: ManualClock) -> None:
    proven_at = clock.now
    freshness.advance(Lsn(801))
    _probe(freshness, 800)
    clock.advance(0.5)
    freshness.lose()
    assert not freshness.is_fresh()
    assert freshness.deadline == 0.0
    assert freshness.proven_at == proven_at
    freshness.drop()
    assert freshness.proven_at == 0.0
