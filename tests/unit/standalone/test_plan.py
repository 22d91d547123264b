"""From options and environment to a checked plan, and on to the environment of each service."""

import pytest

from services.shared.runtime.settings import Consistency
from services.shared.runtime.settings_loading import SettingsError, load_settings
from services.standalone.plan import make_plan, service_environment, with_places

_GIVEN = {"TIDEGATE_DATABASE_URL": "postgresql://app:secret@db.example:5433/shop?sslmode=require"}


def test_without_a_database_the_stack_brings_its_own() -> None:
    plan = make_plan({}, {})

    assert plan.embed_postgres
    assert plan.embed_redis


def test_a_given_database_and_redis_are_used() -> None:
    plan = make_plan(_GIVEN | {"TIDEGATE_REDIS_URL": "redis://cache.example/0"}, {})

    assert not plan.embed_postgres
    assert not plan.embed_redis
    assert plan.cache.upstream.host == "db.example"


def test_options_override_the_environment() -> None:
    plan = make_plan({"TIDEGATE_MAX_STALENESS": "5s"}, {"TIDEGATE_MAX_STALENESS": "200ms"})

    assert plan.cache.max_staleness == 0.2


def test_a_wrong_database_url_is_refused_and_not_replaced_by_an_embedded_postgres() -> None:
    with pytest.raises(SettingsError) as caught:
        make_plan({"TIDEGATE_DATABASE_URL": "mysql://root:secret@db/shop"}, {})

    assert "secret" not in str(caught.value)


def test_another_wrong_setting_is_refused_without_a_database_too() -> None:
    with pytest.raises(SettingsError, match="TIDEGATE_CONSISTENCY"):
        make_plan({}, {"TIDEGATE_CONSISTENCY": "perfect"})


def test_several_caches_are_refused_with_advice() -> None:
    two = {
        "TIDEGATE_ORDERS__DATABASE_URL": "postgresql://a@b/c",
        "TIDEGATE_SHOP__DATABASE_URL": "postgresql://a@b/d",
        "TIDEGATE_SHOP__LISTEN": "127.0.0.1:0",
    }

    with pytest.raises(SettingsError, match="runs one cache"):
        make_plan(two, {})


def test_a_service_reads_back_exactly_the_plan() -> None:
    options = {
        "TIDEGATE_CONSISTENCY": "bounded",
        "TIDEGATE_HASHED_COLUMNS": "public.customers.email",
        "TIDEGATE_KEEP": "1",
    }
    plan = make_plan(_GIVEN, options)
    cache = with_places(
        plan.cache,
        database_url=_GIVEN["TIDEGATE_DATABASE_URL"],
        redis_url="redis://:pw@127.0.0.1:7000/0",
        listen="127.0.0.1:7001",
    )

    environment = service_environment({"PATH": "/bin", "TIDEGATE_LISTEN": "ignored"}, plan.process, cache, workers="4")
    settings = load_settings(environment)

    assert settings.caches == {"default": cache}
    assert settings.caches["default"].consistency is Consistency.BOUNDED
    assert settings.process.workers == 4
    assert environment["PATH"] == "/bin"
