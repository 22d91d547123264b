"""Postgres is the judge: what it says a statement reads is what the verdict says; the same text gives the same rows.

Two oracles: the plan (`EXPLAIN`), whose relations must be among ours; and, stronger, the dependencies that Postgres
records for a view of the statement, which are exactly ours, and hold no function, operator or type of the database.
"""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.catalog import Catalog
from services.proxy.sql.snapshot import Relation
from tests.integration.sql_corpus import by_hand, combined
from tests.integration.sql_database import judge, make_schema, names, read_catalog
from tests.servers.postgres import PostgresServer
from tests.verdicts.dependencies import scanned_relations

Connection = psycopg.Connection[tuple[Any, ...]]
_COMBINED = 260
_VIEW_DEPENDENCIES = """
    SELECT d.refclassid::regclass::text, d.refobjid::int8, t.typtype::text FROM pg_depend d
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
    WHERE r.ev_class = 'the_view'::regclass AND NOT (d.refclassid = 'pg_class'::regclass AND d.refobjid = r.ev_class)
"""


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database(f"oracle_{postgres.version}") as name:
        make_schema(postgres, name)
        yield name


@pytest.fixture(scope="module")
def catalog(postgres: PostgresServer, database: str) -> Catalog:
    return read_catalog(postgres, database)


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer, database: str) -> Iterator[Connection]:
    with postgres.connect(database) as opened:
        yield opened


def accepted(catalog: Catalog, connection: Connection) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the statements that are both right and cached, with the relations that they depend on."""
    for text in [*by_hand(), *combined(seed=7, count=_COMBINED)]:
        analysis = judge(text, catalog)
        if analysis.cacheable and _is_right(connection, text):
            yield text, analysis.relations


def _is_right(connection: Connection, text: str) -> bool:
    try:
        connection.execute(f"EXPLAIN {text}")
    except psycopg.Error:
        return False
    return True


def test_the_corpus_is_large_and_mostly_cached(catalog: Catalog, connection: Connection) -> None:
    refused = {text: judge(text, catalog).reason for text in by_hand() if not judge(text, catalog).cacheable}
    assert refused == {}
    wrong = [text for text in by_hand() if not _is_right(connection, text)]
    assert wrong == []
    assert len(list(accepted(catalog, connection))) >= 300 * 0.75
    assert len(by_hand()) + _COMBINED >= 300


def test_the_plan_reads_nothing_else(catalog: Catalog, connection: Connection) -> None:
    for text, relations in accepted(catalog, connection):
        (row,) = connection.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}").fetchall()
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        assert set(scanned_relations(plan)) <= names(catalog, relations), text


def test_a_view_depends_on_the_same_relations_and_on_nothing_of_the_users(
    catalog: Catalog, connection: Connection
) -> None:
    for text, relations in accepted(catalog, connection):
        connection.execute(f"CREATE VIEW the_view AS SELECT 1 AS one FROM ({text}) AS the_statement")
        found = connection.execute(_VIEW_DEPENDENCIES).fetchall()
        connection.execute("DROP VIEW the_view")
        assert {oid for kind, oid, _ in found if kind == "pg_class"} == set(relations), text
        others = [(kind, oid) for kind, oid, type_kind in found if kind != "pg_class" and type_kind != "e"]
        assert others == [], text


def test_the_same_text_gives_the_same_rows(catalog: Catalog, postgres: PostgresServer, database: str) -> None:
    with postgres.connect(database) as first, postgres.connect(database) as second:
        for text, _ in accepted(catalog, first):
            assert _rows(first, text) == _rows(second, text), text


def _rows(connection: Connection, text: str) -> list[str]:
    return sorted(map(repr, connection.execute(text.encode()).fetchall()))


def test_every_relation_kind_is_told_apart(catalog: Catalog) -> None:
    reasons = {
        "unpublished": "not_published", "secured": "", "parent": "child_not_followed",
        "ONLY parent": "", "child": "no_replica_identity", "parted": "", "family": "", "counter": "sequence",
        "parted_low": "", "unlogged": "temporary_or_unlogged", "active_users": "",
        "spenders": "", "recent": "current_time", "view_of_secured": "", "one": "no_relation",
        '"Odd Schema"."A View"': "", "of_catalog": "system_catalog", "of_me": "session_function",
        "user_count": "materialized_view", "with_rule": "rules", "no_identity": "no_replica_identity",
        "nothing_identity": "no_replica_identity", "with_domain": "user_type", "with_timetz": "unsupported_type",
        "with_reg": "unsupported_type", "users_pkey": "not_a_table", "pg_class": "system_catalog",
        "information_schema.tables": "system_catalog", "nowhere": "unknown_relation",
    }  # fmt: skip
    found = {relation: judge(f"SELECT * FROM {relation}", catalog).reason for relation in reasons}
    assert found == reasons


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT * FROM active_users WHERE id = 1", {"public.users"}),
        ("SELECT * FROM spenders s JOIN items i ON i.line = s.id", {"public.users", "public.orders", "public.items"}),
        ("SELECT count(*) FROM spenders, active_users", {"public.users", "public.orders"}),
        ('SELECT * FROM "Odd Schema"."A View"', {'Odd Schema.Mixed "Case"', "shop.users"}),
        ("SELECT name FROM one, users", {"public.users"}),
    ],
)
def test_a_view_is_what_it_reads(text: str, tables: set[str], catalog: Catalog, connection: Connection) -> None:
    analysis = judge(text, catalog)
    assert names(catalog, analysis.relations) == tables
    assert not analysis.effect.writes
    (row,) = connection.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}").fetchall()
    assert set(scanned_relations(row[0])) == tables


@pytest.mark.parametrize(
    ("text", "tables", "views"),
    [
        ("SELECT id, now() FROM users WHERE id = 1", {"public.users"}, set()),
        ("SELECT id FROM users WHERE created > now() - interval '1 day'", {"public.users"}, set()),
        ("SELECT count(*) FILTER (WHERE created::date = current_date) FROM users", {"public.users"}, set()),
        ("SELECT localtime, localtimestamp(3), current_time, current_timestamp(0) FROM users", {"public.users"}, set()),
        ("SELECT age(u.created), timeofday() FROM users u JOIN orders o ON o.user_id = u.id",
         {"public.users", "public.orders"}, set()),
        ("SELECT name::date FROM users WHERE name LIKE '2%'", {"public.users"}, set()),
        ("SELECT * FROM recent WHERE id = 1", {"public.orders"}, set()),
        ("SELECT n FROM user_count", set(), {"public.user_count"}),
        ("SELECT u.name FROM user_count c JOIN users u ON u.id = c.n WHERE c.n = 1",
         {"public.users"}, {"public.user_count"}),
        ("SELECT statement_timestamp() FROM user_count, orders WHERE id > n",
         {"public.orders"}, {"public.user_count"}),
    ],
)  # fmt: skip
def test_what_ages_reads_what_it_says(
    text: str, tables: set[str], views: set[str], catalog: Catalog, connection: Connection
) -> None:
    analysis = judge(text, catalog)
    assert analysis.ageing, analysis.reason
    assert names(catalog, analysis.relations) == tables
    assert (Ageing.REFRESH in analysis.ageing) == bool(views)
    (row,) = connection.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}").fetchall()
    assert set(scanned_relations(row[0])) == tables | views


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT twice(id) FROM users", "user_function"),
        ("SELECT lower(name) FROM users", "user_function"),
        ("SELECT u.row_fact FROM users u", "unknown_column"),
        ("SELECT x.row_fact FROM (SELECT * FROM users) x", "unknown_column"),
        ("SELECT id <~> 3 FROM users", "user_operator"),
    ],
)
def test_code_of_the_database_is_refused(text: str, reason: str, catalog: Catalog) -> None:
    assert judge(text, catalog).reason == reason


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("INSERT INTO users (id, name) VALUES (1, 'x')", {"public.users"}),
        ("UPDATE orders SET note = 'x'", None),  # deletes of it cascade
        ("INSERT INTO orders (id, user_id, status) VALUES (1, 1, 'x')", {"public.orders"}),
        ("DELETE FROM items", {"public.items"}),
        ("UPDATE with_trigger SET v = 'x'", None),
        ("DELETE FROM with_rule", None),
        ("INSERT INTO with_default VALUES (1)", None),
        ("INSERT INTO with_domain VALUES (1, 1)", None),
        ("INSERT INTO secured VALUES (1)", {"public.secured"}),
        ("INSERT INTO parted VALUES (1)", {"public.parted", "public.parted_low"}),
        ("INSERT INTO family VALUES (1)", {"public.family"}),
        (
            "UPDATE other_family SET id = 1",
            {"public.family", "public.other_family", "public.family_child", "public.family_grandchild"},
        ),
        ("INSERT INTO active_users VALUES (1)", None),
        ("SELECT twice(1)", None),
        ("SELECT * FROM pg_stat_activity", set()),
    ],
)
def test_effects_follow_the_catalog(text: str, written: set[str] | None, catalog: Catalog) -> None:
    writes = judge(text, catalog).effect.writes
    relations = None if writes is None else {catalog.by_oid[oid] for oid in writes}
    assert (None if relations is None else {f"{r.schema}.{r.name}" for r in relations}) == written


def test_relations_say_what_the_catalog_says(catalog: Catalog) -> None:
    def relation(name: str) -> Relation:
        return catalog.relations["public", name]

    assert relation("items").primary_key == ("order_id", "line")
    assert relation("other_identity").identity_columns == {"code"}
    assert relation("full_identity").identity_columns == {"id", "v"}
    assert relation("orders").cascades
    assert not relation("items").cascades
    assert relation("with_trigger").user_triggers
    assert relation("with_default").user_code
    assert relation("users").publication_entry is not None
    assert not relation("items").user_triggers  # a foreign key's triggers are Postgres' own
    assert relation("users").column("feeling") is not None
