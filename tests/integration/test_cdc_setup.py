"""What the service makes in the database, what it refuses, and which tables it follows."""

import asyncio
from collections.abc import Iterator

import pytest

from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from services.cdc.errors import SetupError
from services.cdc.service import remove, run_cdc
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.telemetry import Telemetry
from tests.integration.cdc_harness import DURABLE, connected_to, make_cache, running, scene, until, watching_log
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST
from tests.servers.redis import RedisServer

KINDS = """
    CREATE TABLE plain (id int PRIMARY KEY, computed int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE "Odd ""quoted"" name" (id int PRIMARY KEY);
    CREATE TABLE whole (a int); ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE TABLE indexed (a int NOT NULL, b int, UNIQUE (a) INCLUDE (b));
    ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_a_b_key;
    CREATE TABLE keyless (a int);
    CREATE TABLE late (a int PRIMARY KEY DEFERRABLE);
    CREATE TABLE silent (id int PRIMARY KEY); ALTER TABLE silent REPLICA IDENTITY NOTHING;
    CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
    CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9);
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
"""


def user_of(server: PostgresServer, database: str, name: str, options: str) -> str:
    """Make a role, and return its URL."""
    server.execute(f"DROP ROLE IF EXISTS {name}")
    server.execute(f"CREATE ROLE {name} LOGIN {options}", database=database)
    return server.url(database, name)


@pytest.fixture
def role(newest_postgres: PostgresServer, newest_database: str) -> Iterator[str]:
    """A role that may replicate and make what we need, and owns nothing."""
    name = "cdc_role"
    url = user_of(newest_postgres, newest_database, name, "REPLICATION")
    newest_postgres.execute(f'GRANT CREATE ON DATABASE "{newest_database}" TO {name}')
    yield url
    newest_postgres.execute(
        f"DROP PUBLICATION IF EXISTS made; DROP OWNED BY {name}; DROP ROLE {name}", database=newest_database
    )


def refusal(cache: CacheSettings) -> str:
    """Return why the service refuses to begin."""
    with pytest.raises(Refusal) as raised:
        asyncio.run(run_cdc(cache, Telemetry("test").for_cache(cache.name)))
    return str(raised.value)


def test_only_tables_that_can_be_followed_are_published(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    postgres.execute(KINDS, database=database)
    cache = make_cache(postgres, database, valkey)
    published = f"SELECT tablename FROM pg_publication_tables WHERE pubname = '{cache.publication}' ORDER BY 1"

    async def play() -> None:
        fit = ['Odd "quoted" name', "child", "indexed", "parent", "part", "parted", "plain", "whole"]
        async with running(cache) as cdc, watching_log(cache) as view:
            await until(lambda: view.followed() == fit, "the tables to be followed")
            listed = [name for (name,) in postgres.execute(published, database=database)]
            assert listed == [name for name in fit if name != "parted"]
            described = {event.table: event for event in view.of(RelationSchema)}
            assert [column.name for column in described["plain"].columns] == ["id"]
            assert described["plain"].key_columns == ["id"]
            assert (described["whole"].identity, described["whole"].key_columns) == ("full", ["a"])
            assert (described["indexed"].identity, described["indexed"].key_columns) == ("index", ["a"])
            assert cdc.statistics.left_out == 4
        # The application's writes go on, whatever is published (H9).
        postgres.execute("INSERT INTO keyless VALUES (1); UPDATE keyless SET a = 2", database=database)

    scene(play)


def test_the_publication_follows_the_catalog(postgres: PostgresServer, database: str, valkey: RedisServer) -> None:
    cache = make_cache(postgres, database, valkey)

    async def play() -> None:
        async with (
            running(cache) as cdc,
            watching_log(cache) as view,
            connected_to(postgres.url(database)) as client,
        ):
            await client.execute("CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY)")
            await until(lambda: view.followed() == ["a", "b"], "new tables to be followed")
            await client.execute("ALTER TABLE a ALTER v TYPE varchar(9)")
            await until(lambda: view.wide("a") == ["ddl"], "a changed column to be noticed")
            await until(lambda: view.events[-1].kind == "schema", "the new description")
            await client.execute("ALTER TABLE a DROP CONSTRAINT a_pkey")
            await until(lambda: view.followed() == ["b"], "a lost key to be noticed")
            await until(lambda: cdc.statistics.left_out == 1, "the table to be named")
            await client.execute("UPDATE a SET v = ''")  # H44: it is out of the publication, so this does not fail
            await client.execute("ALTER TABLE a ADD PRIMARY KEY (id)")
            await until(lambda: view.followed() == ["a", "b"], "a new key to be noticed")
            await client.execute("DROP TABLE b")
            await until(lambda: view.followed() == ["a"], "a dropped table to be noticed")

    scene(play)


@pytest.mark.parametrize(
    ("hide", "show"),
    [
        ("DROP TABLE t", "ADD TABLE t"),
        ("SET (publish = 'insert, update')", "SET (publish = 'insert, update, delete, truncate')"),
        ("SET (publish_via_partition_root = true)", "SET (publish_via_partition_root = false)"),
        ("SET TABLE t WHERE (id > 5)", "SET TABLE t"),
        ("SET TABLE t (id)", "SET TABLE t"),
    ],
)
def test_a_publication_that_somebody_changed_unfollows(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer, hide: str, show: str
) -> None:
    """H6, H10: what is hidden from us may not be cached; and what was hidden for a while joins anew."""
    newest_postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", database=newest_database)
    cache = make_cache(newest_postgres, newest_database, valkey)

    async def play() -> None:
        async with (
            running(cache),
            watching_log(cache) as view,
            connected_to(newest_postgres.url(newest_database)) as client,
        ):
            await until(lambda: view.followed() == ["t"], "the table to be followed")
            await client.execute(f"ALTER PUBLICATION {cache.publication} {hide}")
            await until(lambda: view.followed() == [], "the change to be noticed")
            await client.execute("CREATE TABLE other (id int PRIMARY KEY)")
            if "publish" not in hide:
                await until(lambda: view.followed() == ["other"], "another table to be followed")
            shown = show.replace("SET TABLE t", "SET TABLE t, other")
            await client.execute(f"ALTER PUBLICATION {cache.publication} {shown}")
            await until(lambda: view.followed() == ["other", "t"], "the tables to be followed again")
            await client.execute("INSERT INTO t VALUES (1)")
            await until(lambda: view.inserted("t") == ["1"], "a change")

    scene(play)


def test_a_table_that_was_locked_is_followed_soon_after(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    cache = make_cache(postgres, database, valkey)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(postgres.url(database)) as holder:
            await holder.execute("BEGIN; CREATE TABLE locked (id int PRIMARY KEY); COMMIT; BEGIN; LOCK TABLE locked")
            await asyncio.sleep(1.0)  # longer than our role waits for a lock
            await holder.execute("COMMIT")
            await until(lambda: view.followed() == ["locked"], "the table to be followed")

    scene(play)


def test_a_table_is_not_followed_before_those_who_were_writing_to_it_have_ended(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H11: what an open transaction wrote before the table was published is never streamed."""
    postgres.execute("CREATE TABLE t (id int PRIMARY KEY)", database=database)
    cache = make_cache(postgres, database, valkey)
    url = postgres.url(database)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(url) as writer, connected_to(url) as other:
            await until(lambda: view.followed() == ["t"], "the table to be followed")
            await other.execute("CREATE TABLE u (id int)")
            await writer.execute("BEGIN; INSERT INTO u VALUES (1)")
            await other.execute("CREATE TABLE v (id int PRIMARY KEY)")
            published = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'v'"
            await until(lambda: postgres.execute(published, database=database) == [(1,)], "the table to be published")
            for number in range(30):
                await other.execute(f"INSERT INTO t VALUES ({number})")
                await until(lambda n=number: view.inserted("t")[-1:] == [str(n)], "a change")  # type: ignore[misc]
            assert view.followed() == ["t"]
            await writer.execute("COMMIT")
            await until(lambda: view.followed() == ["t", "v"], "the table to be followed")
            position = next(n for n, e in enumerate(view.events) if isinstance(e, RelationSchema) and e.table == "v")
            assert any(event.kind == "watermark" for event in view.events[:position])

    scene(play)


def test_what_changed_while_the_service_was_away_is_said_before_the_first_watermark(valkey: RedisServer) -> None:
    with PostgresServer(NEWEST, **DURABLE) as server:
        server.execute("CREATE TABLE gone (id int PRIMARY KEY); CREATE TABLE kept (id int PRIMARY KEY)")
        server.execute("CREATE TABLE again (id int PRIMARY KEY); CREATE TABLE altered (id int PRIMARY KEY)")
        cache = make_cache(server, "postgres", valkey)

        async def play() -> None:
            async with watching_log(cache) as view:
                async with running(cache):
                    await until(lambda: len(view.watermarks) > 0, "the beginning")
                    assert view.followed() == ["again", "altered", "gone", "kept"]
                name = cache.publication
                server.execute("DROP TABLE gone; ALTER TABLE altered ADD v int")
                server.execute(f"ALTER PUBLICATION {name} DROP TABLE again")
                server.execute(f"ALTER PUBLICATION {name} ADD TABLE again")
                begun = len(view.events)
                async with running(cache):
                    await until(lambda: view.followed() == ["again", "altered", "kept"], "what can be followed")
                    await until(lambda: view.beginnings() == ["epoch", "resume"], "the resume")
                later = view.events[begun:]
                before = later[: next(n for n, event in enumerate(later) if event.kind == "watermark")]
                wide = [(event.table, event.op) for event in before if isinstance(event, RelationWide)]
                assert sorted(wide) == [("again", "unfollowed"), ("altered", "ddl"), ("gone", "unfollowed")]
                described = sorted(event.table for event in before if isinstance(event, RelationSchema))
                assert described == ["altered", "kept"]

        scene(play)


def test_a_role_without_superuser_follows_what_its_owner_has_published(
    newest_postgres: PostgresServer, newest_database: str, role: str, valkey: RedisServer
) -> None:
    newest_postgres.execute("CREATE TABLE theirs (id int PRIMARY KEY)", database=newest_database)
    newest_postgres.execute("CREATE TABLE ours (id int PRIMARY KEY)", database=newest_database)
    newest_postgres.execute("ALTER TABLE ours OWNER TO cdc_role", database=newest_database)
    cache = make_cache(newest_postgres, newest_database, valkey, database_url=role)

    async def play() -> None:
        async with running(cache) as cdc, watching_log(cache) as view:
            await until(lambda: view.followed() == ["ours"], "our own table to be followed")
            await until(lambda: cdc.statistics.left_out == 1, "the other to be named")
            newest_postgres.execute(
                f"ALTER PUBLICATION {cache.publication} OWNER TO postgres;"
                f"ALTER PUBLICATION {cache.publication} ADD TABLE theirs",
                database=newest_database,
            )
            await until(lambda: view.followed() == ["ours", "theirs"], "what its owner added")
            newest_postgres.execute("INSERT INTO theirs VALUES (1)", database=newest_database)
            await until(lambda: view.inserted("theirs") == ["1"], "a change")

    scene(play)


def test_a_role_that_may_not_replicate_is_told_what_to_run(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    url = user_of(newest_postgres, newest_database, "no_replication", "")
    cache = make_cache(newest_postgres, newest_database, valkey, database_url=url)
    assert 'ALTER ROLE "no_replication" REPLICATION' in refusal(cache)


def test_a_role_that_may_not_create_is_told_what_to_run(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    url = user_of(newest_postgres, newest_database, "no_create", "REPLICATION")
    cache = make_cache(newest_postgres, newest_database, valkey, database_url=url)
    assert "GRANT CREATE ON DATABASE" in refusal(cache)


def test_without_logical_wal_it_says_how_to_set_it(valkey: RedisServer) -> None:
    with PostgresServer(NEWEST, wal_level="replica") as server:
        told = refusal(make_cache(server, "postgres", valkey))
    assert "wal_level is replica" in told
    assert "ALTER SYSTEM SET wal_level = 'logical'" in told


def test_without_a_free_slot_it_says_what_to_raise(valkey: RedisServer) -> None:
    with PostgresServer(NEWEST, max_replication_slots=1) as server:
        server.execute("SELECT pg_create_physical_replication_slot('taken')")
        assert "max_replication_slots" in refusal(make_cache(server, "postgres", valkey))


def test_without_a_free_wal_sender_it_says_what_to_raise(valkey: RedisServer) -> None:
    with PostgresServer(NEWEST, max_wal_senders=0) as server:
        assert "raise max_wal_senders" in refusal(make_cache(server, "postgres", valkey))


def test_another_slot_of_our_name_is_left_alone(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    cache = make_cache(newest_postgres, newest_database, valkey)
    newest_postgres.execute(f"SELECT pg_create_physical_replication_slot('{cache.slot}')")
    try:
        assert "is not ours" in refusal(cache)
    finally:
        newest_postgres.execute(f"SELECT pg_drop_replication_slot('{cache.slot}')")


def test_remove_leaves_nothing_and_spares_other_caches(valkey: RedisServer) -> None:
    with PostgresServer(NEWEST, **DURABLE) as server:
        server.execute("CREATE TABLE t (id int PRIMARY KEY)")
        first, second = make_cache(server, "postgres", valkey), make_cache(server, "postgres", valkey)

        async def play() -> None:
            async with running(first), running(second):
                with pytest.raises(SetupError, match="in use"):
                    await remove(first)
            left = "SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication"
            await remove(first)
            assert server.execute(left) == [(second.slot,), (second.publication,)]
            assert server.execute("SELECT cache FROM tidegate.canary") == [(second.name,)]
            await remove(second)
            await remove(second)
            assert server.execute(left) == []
            assert server.execute("SELECT to_regnamespace('tidegate')") == [(None,)]

        scene(play)
