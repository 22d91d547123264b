"""The catalog's stamp changes with each kind of DDL and with nothing else; one table's DDL is that table's alone."""

from collections.abc import Iterator

import pytest

from services.proxy.sql.catalog import Catalog
from tests.integration.sql_database import make_schema, read_catalog, read_stamp
from tests.servers.postgres import PostgresServer

# What an ordinary role sees has to be enough.
_ROLE = "stamp_reader"

_OF_USERS = (
    "ALTER TABLE users ADD COLUMN more int",
    "ALTER TABLE users DROP COLUMN email",
    "ALTER TABLE users RENAME COLUMN name TO called",
    "ALTER TABLE users ALTER COLUMN age TYPE bigint",
    "ALTER TABLE users ALTER COLUMN age SET DEFAULT 3",
    "ALTER TABLE users ALTER COLUMN age SET NOT NULL",
    "ALTER TABLE users ADD CHECK (age < 1000)",
    "ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE",
    "ALTER TABLE users REPLICA IDENTITY FULL",
    "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE users FORCE ROW LEVEL SECURITY",
    "CREATE POLICY p ON users USING (true)",
    "CREATE RULE r AS ON DELETE TO users DO ALSO NOTHING",
    "CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION touched()",
    "ALTER TABLE users RENAME TO people",
    "ALTER TABLE users SET SCHEMA shop2",
    "ALTER TABLE users OWNER TO stamp_reader",
    "GRANT SELECT ON users TO stamp_reader",
    "GRANT SELECT (name) ON users TO PUBLIC",
    "CREATE TABLE user_child () INHERITS (users)",
    "TRUNCATE users CASCADE",
    "DROP TABLE users CASCADE",
    "ALTER PUBLICATION tidegate_test DROP TABLE users",
)
_OF_POLICIES = (
    "CREATE POLICY p ON secured AS RESTRICTIVE FOR SELECT USING (id > 0)",
    "ALTER POLICY own_rows ON secured USING (false)",
    "ALTER POLICY own_rows ON secured TO stamp_reader",
    "ALTER POLICY own_rows ON secured RENAME TO others",
    "DROP POLICY others ON secured",
    "ALTER TABLE secured FORCE ROW LEVEL SECURITY",
    "ALTER TABLE secured NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE secured DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE secured ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE secured OWNER TO stamp_reader",
)
_GLOBAL = (
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 3'",
    "ALTER FUNCTION twice(int) VOLATILE",
    "DROP FUNCTION row_fact(users)",
    "CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = near)",
    "CREATE CAST (int AS mood) WITH INOUT",
    "CREATE TYPE colour AS ENUM ('red')",
    "ALTER TYPE mood ADD VALUE 'great'",
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    "CREATE DOMAIN d AS int",
    "ALTER DOMAIN positive RENAME TO natural_number",
    'CREATE COLLATION mine FROM "C"',
    "CREATE TEXT SEARCH CONFIGURATION mine (COPY = english)",
    "ALTER TEXT SEARCH CONFIGURATION english ALTER MAPPING FOR asciiword WITH simple",
    "ALTER TEXT SEARCH CONFIGURATION english DROP MAPPING FOR email",
    "ALTER TEXT SEARCH CONFIGURATION mine SET SCHEMA shop",
    "ALTER TEXT SEARCH CONFIGURATION shop.mine RENAME TO ours",
    "ALTER TEXT SEARCH DICTIONARY english_stem (stopwords)",
    "CREATE TEXT SEARCH DICTIONARY mine (TEMPLATE = simple)",
    "CREATE TEXT SEARCH TEMPLATE mine (LEXIZE = dsimple_lexize)",
    "CREATE SCHEMA fresh",
    "GRANT USAGE ON SCHEMA shop TO stamp_reader",
    "ALTER PUBLICATION tidegate_test SET (publish = 'insert')",
    "ALTER ROLE stamp_reader SET timezone = 'Asia/Tokyo'",
    "ALTER ROLE stamp_reader BYPASSRLS",
    "ALTER ROLE stamp_reader NOBYPASSRLS",
    "CREATE ROLE stamp_other",
    "GRANT stamp_other TO stamp_reader",
    "DROP ROLE stamp_other",
)
_OF_ANOTHER = (
    "CREATE TABLE fresh (id int PRIMARY KEY, v text)",
    "CREATE INDEX ON orders (status)",
    "ALTER TABLE orders ADD COLUMN more int",
    "TRUNCATE orders CASCADE",
    "CREATE VIEW v AS SELECT * FROM users",
    "CREATE SEQUENCE s",
    "DROP TABLE unpublished",
    "ALTER PUBLICATION tidegate_test ADD TABLE unpublished",
    "CREATE TABLE other.fresh (LIKE users)",
)
_NO_DDL = (
    "INSERT INTO orders (id, user_id, status) VALUES (5000, 1, 'x')",
    "UPDATE users SET age = 3",
    "DELETE FROM items",
    "SELECT nextval('counter')",
    "ANALYZE",
    "VACUUM",
    "VACUUM FREEZE users",
    "VACUUM ANALYZE pg_catalog.pg_class",
    "CREATE TEMPORARY TABLE passing (id int PRIMARY KEY, v text, w mood DEFAULT 'ok')",
    "CREATE TEMPORARY VIEW passing_view AS SELECT 1 AS one",
    "BEGIN; ALTER TABLE users ADD COLUMN more int; ROLLBACK",
)


@pytest.fixture(scope="module")
def template(postgres: PostgresServer) -> Iterator[str]:
    """A database with the schema, of which every test gets a copy."""
    with postgres.database(f"stamp_{postgres.version}") as name:
        make_schema(postgres, name)
        postgres.execute("CREATE SCHEMA shop2", database=name)
        postgres.execute(f"CREATE ROLE {_ROLE} LOGIN")
        yield name
    postgres.execute(f"DROP ROLE {_ROLE}")


@pytest.fixture
def copy(postgres: PostgresServer, template: str) -> Iterator[str]:
    name = f"{template}_copy"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        postgres.drop_database(name)


def users_fingerprint(catalog: Catalog) -> str:
    """Return the fingerprint of statements that read what was `public.users` at first."""
    return catalog.fingerprint([catalog.relations["public", "users"].oid])


def test_ddl_on_a_table_changes_the_stamp_and_its_statements(postgres: PostgresServer, template: str) -> None:
    for ddl in _OF_USERS:
        with_copy = f"{template}_users"
        postgres.execute(f"CREATE DATABASE {with_copy} TEMPLATE {template}")
        before = read_catalog(postgres, with_copy, _ROLE)
        oid = before.relations["public", "users"].oid
        postgres.execute(ddl, database=with_copy)
        after = read_catalog(postgres, with_copy, _ROLE)
        postgres.drop_database(with_copy)
        assert after.stamp != before.stamp, ddl
        assert after.fingerprint([oid]) != before.fingerprint([oid]), ddl


def test_global_ddl_changes_every_fingerprint(postgres: PostgresServer, copy: str) -> None:
    before = read_catalog(postgres, copy, _ROLE)
    for ddl in _GLOBAL:
        postgres.execute(ddl, database=copy)
        after = read_catalog(postgres, copy, _ROLE)
        assert after.stamp != before.stamp, ddl
        assert users_fingerprint(after) != users_fingerprint(before), ddl
        before = after


def test_ddl_on_policies_changes_the_fingerprint_of_their_table(postgres: PostgresServer, copy: str) -> None:
    before = read_catalog(postgres, copy, _ROLE)
    oid = before.relations["public", "secured"].oid
    for ddl in _OF_POLICIES:
        postgres.execute(ddl, database=copy)
        after = read_catalog(postgres, copy, _ROLE)
        assert after.fingerprint([oid]) != before.fingerprint([oid]), ddl
        assert users_fingerprint(after) == users_fingerprint(before), ddl
        before = after


def test_ddl_on_another_table_changes_the_stamp_alone(postgres: PostgresServer, copy: str) -> None:
    before = read_catalog(postgres, copy, _ROLE)
    for ddl in _OF_ANOTHER:
        if ddl.startswith("ALTER PUBLICATION"):
            postgres.execute("CREATE TABLE unpublished (id int PRIMARY KEY)", database=copy)
            before = read_catalog(postgres, copy, _ROLE)
        postgres.execute(ddl, database=copy)
        after = read_catalog(postgres, copy, _ROLE)
        assert after.stamp != before.stamp, ddl
        assert users_fingerprint(after) == users_fingerprint(before), ddl
        before = after


def test_what_is_no_ddl_changes_nothing(postgres: PostgresServer, copy: str) -> None:
    before = read_stamp(postgres, copy, _ROLE)
    with postgres.connect(copy) as connection:
        for statement in _NO_DDL:
            for part in statement.split("; "):
                connection.execute(part.encode())
            assert read_stamp(postgres, copy, _ROLE) == before, statement


def test_a_refresh_is_that_of_its_materialized_view_alone(postgres: PostgresServer, copy: str) -> None:
    """It writes the view's row in pg_class, also where the view keeps its file."""
    postgres.execute("CREATE UNIQUE INDEX ON user_count (n)", database=copy)
    before = read_catalog(postgres, copy, _ROLE)
    oid = before.relations["public", "user_count"].oid
    for refresh in ("REFRESH MATERIALIZED VIEW", "REFRESH MATERIALIZED VIEW CONCURRENTLY"):
        for _ in range(2):  # the second time nothing is different in it
            postgres.execute(f"{refresh} user_count", database=copy)
            after = read_catalog(postgres, copy, _ROLE)
            assert after.stamp != before.stamp, refresh
            assert after.fingerprint([oid]) != before.fingerprint([oid]), refresh
            assert users_fingerprint(after) == users_fingerprint(before), refresh
            before = after


def test_the_catalog_carries_the_stamp_that_polling_gives(postgres: PostgresServer, template: str) -> None:
    assert read_catalog(postgres, template).stamp == read_stamp(postgres, template, _ROLE)


def test_schemas_have_a_part_of_their_own(postgres: PostgresServer, copy: str) -> None:
    before = read_catalog(postgres, copy)
    postgres.execute("CREATE TABLE plain (id int PRIMARY KEY)", database=copy)
    between = read_catalog(postgres, copy)
    postgres.execute("CREATE SCHEMA late", database=copy)
    after = read_catalog(postgres, copy)
    assert before.name_spaces == between.name_spaces != after.name_spaces


def test_a_hostile_search_path_does_not_lead_astray(postgres: PostgresServer, copy: str) -> None:
    postgres.execute(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.md5(text) RETURNS text LANGUAGE sql AS 'SELECT ''evil''::text';"
        "CREATE FUNCTION evil.wrong(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false';"
        "CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.wrong);"
        "GRANT USAGE ON SCHEMA evil TO PUBLIC",
        database=copy,
    )
    honest = read_catalog(postgres, copy, _ROLE)
    postgres.execute(f"ALTER DATABASE {copy} SET search_path = evil, pg_catalog, public")
    misled = read_catalog(postgres, copy, _ROLE)
    assert misled.relations == honest.relations
    assert misled.functions == honest.functions
    assert misled.relation_parts == honest.relation_parts


def test_publications_that_hide_changes_do_not_count(newest_postgres: PostgresServer, newest_database: str) -> None:
    make_schema(newest_postgres, newest_database)

    def entry(relation: str = "users") -> int | None:
        return read_catalog(newest_postgres, newest_database).relations["public", relation].publication_entry

    first = entry()
    assert first is not None
    for change in ("WHERE (id > 3)", "(id, name)"):
        newest_postgres.execute("ALTER PUBLICATION tidegate_test DROP TABLE users", database=newest_database)
        assert entry() is None
        newest_postgres.execute(f"ALTER PUBLICATION tidegate_test ADD TABLE users {change}", database=newest_database)
        assert entry() is None
        newest_postgres.execute("ALTER PUBLICATION tidegate_test DROP TABLE users", database=newest_database)
        newest_postgres.execute("ALTER PUBLICATION tidegate_test ADD TABLE users", database=newest_database)
        assert entry() not in (None, first)
    newest_postgres.execute(
        "ALTER PUBLICATION tidegate_test SET (publish = 'insert, update')", database=newest_database
    )
    assert entry() is None
    assert entry("orders") is None
