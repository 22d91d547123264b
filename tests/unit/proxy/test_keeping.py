"""An answer is kept only on the catalog on which its read was planned."""

from services.proxy.cache.entry import Answer
from services.proxy.cached_database import CachedDatabase
from services.proxy.session.planning import Plan
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket
from services.shared.pgwire.frontend import Query
from services.shared.position import START
from services.shared.redis_client import connect
from services.shared.runtime.settings_loading import load_settings
from tests.unit.proxy.test_planning import READ, planned
from tests.unit.sql.small_catalog import small_catalog


def a_database() -> CachedDatabase:
    settings = load_settings({"TIDEGATE_DATABASE_URL": "postgresql://app@127.0.0.1:1/app"}).caches["default"]
    redis = connect("redis://127.0.0.1:1/0", "tidegate:{x}:", 1.0, None)  # never spoken to
    return CachedDatabase(settings, Bucket(redis, "default", 1, 600.0, timeout=1.0), Feed(redis, "default", 1))


def test_what_was_planned_on_the_catalog_before_is_not_kept() -> None:
    database = a_database()
    database.templates.use(small_catalog())
    plan: Plan = planned(database.templates, Query(READ))
    database.templates.use(small_catalog())
    database.keep(plan, Answer(b"", b"", b""), (START,), "", 0.0)
    assert dict(database.statistics.refused) == {"catalog_changed": 1}
