"""Verdicts on what others write, with Postgres as the judge: mappers, applications; `make conformance` has the rest.

The oracle is tried as well: whatever is taken from a verdict, and whatever is cached that must not be, it has to find.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.catalog import Catalog
from services.proxy.sql.verdict import Analysis
from tests.integration.sql_database import make_schema, read_catalog
from tests.servers.postgres import PostgresServer
from tests.verdicts import findings
from tests.verdicts.dependencies import Connection
from tests.verdicts.findings import examine
from tests.verdicts.suite import examine_applications, examine_generated, examine_orm

Tried = tuple[Catalog, Connection]

_SHARE = 0.96
_SHARE_OF_APPLICATIONS = 0.9
_SAMPLE = 120


def test_of_what_mappers_send_most_is_cached_and_nothing_is_missing(postgres: PostgresServer, database: str) -> None:
    found = examine_orm(postgres, database)
    assert found.faults == []
    assert found.total > 300
    assert found.cached / found.reading >= _SHARE
    assert found.viewed == found.cached == found.compared


def test_of_what_applications_ask_most_is_cached_and_nothing_is_missing(
    newest_postgres: PostgresServer, newest_database: str
) -> None:
    found = examine_applications(newest_postgres, newest_database)
    assert found.faults == []
    assert found.cached / found.reading >= _SHARE_OF_APPLICATIONS
    assert found.viewed == found.cached


def test_of_what_is_generated_nothing_is_missing(newest_postgres: PostgresServer, newest_database: str) -> None:
    found = examine_generated(newest_postgres, newest_database, _SAMPLE)
    assert found.faults == []
    assert found.cached > _SAMPLE


@pytest.fixture(scope="module")
def tried(newest_postgres: PostgresServer) -> Iterator[Tried]:
    """A catalog and a connection to the database that it is of."""
    with newest_postgres.database("verdicts_tried") as database:
        make_schema(newest_postgres, database)
        with newest_postgres.connect(database) as connection:
            yield read_catalog(newest_postgres, database), connection


def _first_only(analysis: Analysis) -> Analysis:
    return replace(analysis, relations=analysis.relations[:1], tag_rules=analysis.tag_rules[:1])


def _by_clock(analysis: Analysis) -> Analysis:
    return replace(analysis, ageing=frozenset((Ageing.CLOCK,)))


def _by_refresh(analysis: Analysis) -> Analysis:
    return replace(analysis, ageing=frozenset((Ageing.REFRESH,)))


def _one_column_less(analysis: Analysis) -> Analysis:
    rule = analysis.tag_rules[0]
    watched = None if rule.shape.watched is None else rule.shape.watched[1:]
    return replace(analysis, tag_rules=(replace(rule, shape=replace(rule.shape, watched=watched)),))


@pytest.mark.parametrize(
    ("text", "take", "faults"),
    [
        (
            "SELECT u.name FROM users u JOIN orders o ON o.user_id = u.id",
            _first_only,
            ["scans public.orders,", "refers to public.orders,"],
        ),
        # The plan says nothing of a relation that the planner has done without.
        ("SELECT name FROM users u WHERE false AND id IN (SELECT id FROM orders)", _first_only, ["refers to"]),
        ("SELECT s.id FROM spenders s", _first_only, ["scans", "refers to"]),
        ("SELECT v FROM full_identity", _one_column_less, ["refers to ['v'] of public.full_identity,"]),
    ],
)
def test_what_is_missing_in_a_verdict_is_found(
    text: str,
    take: Callable[[Analysis], Analysis],
    faults: list[str],
    tried: Tried,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert examine("", [text], *tried).faults == []
    judge = findings.judge
    monkeypatch.setattr(findings, "judge", lambda text, catalog: take(judge(text, catalog)))
    found = examine("", [text], *tried)
    assert found.cached == 1
    assert len(found.faults) == len(faults)
    assert all(fault.startswith(start) for fault, start in zip(found.faults, faults, strict=True))


@pytest.mark.parametrize(
    ("text", "take", "fault"),
    [
        ("SELECT u.name, now() FROM users u JOIN orders o ON o.user_id = u.id", _first_only, "scans public.orders,"),
        ("SELECT now() FROM spenders", _first_only, "scans public.orders,"),
        ("SELECT n, now() FROM user_count", _by_clock, "reads a materialized view, and nothing is said of one"),
        ("SELECT n, now() FROM user_count", _by_refresh, "calls now, of which nobody has said on what it depends"),
        ("SELECT n, current_date FROM user_count", _by_refresh, "calls SQLVALUEFUNCTION, which is volatile"),
    ],
)
def test_what_is_missing_in_a_verdict_on_what_ages_is_found(
    text: str, take: Callable[[Analysis], Analysis], fault: str, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = examine("", [text], *tried)
    assert (clean.ageing, clean.cached, clean.faults) == (1, 0, [])
    judge = findings.judge
    monkeypatch.setattr(findings, "judge", lambda text, catalog: take(judge(text, catalog)))
    found = examine("", [text], *tried)
    assert any(each.startswith(fault) for each in found.faults), found.faults


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "SELECT gen_random_uuid() FROM users",
            ["calls gen_random_uuid, which is volatile", "the same text gave other rows"],
        ),
        ("SELECT id, clock_timestamp() > created FROM users", ["calls clock_timestamp, which is volatile"]),
        ("SELECT id, CURRENT_USER FROM users", ["calls SQLVALUEFUNCTION, which is volatile"]),
        ("SELECT id, twice(id) FROM users", ["uses function twice(integer)"]),
        ("SELECT id FROM users WHERE id <~> 3", ["uses operator <~>(integer,integer)"]),
        ("SELECT id, now() > created FROM users", ["calls now, of which nobody has said on what it depends"]),
        ("SELECT name::date FROM users WHERE false", ["calls date_in, of which nobody has said on what it depends"]),
        ("SELECT 'users'::regclass, id FROM users", ["calls regclassout, of which nobody has said on what it depends"]),
    ],
)
def test_what_must_not_be_cached_is_found(
    text: str,
    faults: list[str],
    tried: Tried,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = findings.judge
    assert not judge(text, tried[0]).cacheable
    harmless = judge("SELECT * FROM users", tried[0])
    monkeypatch.setattr(findings, "judge", lambda text, catalog: harmless)
    assert [fault.partition(":\n")[0] for fault in examine("", [text], *tried).faults] == faults
