"""The event trigger that tells of DDL: at once, in the same transaction, and never in anybody's way."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from schemas.catalog_event import CatalogChange
from services.cdc.ddl_trigger import DROPS, ENDS
from services.cdc.service import remove
from tests.integration.cdc_harness import connected_to, make_cache, running, scene, until, watching_log
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import RedisServer

_NEVER = 2.0  # seconds between two looks at the catalog, as far apart as the CDC service's may be
_TABLES = """
    CREATE TABLE kept (id int PRIMARY KEY, v text); INSERT INTO kept VALUES (1, 'a');
    CREATE TABLE by_index (id int NOT NULL, v text, CONSTRAINT one UNIQUE (id));
    ALTER TABLE by_index REPLICA IDENTITY USING INDEX one;
    CREATE TYPE label AS (t text); CREATE TABLE typed (l label PRIMARY KEY, v int);
"""
_TOLD = (
    "GRANT SELECT ON kept TO PUBLIC",
    "CREATE VIEW seen AS SELECT * FROM kept",
    "CREATE MATERIALIZED VIEW stored AS SELECT * FROM kept",
    "REFRESH MATERIALIZED VIEW stored",
    "CREATE UNIQUE INDEX ON stored (id)",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY stored",
    "CREATE POLICY own ON kept USING (id = 1)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP VIEW seen",
    "COMMENT ON TABLE kept IS 'x'",
    "DROP TABLE typed",
)
_PUBLISHED = "SELECT tablename FROM pg_publication_tables WHERE pubname = '{}' ORDER BY 1"
_TRIGGERS = f"SELECT count(*) FROM pg_event_trigger WHERE evtname IN ('{ENDS}', '{DROPS}')"


@pytest.mark.parametrize(
    ("table", "ddl"),
    [
        ("kept", "ALTER TABLE kept DROP CONSTRAINT kept_pkey"),
        ("kept", "ALTER TABLE kept REPLICA IDENTITY NOTHING"),
        ("kept", "ALTER TABLE kept DROP COLUMN id"),
        ("by_index", "ALTER TABLE by_index DROP CONSTRAINT one"),
        ("typed", "DROP TYPE label CASCADE"),
        ("kept", "SET session_replication_role = replica; ALTER TABLE kept DROP CONSTRAINT kept_pkey"),
    ],
)
def test_a_table_that_loses_its_identity_can_be_updated_in_the_same_transaction(
    postgres: PostgresServer, database: str, valkey: RedisServer, table: str, ddl: str
) -> None:
    """H44."""
    postgres.execute(_TABLES, database=database)
    cache = make_cache(postgres, database, valkey, catalog_poll=_NEVER)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(postgres.url(database)) as connection:
            await until(lambda: table in view.followed(), "the table to be followed")
            await connection.execute(f"BEGIN; {ddl}; UPDATE {table} SET v = NULL; DELETE FROM {table}; COMMIT")
            await until(lambda: table not in view.followed(), "the table to be followed no longer")
            listed = [name for (name,) in await connection.fetch(_PUBLISHED.format(cache.publication))]
            assert table not in listed
            assert len(listed) == 2

    scene(play)


@pytest.mark.parametrize("kind", ["STORED", "VIRTUAL"])
def test_so_can_a_table_whose_identity_gets_a_generated_column(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer, kind: str
) -> None:
    """H12, H44: from 18 on Postgres would refuse that, too."""
    newest_postgres.execute(_TABLES, database=newest_database)
    cache = make_cache(newest_postgres, newest_database, valkey, catalog_poll=_NEVER)
    url = newest_postgres.url(newest_database)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(url) as connection:
            await until(lambda: len(view.followed()) == 3, "the tables to be followed")
            await connection.execute(
                f"BEGIN; ALTER TABLE kept REPLICA IDENTITY FULL, ADD twice int GENERATED ALWAYS AS (id * 2) {kind};"
                "UPDATE kept SET v = NULL; DELETE FROM kept; COMMIT"
            )
            await until(lambda: view.followed() == ["by_index", "typed"], "the table to be followed no longer")

    scene(play)


def test_a_table_that_is_without_a_key_within_a_transaction_is_followed_again(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """What the trigger takes out is not what somebody has removed on purpose."""
    postgres.execute(_TABLES, database=database)
    cache = make_cache(postgres, database, valkey, catalog_poll=_NEVER)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(postgres.url(database)) as connection:
            await until(lambda: len(view.followed()) == 3, "the tables to be followed")
            drop, add = "ALTER TABLE kept DROP CONSTRAINT kept_pkey", "ALTER TABLE kept ADD PRIMARY KEY (id)"
            await connection.execute(f"BEGIN; {drop}; UPDATE kept SET v = 'b'; {add}; COMMIT")
            await until(lambda: view.wide("kept")[-1:] == ["unfollowed"], "the table to be followed no longer")
            await until(lambda: len(view.followed()) == 3, "the table to be followed again")
            await connection.execute(f'ALTER PUBLICATION "{cache.publication}" DROP TABLE ONLY kept')
            await until(lambda: len(view.followed()) == 2, "the table to be followed no longer")

    scene(play)


def test_ddl_is_told_when_it_commits_and_nothing_else_is(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    postgres.execute(_TABLES, database=database)
    cache = make_cache(postgres, database, valkey, catalog_poll=_NEVER)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(postgres.url(database)) as connection:
            await until(lambda: len(view.followed()) == 3, "the tables to be followed")
            before = len(view.of(CatalogChange))
            await connection.execute("BEGIN; CREATE TABLE vain (id int PRIMARY KEY); ROLLBACK")
            await connection.execute("CREATE TEMPORARY TABLE ours (id serial PRIMARY KEY); INSERT INTO ours VALUES (1)")
            await connection.execute("CREATE INDEX ON ours (id); ALTER TABLE ours ADD v int DEFAULT 1; DROP TABLE ours")
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (id int); DROP TABLE IF EXISTS nowhere")
            await connection.execute("INSERT INTO kept VALUES (2, 'b'); ANALYZE kept")
            xid = await connection.fetchval("SELECT pg_current_xact_id()::text")
            for known, ddl in enumerate(_TOLD):
                await connection.execute(ddl)
                await until(lambda: len(view.of(CatalogChange)) > before + known, ddl)  # noqa: B023
            assert [told.xid > int(xid) for told in view.of(CatalogChange)[before:]] == [True] * len(_TOLD)

    scene(play)


def test_it_lets_every_statement_through_whatever_goes_wrong_in_it(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    postgres.execute(_TABLES, database=database)
    cache = make_cache(postgres, database, valkey, catalog_poll=_NEVER)

    async def play() -> None:
        async with running(cache):
            pass
        async with connected_to(postgres.url(database)) as connection:
            async with connected_to(postgres.url(database)) as holder:  # of the publication, which cannot be altered
                await holder.execute(f'BEGIN; ALTER PUBLICATION "{cache.publication}" DROP TABLE ONLY by_index')
                await connection.execute("SET lock_timeout = '100ms'; ALTER TABLE kept DROP CONSTRAINT kept_pkey")
            rows = await connection.fetch("SELECT FROM pg_index WHERE indrelid = 'kept'::regclass")
            assert rows == []
        await remove(cache)
        assert postgres.execute(_TRIGGERS, database=database) == [(0,)]

    scene(play)


def test_caches_of_one_database_share_it_and_the_last_one_takes_it_away(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    caches = [make_cache(postgres, database, valkey) for _ in range(2)]

    async def play() -> None:
        for cache in caches:
            async with running(cache):
                assert postgres.execute(_TRIGGERS, database=database) == [(2,)]
        await remove(caches[0])
        assert postgres.execute(_TRIGGERS, database=database) == [(2,)]
        await remove(caches[1])
        assert postgres.execute(_TRIGGERS, database=database) == [(0,)]

    scene(play)


def test_a_role_that_may_not_make_it_does_without(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    name = "no_superuser"
    newest_postgres.execute(f"DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN REPLICATION")
    newest_postgres.execute(f'GRANT CREATE ON DATABASE "{newest_database}" TO {name}')
    cache = make_cache(
        newest_postgres, newest_database, valkey, database_url=newest_postgres.url(newest_database, name)
    )

    async def play() -> None:
        async with running(cache):
            assert newest_postgres.execute(_TRIGGERS, database=newest_database) == [(0,)]
        await remove(cache)

    scene(play)
    newest_postgres.execute(f"DROP OWNED BY {name}; DROP ROLE {name}", database=newest_database)


def test_who_does_not_want_it_has_it_taken_away(postgres: PostgresServer, database: str, valkey: RedisServer) -> None:
    cache = make_cache(postgres, database, valkey)

    async def play() -> None:
        async with running(cache):
            assert postgres.execute(_TRIGGERS, database=database) == [(2,)]
        async with running(cache.model_copy(update={"ddl_trigger": False})):
            assert postgres.execute(_TRIGGERS, database=database) == [(0,)]

    scene(play)


# -- what the proxies make of it

_SHOP = """
    CREATE TABLE goods (id int PRIMARY KEY, v text); INSERT INTO goods VALUES (1, 'a');
    CREATE TABLE spare (id int PRIMARY KEY, v text); INSERT INTO spare VALUES (1, 'spare');
    CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (9); INSERT INTO parts VALUES (1, 'part');
    CREATE SCHEMA early; ALTER ROLE CURRENT_USER SET search_path = early, public;
"""
_CHANGES = [
    ("goods", "ALTER TABLE goods ALTER v TYPE varchar USING v || '!'"),
    ("goods", "ALTER TABLE goods ADD COLUMN n int DEFAULT 7"),
    ("goods", "BEGIN; ALTER TABLE goods RENAME TO other; ALTER TABLE spare RENAME TO goods; COMMIT"),
    ("goods", "CREATE TABLE early.goods (id int PRIMARY KEY, w text)"),
    ("parts", "ALTER TABLE parts DETACH PARTITION part_1"),
    ("parts", "CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (9) TO (99)"),
    ("parts", "BEGIN; DROP TABLE parts; CREATE TABLE parts (id int PRIMARY KEY); COMMIT"),
]


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def stack(request: pytest.FixtureRequest) -> Iterator[ProxiedPostgres]:
    """One that looks at the catalog by itself as seldom as it can be told to."""
    with proxied_postgres(version=request.param, sql=_SHOP, environ={"TIDEGATE_CATALOG_POLL": "5s"}) as started:
        yield started


def test_ddl_takes_effect_within_the_bound_of_row_changes(stack: ProxiedPostgres) -> None:
    with stack.connect() as client, psycopg.connect(stack.direct_url, autocommit=True) as direct:

        def answer(connection: "psycopg.Connection[tuple[object, ...]]", table: str) -> object:
            cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1", prepare=False)
            return [column.name for column in cursor.description or ()], cursor.fetchall()

        for table, ddl in _CHANGES:
            stack.wait_all_cached(lambda: answer(client, table), 3)  # noqa: B023
            direct.execute(ddl, prepare=False)
            deadline = time.monotonic() + 1.0
            while answer(client, table) != answer(direct, table):
                assert time.monotonic() < deadline, ddl


def test_a_revoked_privilege_is_lost_within_the_bound_of_row_changes(stack: ProxiedPostgres) -> None:
    stack.server.execute("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA early TO reader")
    stack.server.execute("GRANT SELECT ON early.goods TO reader")
    with stack.connect("reader") as client, psycopg.connect(stack.direct_url, autocommit=True) as direct:
        stack.wait_all_cached(lambda: client.execute("SELECT id FROM early.goods", prepare=False).fetchall(), 3)
        direct.execute("REVOKE SELECT ON early.goods FROM reader")
        deadline = time.monotonic() + 1.0

        def read() -> None:
            while time.monotonic() < deadline:
                client.execute("SELECT id FROM early.goods", prepare=False)

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            read()
