"""Names mean what they mean to Postgres: search paths, shadowing, quotes, schemas, functions that compete."""

from collections.abc import Iterator

import pytest

from services.proxy.sql.catalog import Catalog
from tests.integration.sql_database import PUBLICATION, judge, make_schema, names, read_catalog
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="module")
def database(newest_postgres: PostgresServer) -> Iterator[str]:
    with newest_postgres.database("names") as name:
        make_schema(newest_postgres, name)
        yield name


@pytest.fixture(scope="module")
def catalog(newest_postgres: PostgresServer, database: str) -> Catalog:
    return read_catalog(newest_postgres, database)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("public",), "SELECT id FROM users"),
        (("other", "public"), "SELECT id FROM users"),
        (("shop", "other", "public"), "SELECT id FROM users"),
        (("other",), "SELECT code FROM only_there, public.orders"),
        (("shop", "other"), "SELECT users.id FROM users, other.users x, only_there"),
        (("Odd Schema", "public"), 'SELECT "Id" FROM "Mixed ""Case""", USERS'),
        (("other", "public"), "WITH users AS (SELECT id FROM orders) SELECT users.id FROM users, public.users p"),
    ],
)
def test_relations_are_those_that_postgres_finds(
    path: tuple[str, ...], text: str, catalog: Catalog, newest_postgres: PostgresServer, database: str
) -> None:
    quoted = ", ".join(f'"{schema}"' for schema in path)
    with newest_postgres.connect(database) as connection:
        connection.execute(f"SET search_path = {quoted}".encode())
        row = connection.execute("SELECT current_schemas(true)").fetchone()
        assert row is not None
        connection.execute(f"CREATE VIEW public.the_view AS SELECT 1 AS one FROM ({text}) x".encode())
        found = connection.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_depend d JOIN pg_rewrite r ON d.objid = r.oid "
            "JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE r.ev_class = 'public.the_view'::regclass AND c.oid <> r.ev_class"
        ).fetchall()
        connection.execute("DROP VIEW public.the_view")
    analysis = judge(text, catalog, *path)
    assert tuple(row[0]) == ("pg_catalog", *path)
    assert analysis.reason == ""
    assert names(catalog, analysis.relations) == {name for (name,) in found}


def test_names_that_are_not_on_the_path_are_unknown(catalog: Catalog) -> None:
    assert judge("SELECT * FROM only_there", catalog).reason == "unknown_relation"
    assert judge('SELECT * FROM "USERS"', catalog).reason == "unknown_relation"
    assert judge("SELECT * FROM mixed", catalog, "Odd Schema").reason == "unknown_relation"


def test_the_same_text_in_another_schema_is_another_statement(catalog: Catalog) -> None:
    text = "SELECT id FROM users"
    fingerprints = {judge(text, catalog, schema).fingerprint for schema in ("public", "shop", "other")}
    assert len(fingerprints) == 3


def test_a_new_table_earlier_on_the_path_takes_over(newest_postgres: PostgresServer, database: str) -> None:
    text = "SELECT id FROM orders"
    before = judge(text, read_catalog(newest_postgres, database), "shop", "public")
    newest_postgres.execute("CREATE TABLE shop.orders (id int PRIMARY KEY)", database=database)
    try:
        unpublished = judge(text, read_catalog(newest_postgres, database), "shop", "public")
        newest_postgres.execute(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE shop.orders", database=database)
        published = judge(text, read_catalog(newest_postgres, database), "shop", "public")
    finally:
        newest_postgres.execute("DROP TABLE shop.orders", database=database)
    assert before.cacheable
    assert unpublished.reason == "not_published"
    assert published.cacheable
    assert published.relations != before.relations


@pytest.mark.parametrize(
    "kind", ["VIEW shop.orders AS SELECT 1 AS id", "SEQUENCE shop.orders", "TYPE shop.orders AS (id int)"]
)
def test_whatever_has_the_name_takes_over(kind: str, newest_postgres: PostgresServer, database: str) -> None:
    newest_postgres.execute(f"CREATE {kind}", database=database)
    try:
        found = judge("SELECT id FROM orders", read_catalog(newest_postgres, database), "shop", "public")
    finally:
        newest_postgres.execute(f"DROP {kind.split(maxsplit=1)[0]} shop.orders", database=database)
    assert found.reason in ("no_relation", "sequence", "not_a_table")


def test_an_extension_of_its_own_types_spoils_little(newest_postgres: PostgresServer) -> None:
    """What a user's base type brings along does not compete for built-in values; what takes built-in values does."""
    with newest_postgres.database("own_types") as name:
        make_schema(newest_postgres, name)
        newest_postgres.execute(
            "CREATE TYPE coin; "
            "CREATE FUNCTION coin_in(cstring) RETURNS coin LANGUAGE internal IMMUTABLE STRICT AS 'int4in'; "
            "CREATE FUNCTION coin_out(coin) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out'; "
            "CREATE TYPE coin (INPUT = coin_in, OUTPUT = coin_out, LIKE = int4); "
            "CREATE FUNCTION abs(coin) RETURNS coin LANGUAGE internal IMMUTABLE AS 'int4abs'; "
            "CREATE FUNCTION coin_eq(coin, coin) RETURNS bool LANGUAGE internal IMMUTABLE AS 'int4eq'; "
            "CREATE OPERATOR = (LEFTARG = coin, RIGHTARG = coin, FUNCTION = coin_eq); "
            "CREATE TABLE purse (id int PRIMARY KEY, c coin, v text); "
            f"ALTER PUBLICATION {PUBLICATION} ADD TABLE purse",
            database=name,
        )
        catalog = read_catalog(newest_postgres, name)
        assert judge("SELECT abs(age) FROM users WHERE id = 3", catalog).reason == ""
        assert judge("SELECT v FROM purse WHERE id = 3", catalog).reason == ""
        assert judge("SELECT c FROM purse", catalog).reason == "user_type"
        assert judge("SELECT * FROM purse", catalog).reason == "user_type"
        newest_postgres.execute("CREATE CAST (int AS coin) WITHOUT FUNCTION AS IMPLICIT", database=name)
        catalog = read_catalog(newest_postgres, name)
        assert judge("SELECT abs(age) FROM users", catalog).reason == "user_function"
        assert judge("SELECT age FROM users WHERE id = 3", catalog).reason == "user_operator"


@pytest.mark.parametrize(
    ("cast", "spoils"),
    [
        ("(varchar AS mood) WITH INOUT AS IMPLICIT", False),
        ("(int AS text) WITH INOUT AS IMPLICIT", False),
        ("(text AS timestamp) WITH INOUT AS IMPLICIT", True),
        ("(mood AS int) WITH FUNCTION pg_catalog.enum_first_int(mood)", True),
    ],
)
def test_casts_of_the_database(cast: str, spoils: bool, newest_postgres: PostgresServer) -> None:
    with newest_postgres.database("own_casts") as name:
        make_schema(newest_postgres, name)
        if "enum_first_int" in cast:
            newest_postgres.execute(
                "CREATE FUNCTION mood_int(mood) RETURNS int LANGUAGE sql AS 'SELECT 1'", database=name
            )
            cast = "(mood AS int) WITH FUNCTION mood_int(mood)"
        newest_postgres.execute(f"CREATE CAST {cast}", database=name)
        reason = judge("SELECT * FROM users", read_catalog(newest_postgres, name)).reason
    assert reason == ("user_cast" if spoils else "")
