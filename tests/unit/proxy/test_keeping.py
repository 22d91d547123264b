"""An answer is kept only on the catalog on which its read was planned, and shared once that is confirmed."""

import pytest

from services.proxy.admission.economy import Tally
from services.proxy.cache.entry import Answer, Entry
from services.proxy.cache.freshness import boot_clock
from services.proxy.cached_database import CachedDatabase
from services.proxy.session.planning import Plan
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket, Fill
from services.shared.lsn import Lsn
from services.shared.pgwire.frontend import Query
from services.shared.position import START, Position
from services.shared.redis_client import connect
from services.shared.runtime.settings_loading import load_settings
from tests.unit.proxy.test_planning import READ, planned
from tests.unit.sql.small_catalog import small_catalog


def a_database() -> CachedDatabase:
    environment = {
        "TIDEGATE_DATABASE_URL": "postgresql://app@127.0.0.1:1/app",
        "TIDEGATE_L1_BYTES": "64KiB",
        "TIDEGATE_CAPTURE_BYTES": "16KiB",
    }
    settings = load_settings(environment).caches["default"]
    redis = connect("redis://127.0.0.1:1/0", "tidegate:{x}:", 1.0, None)  # never spoken to
    return CachedDatabase(settings, Bucket(redis, "default", 1, 600.0, timeout=1.0), Feed(redis, "default", 1))


def test_what_was_planned_on_the_catalog_before_is_not_kept() -> None:
    database = a_database()
    database.templates.use(small_catalog())
    plan: Plan = planned(database.templates, Query(READ))
    database.templates.use(small_catalog())
    database.keep(plan, Answer(b"", b"", b""), (START,), "", 0.0)
    assert dict(database.statistics.refused) == {"catalog_changed": 1}


def kept_and_waiting(shared: list[Fill], monkeypatch: pytest.MonkeyPatch) -> tuple[CachedDatabase, Entry]:
    """Keep an answer, whose catalog is not confirmed yet."""
    database = a_database()
    monkeypatch.setattr(database.store, "put", shared.append)
    database.templates.use(small_catalog())
    database.follower.epoch = "epoch"
    monkeypatch.setattr(database.follower, "has_room_for", lambda _: False)  # nothing is registered here
    plan = planned(database.templates, Query(READ))
    database.keep(plan, Answer(b"", b"rows", b""), (START,), "epoch", boot_clock())
    entry = database.l1.get(plan.key)
    assert entry is not None
    database.catalog_reading_begins()
    return database, entry


def test_an_answer_that_had_to_make_room_meanwhile_is_shared_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[Fill] = []
    database, entry = kept_and_waiting(shared, monkeypatch)
    for number in range(200):
        other = Entry(b"%d" % number, Answer(b"", bytes(1_000), b""), (START,), (), (), (), boot_clock() + 60)
        assert database.l1.insert(other) == ""
    assert not entry.live
    database.catalog_unchanged()
    assert [fill.key for fill in shared] == [entry.key]


def test_one_that_a_change_has_evicted_meanwhile_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[Fill] = []
    database, entry = kept_and_waiting(shared, monkeypatch)
    database.l1.evict(0, Position(Lsn(1), 1), (), entry.relations, (START,))
    assert not entry.live
    database.catalog_unchanged()
    assert shared == []


@pytest.mark.parametrize(
    ("lookups", "hits", "reused", "at_once"),
    [(49, 0, True, True), (50, 0, True, False), (400, 20, True, True), (400, 19, True, False), (0, 0, False, False)],
)
def test_it_has_to_last_and_to_be_read_again_where_nobody_else_is_likely_to_ask_for_it(
    monkeypatch: pytest.MonkeyPatch, lookups: int, hits: int, *, reused: bool, at_once: bool
) -> None:
    shared: list[Fill] = []
    database, entry = kept_and_waiting(shared, monkeypatch)
    template = planned(database.templates, Query(READ)).template
    assert template is not None
    template.economy.l2.lookups, template.economy.l2.hits = lookups, hits
    template.economy.l2.wait.note(0.049 * template.economy.origin.seconds)  # so that one in twenty has to hit
    entry.tally = Tally()
    entry.tally.reused = reused
    database.catalog_unchanged()
    assert len(shared) == at_once
    for _ in range(6):
        database.catalog_unchanged()
        assert len(shared) == at_once
    entry.hits += 1
    for _ in range(6):
        database.catalog_unchanged()
    assert [fill.key for fill in shared] == [entry.key]


def test_one_that_was_read_again_has_to_last_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[Fill] = []
    database, entry = kept_and_waiting(shared, monkeypatch)
    template = planned(database.templates, Query(READ)).template
    assert template is not None
    template.economy.l2.lookups = 1_000
    entry.hits += 1
    for _ in range(5):
        database.catalog_unchanged()
        assert shared == []
    database.catalog_unchanged()
    assert [fill.key for fill in shared] == [entry.key]
