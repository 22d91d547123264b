"""Every kind of change arrives in the event log, once, as what it was."""

import asyncio

import pytest

from schemas.changes import Changes
from schemas.fields import HashedValue
from services.cdc.transactions import Bounds
from services.shared.lsn import parse_lsn
from tests.integration.cdc_harness import connected_to, make_cache, running, scene, until, watching_log
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import RedisServer

TABLES = """
    CREATE TABLE keyed (id int PRIMARY KEY, name text, big text);
    ALTER TABLE keyed ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE whole (id int, name text);
    ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE TABLE indexed (id int NOT NULL UNIQUE, name text);
    ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_id_key;
"""


@pytest.fixture
def tables(postgres: PostgresServer, database: str) -> str:
    postgres.execute(TABLES, database=database)
    return postgres.url(database)


def test_every_kind_of_change_arrives_once(
    postgres: PostgresServer, database: str, tables: str, valkey: RedisServer
) -> None:
    cache = make_cache(postgres, database, valkey)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(tables) as client:
            await until(lambda: view.followed() == ["indexed", "keyed", "whole"], "the tables to be followed")
            for statement in (
                "INSERT INTO keyed VALUES (1, 'naïve ☃', repeat('x', 3000)), (2, NULL, NULL)",
                "UPDATE keyed SET name = 'plain' WHERE id = 1",
                "UPDATE keyed SET id = 3 WHERE id = 2",
                "DELETE FROM keyed WHERE id = 3",
                "INSERT INTO whole VALUES (1, 'one')",
                "UPDATE whole SET name = 'eins' WHERE id = 1",
                "DELETE FROM whole",
                "INSERT INTO indexed VALUES (1, 'one')",
                "UPDATE indexed SET id = 2",
                "TRUNCATE keyed, whole",
                "BEGIN; INSERT INTO keyed VALUES (8, 'x', ''); ROLLBACK",
                "BEGIN; INSERT INTO keyed VALUES (9, 'x', ''); SAVEPOINT s; INSERT INTO keyed VALUES (10, 'x', '');"
                " ROLLBACK TO s; COMMIT",
                f"INSERT INTO indexed SELECT n, 'many' FROM generate_series(10, {Bounds().relation_rows + 10}) n",
                "INSERT INTO keyed VALUES (99, 'the last', '')",
            ):
                await client.execute(statement)
            await until(lambda: "99" in view.inserted("keyed"), "the last change")
            await until(lambda: view.events[-1].kind == "watermark", "a watermark behind it")
        assert [event.k for event in view.events] == list(range(len(view.events)))  # one partition, one incarnation
        hashed = view.rows("keyed")[0][2]
        assert hashed is not None
        assert isinstance(hashed["big"], HashedValue)
        assert hashed["big"].length == 3000
        assert view.rows("keyed") == [
            ("insert", None, {"id": "1", "name": "naïve ☃", "big": hashed["big"]}),
            ("insert", None, {"id": "2", "name": None, "big": None}),
            ("update", None, {"id": "1", "name": "plain"}),
            ("update", {"id": "2"}, {"id": "3", "name": None, "big": None}),
            ("delete", {"id": "3"}, None),
            ("insert", None, {"id": "9", "name": "x", "big": ""}),
            ("insert", None, {"id": "99", "name": "the last", "big": ""}),
        ]
        assert view.rows("whole") == [
            ("insert", None, {"id": "1", "name": "one"}),
            ("update", {"id": "1", "name": "one"}, {"id": "1", "name": "eins"}),
            ("delete", {"id": "1", "name": "eins"}, None),
        ]
        assert view.rows("indexed") == [
            ("insert", None, {"id": "1", "name": "one"}),
            ("update", {"id": "1"}, {"id": "2", "name": "one"}),
        ]
        assert (view.wide("keyed"), view.wide("whole"), view.wide("indexed")) == (["truncate"], ["truncate"], ["bulk"])

    scene(play)


def test_relations_keep_to_their_partitions_and_watermarks_go_to_all(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    newest_postgres.execute(TABLES, database=newest_database)
    cache = make_cache(newest_postgres, newest_database, valkey, partitions=3)

    async def play() -> None:
        url = newest_postgres.url(newest_database)
        async with running(cache) as cdc, watching_log(cache) as view, connected_to(url) as client:
            for number in range(20):
                await client.execute(f"INSERT INTO keyed VALUES ({number}); INSERT INTO whole VALUES ({number})")
            await until(lambda: len(view.inserted("whole")) == 20, "the changes")
            await until(lambda: len(view.watermarks) == 3 * cdc.statistics.watermarks, "every watermark three times")
        assert view.inserted("keyed") == view.inserted("whole") == [str(number) for number in range(20)]
        told = [(mark.watermark, mark.settled) for mark in view.watermarks]
        assert all(told.count(mark) == 3 for mark in told)

    scene(play)


def test_a_column_that_the_settings_hide_appears_only_as_a_hash(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    newest_postgres.execute(TABLES, database=newest_database)
    cache = make_cache(newest_postgres, newest_database, valkey, hashed_columns=["public.whole.name"])

    async def play() -> None:
        url = newest_postgres.url(newest_database)
        async with running(cache), watching_log(cache) as view, connected_to(url) as client:
            await client.execute("INSERT INTO whole VALUES (1, 'secret'); UPDATE whole SET name = 'hidden'")
            await until(lambda: len(view.rows("whole")) == 2, "the changes")
        for event in view.events:
            assert "secret" not in event.model_dump_json()
            assert "hidden" not in event.model_dump_json()

    scene(play)


def test_a_prepared_transaction_arrives_when_it_is_committed(
    postgres: PostgresServer, database: str, tables: str, valkey: RedisServer
) -> None:
    cache = make_cache(postgres, database, valkey)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(tables) as client:
            await client.execute("BEGIN; INSERT INTO keyed VALUES (1); PREPARE TRANSACTION 'later'")
            await client.execute("INSERT INTO keyed VALUES (2)")
            await until(lambda: view.inserted("keyed") == ["2"], "what was not prepared")
            await client.execute("COMMIT PREPARED 'later'")
            await until(lambda: view.inserted("keyed") == ["2", "1"], "what was prepared")

    scene(play)


@pytest.mark.parametrize("version", [NEWEST, OLDEST])
def test_an_asynchronous_commit_is_covered_although_nobody_else_flushes_it(version: str, valkey: RedisServer) -> None:
    """It is visible at once and decoded when it is flushed: here by our heartbeat, or ten seconds later."""
    with PostgresServer(version, wal_writer_delay="10s") as server:
        server.execute(TABLES)
        cache = make_cache(server, "postgres", valkey)

        async def play() -> None:
            async with running(cache) as cdc, watching_log(cache) as view, connected_to(server.url()) as client:
                await client.execute("SET synchronous_commit = off")
                for number in range(15):
                    await client.execute(f"INSERT INTO keyed VALUES ({number})")
                    visible = parse_lsn(await client.fetchval("SELECT pg_current_wal_insert_lsn()::text"))
                    await until(
                        lambda lsn=visible: any(parse_lsn(mark.watermark) > lsn for mark in view.watermarks),  # type: ignore[misc]
                        "an asynchronous commit to be covered",
                    )
                    assert view.inserted("keyed")[-1] == str(number)
                assert cdc.statistics.heartbeats >= 15

        scene(play)


def test_under_load_every_transaction_arrives_once_and_ahead_of_what_covers_it(
    postgres: PostgresServer, database: str, tables: str, valkey: RedisServer
) -> None:
    """Between a commit that became visible and the watermark that covers it stands its change."""
    cache = make_cache(postgres, database, valkey)
    visible_before: dict[str, int] = {}

    async def write(first: int, *, asynchronous: bool) -> None:
        async with connected_to(tables) as client:
            if asynchronous:
                await client.execute("SET synchronous_commit = off")
            for number in range(first, first + 150):
                await client.execute(f"INSERT INTO keyed VALUES ({number}, 'x')")
                visible_before[str(number)] = parse_lsn(
                    await client.fetchval("SELECT pg_current_wal_insert_lsn()::text")
                )

    async def play() -> None:
        async with running(cache), watching_log(cache) as view:
            await asyncio.gather(*(write(1000 * n, asynchronous=n % 2 == 1) for n in range(4)))
            await until(lambda: len(view.inserted("keyed")) >= 600, "all changes")
            await until(lambda: view.events[-1].kind == "watermark", "a watermark behind them")
        assert sorted(map(str, view.inserted("keyed"))) == sorted(visible_before)
        covered = 0
        for event in view.events:
            if event.kind == "watermark":
                covered = max(covered, parse_lsn(event.watermark))
            elif isinstance(event, Changes):
                for row in event.rows:
                    assert row.new is not None
                    assert visible_before[str(row.new["id"])] >= covered

    scene(play)
