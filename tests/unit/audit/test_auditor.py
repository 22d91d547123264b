"""An answer is proven wrong only where the cache itself claims that nothing changed it, and Postgres says so twice."""

import pytest

from services.proxy.cache.freshness import boot_clock
from services.proxy.cache.outage import Phase
from services.shared.lsn import Lsn
from services.shared.position import Position
from tests.unit.audit.answers import answer
from tests.unit.audit.stage import NEW, OLD, Stage
from tests.unit.sql.small_catalog import small_catalog


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_violation_is_found_and_the_template_is_quarantined(stage: Stage) -> None:
    assert stage.shadow(NEW)  # the entry stays where it is, under observation
    assert not stage.auditor.suspects(stage.plan.key)
    stage.prove()
    assert stage.context == {}  # nobody is answered by it any more
    assert stage.auditor.suspects(stage.plan.key)
    assert stage.auditor.watchful
    stage.shadow(NEW)

    assert stage.counts == {"samples": 1, "violations": 1}
    assert stage.auditor.statistics.violations_per_billion_reads() == 1e9
    assert stage.quarantine.templates == {"select name from users where id = {int}"}
    assert not stage.entry.live
    assert not stage.auditor.watchful


def test_what_agrees_is_counted_and_the_entry_serves_on(stage: Stage) -> None:
    stage.shadow(OLD)
    assert stage.counts == {"samples": 1, "agreements": 1}
    assert stage.entry.live
    assert stage.context
    assert stage.auditor.choose(stage.plan, stage.entry) is None  # one sample at a time
    assert stage.auditor.statistics.violations_per_billion_reads() == 0.0


def test_rows_in_another_order_prove_nothing() -> None:
    stage = Stage(cached=answer(b"1", b"2"))
    stage.shadow(answer(b"2", b"1"))
    assert stage.counts == {"samples": 1, "reordered": 1}


def test_a_change_on_its_way_explains_the_difference(stage: Stage) -> None:
    stage.shadow(NEW)
    stage.auditor.look()
    stage.evict()
    stage.auditor.look()
    assert stage.counts == {"samples": 1, "explained": 1}


def test_a_change_that_came_while_postgres_was_asked_explains_it_too(stage: Stage) -> None:
    shadow = stage.choose()
    stage.evict()
    assert not stage.auditor.answered(shadow, NEW, boot_clock())  # the answer may be kept
    assert stage.counts == {"samples": 1, "explained": 1}


def test_nothing_is_concluded_before_a_later_probe_is_covered(stage: Stage) -> None:
    stage.catalog_watch.completed = 9
    probe = stage.freshness.send()  # before Postgres has answered
    stage.shadow(NEW)
    stage.freshness.answer(probe, Lsn(stage.freshness.watermark + 1))
    stage.freshness.advance(Lsn(stage.freshness.watermark + 8))
    for _ in range(3):
        stage.auditor.look()
    assert stage.context  # it is not even suspected
    stage.evict()
    stage.auditor.look()
    assert stage.counts == {"samples": 1, "explained": 1}


def test_nothing_is_concluded_before_the_catalog_was_read_again(stage: Stage) -> None:
    stage.shadow(NEW)
    stage.cover()
    for _ in range(3):
        stage.auditor.look()
    assert stage.context
    stage.templates.use(small_catalog())
    stage.auditor.look()
    assert stage.counts == {"samples": 1, "catalog_changed": 1}


def test_an_answer_that_is_another_one_each_time_proves_nothing(stage: Stage) -> None:
    for number in range(3):
        stage.shadow(answer(b"%d" % number))
        stage.catalog_watch.completed = 3
        stage.prove()
    stage.shadow(answer(b"4"))
    assert stage.counts == {"samples": 1, "unstable": 1}
    assert stage.entry.live
    assert not stage.auditor.watchful


def test_the_cached_answer_after_all_proves_nothing(stage: Stage) -> None:
    stage.shadow(NEW)
    stage.prove()
    stage.shadow(OLD)
    assert stage.counts == {"samples": 1, "unstable": 1}
    assert stage.quarantine.templates == frozenset()


def test_a_late_eviction_does_not_explain_what_was_claimed_before(stage: Stage) -> None:
    stage.shadow(NEW)
    stage.prove()
    stage.evict()
    stage.auditor.look()
    assert stage.counts == {"samples": 1, "unresolved": 1}


def test_a_suspect_that_nobody_asks_for_again_is_dropped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.shadow(NEW)
    stage.prove()
    later = boot_clock() + 31.0
    monkeypatch.setattr("services.proxy.audit.auditor.boot_clock", lambda: later)
    stage.auditor.look()
    assert stage.counts == {"samples": 1, "unresolved": 1}
    assert not stage.entry.live


def test_where_postgres_has_a_choice_nobody_is_suspected() -> None:
    stage = Stage(b"SELECT name FROM users ORDER BY created LIMIT 1")
    stage.shadow(NEW)
    stage.prove()
    assert stage.counts == {"samples": 1, "undetermined": 1}
    assert stage.context


def test_an_error_proves_nothing(stage: Stage) -> None:
    stage.shadow(None)
    assert stage.counts == {"samples": 1, "no_answer": 1}


def test_what_is_not_proven_fresh_is_no_sample(stage: Stage) -> None:
    stage.freshness.drop()
    assert stage.auditor.choose(stage.plan, stage.entry) is None


def test_while_postgres_may_be_down_nothing_is_sampled(stage: Stage) -> None:
    stage.outage.phase = Phase.SUSPECTED
    assert stage.auditor.choose(stage.plan, stage.entry) is None


def test_an_entry_that_is_ahead_of_this_worker_is_no_sample(stage: Stage) -> None:
    ahead = stage.keep(OLD, Position(Lsn(100), 2))
    assert stage.auditor.choose(stage.plan, ahead) is None


def test_what_ages_is_no_sample(stage: Stage) -> None:
    assert stage.auditor.choose(stage.plan._replace(ttl=30.0), stage.entry) is None


def test_a_slow_statement_is_sampled_less(stage: Stage) -> None:
    stage.auditor.answered(stage.choose(), OLD, boot_clock() - 2.0)
    assert stage.auditor._rests_until - boot_clock() == pytest.approx(200.0, abs=1.0)


def test_a_cache_with_little_to_do_is_sampled_less(stage: Stage) -> None:
    stage.statistics.hits = 7
    stage.choose()
    assert stage.auditor._hits_needed == 107
