"""Transactions that end oddly, messages that anybody writes, and a standby that nobody is: H3, H5, H33, H43, H56."""

import json
from collections.abc import Iterator

import pytest

from schemas.resume import Resume
from services.cdc.service import remove
from services.shared.lsn import parse_lsn
from tests.integration.cdc_following import IN_PIECES, follow, row_changes
from tests.integration.cdc_hanging import hanging_commit
from tests.integration.cdc_harness import (
    DURABLE,
    LogView,
    RunningCdc,
    connected_to,
    make_cache,
    running,
    scene,
    until,
    watching_log,
)
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import RedisServer

_TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text)"
_MANY = "INSERT INTO t SELECT n, repeat('x', 200) FROM generate_series({0}, {0} + 999) n"


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of this module's own: it waits for standbys that are not there, and its slots outlive connections."""
    with PostgresServer(request.param, **DURABLE) as server:
        yield server


@pytest.fixture
def own_database(server: PostgresServer) -> Iterator[str]:
    with server.database("transactions") as name:
        yield name


@pytest.mark.parametrize("parameters", ["", IN_PIECES])
def test_of_prepared_transactions_those_that_are_committed_arrive(
    postgres: PostgresServer, database: str, valkey: RedisServer, parameters: str
) -> None:
    """H3: and what is prepared holds nobody up. A part that was taken back before stays so."""

    async def play(view: LogView, _cdc: RunningCdc) -> None:
        async with connected_to(postgres.url(database)) as client:
            for name, first in (("kept", 10_000), ("gone", 20_000)):
                await client.execute(
                    f"BEGIN; {_MANY.format(first)}; SAVEPOINT s; {_MANY.format(first + 5_000)}; ROLLBACK TO s;"
                    f"PREPARE TRANSACTION '{database} {name}'"
                )
            await client.execute("INSERT INTO t VALUES (1)")
            await until(lambda: view.inserted("t") == ["1"], "what was not prepared")
            await until(lambda: view.events[-1].kind == "watermark", "a watermark behind it")
            await client.execute(f"ROLLBACK PREPARED '{database} gone'")
            await client.execute(f"COMMIT PREPARED '{database} kept'")
            await client.execute("DELETE FROM t WHERE id > 1")

    view = follow(postgres, database, valkey, _TABLE, play, parameters)
    assert [row.op for row in row_changes(view, "t")] == ["insert"] * 1001 + ["delete"] * 1000
    assert view.inserted("t") == ["1", *(str(number) for number in range(10_000, 11_000))]


def test_a_prepared_transaction_is_held_until_it_is_visible(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    """H1, H3: what the gate looks for is the transaction's own id, not that of who commits it."""

    async def play(view: LogView, cdc: RunningCdc) -> None:
        server.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p'", database=own_database)
        async with connected_to(server.url(own_database)) as client:
            async with hanging_commit(server, own_database, "COMMIT PREPARED 'p'"):
                await until(lambda: cdc.statistics.held == 1, "it to be held")
                assert await client.fetchval("SELECT count(*) FROM t") == 0
                await client.execute("INSERT INTO t VALUES (2)")
                await until(lambda: view.inserted("t") == ["2"], "another")
            await until(lambda: view.inserted("t") == ["2", "1"], "it")

    follow(server, own_database, valkey, _TABLE, play)


def test_a_transaction_that_was_rolled_back_before_anything_of_it_was_sent_disturbs_nobody(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    """H5: from 18 on Postgres tells that a part of it was rolled back, although it has told nothing else of it."""
    server.execute(_TABLE, database=own_database)
    url = server.url(own_database)
    cache = make_cache(server, own_database, valkey, database_url=url + IN_PIECES)
    some = "INSERT INTO t SELECT n, repeat('x', 200) FROM generate_series({0}, {0} + 149) n"

    async def play() -> None:
        async with watching_log(cache) as view:
            async with running(cache):
                await until(lambda: view.followed() == ["t"], "the table to be followed")
            async with connected_to(url) as gone, connected_to(url) as kept:
                await gone.execute(f"BEGIN; SAVEPOINT s; {some.format(1000)}")
                await kept.execute(f"BEGIN; {some.format(2000)}; {some.format(3000)}")
                await gone.execute("ROLLBACK")
                await kept.execute("COMMIT; INSERT INTO t VALUES (1)")
            async with running(cache) as cdc:
                await until(lambda: view.inserted("t")[-1:] == ["1"], "the changes")
                assert cdc.statistics.incarnations == 1
            assert len(view.inserted("t")) == 301

    scene(play)


@pytest.mark.parametrize("parameters", ["", IN_PIECES])
def test_messages_that_anybody_writes_decide_nothing(
    postgres: PostgresServer, database: str, valkey: RedisServer, parameters: str
) -> None:
    """H33: any role may write any message, as if it were ours too."""
    forged = (
        b"",
        b"\0\xff\xfe",
        b"FFFFFFFF/FFFFFFF8",
        json.dumps({"kind": "watermark", "watermark": "FFFFFFFF/0", "settled": "FFFFFFFF/0"}).encode(),
        json.dumps({"kind": "ddl", "relation": -1, "relations": ["public.t"], "epoch": None}).encode(),
        b"x" * 100_000,
    )
    role = f"forger_{database}"
    postgres.execute(f"CREATE ROLE {role} LOGIN", database=database)

    async def play(view: LogView, _cdc: RunningCdc) -> None:
        async with connected_to(postgres.url(database, role)) as forger, connected_to(postgres.url(database)) as client:
            for number, content in enumerate(forged):
                for prefix in ("tidegate", "tidegate.ddl", "", "naïve ☃" * 50):
                    for transactional in (False, True):
                        await forger.execute(
                            "SELECT pg_logical_emit_message($1, $2, $3::bytea)", transactional, prefix, content
                        )
                await client.execute(f"BEGIN; {_MANY.format(1000 * number)}")
                await client.execute("SELECT pg_logical_emit_message(true, 'tidegate', $1::bytea)", content)
                await client.execute("SELECT pg_logical_emit_message(false, 'tidegate', $1::bytea)", content)
                await client.execute("COMMIT")
        await until(lambda: len(view.inserted("t")) == 1000 * len(forged), "the changes")
        assert view.followed() == ["mark", "t"]

    try:
        view = follow(postgres, database, valkey, _TABLE, play, parameters)
    finally:
        postgres.execute(f"DROP ROLE {role}", database=database)
    end = parse_lsn(str(postgres.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]))
    assert all(parse_lsn(mark.settled) < parse_lsn(mark.watermark) <= end + 1 for mark in view.watermarks)
    assert view.inserted("t") == [str(number) for number in range(1000 * len(forged))]


@pytest.mark.parametrize("version", [NEWEST, OLDEST])
def test_nothing_of_ours_waits_for_a_standby_that_is_dead(version: str, valkey: RedisServer) -> None:
    """H43: from making slot, publication and canary, over heartbeats, to taking all of it away again."""
    with PostgresServer(version, synchronous_standby_names="nobody", wal_writer_delay="10s", **DURABLE) as server:
        cache = make_cache(server, "postgres", valkey)

        async def play() -> None:
            async with connected_to(server.url()) as client:
                await client.execute(_TABLE)
                async with running(cache) as cdc, watching_log(cache) as view:
                    await client.execute("CREATE TABLE u (id int PRIMARY KEY)")
                    await until(lambda: view.followed() == ["t", "u"], "both tables to be followed")
                    await client.execute("SET synchronous_commit = off")
                    for number in range(5):
                        await client.execute(f"INSERT INTO t VALUES ({number})")
                        visible = parse_lsn(await client.fetchval("SELECT pg_current_wal_insert_lsn()::text"))
                        await until(
                            lambda lsn=visible: any(parse_lsn(mark.watermark) > lsn for mark in view.watermarks),  # type: ignore[misc]
                            "it to be covered",
                        )
                    assert cdc.statistics.heartbeats > 0
                    assert view.inserted("t") == ["0", "1", "2", "3", "4"]
                await remove(cache)
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                assert await client.fetchval(waiting) == 0

        scene(play)


def test_incarnations_differ_though_nothing_was_written_between_them(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    """H56: an insert LSN stands still on an idle database; a record of our own has a place of its own."""
    cache = make_cache(server, own_database, valkey)

    async def play() -> None:
        async with watching_log(cache) as view:
            for count in range(1, 5):
                async with running(cache) as cdc:
                    await until(
                        lambda n=count: len(view.beginnings()) == n and view.events[-1].kind == "watermark",  # type: ignore[misc]
                        "it to begin, and to have nothing more to write",
                    )
                    assert cdc.statistics.incarnations == 1
        incarnations = [parse_lsn(event.incarnation) for event in view.events if event.k == 0]
        assert len(set(incarnations)) == 4
        assert incarnations == sorted(incarnations)
        assert len(view.of(Resume)) == 3

    scene(play)


def test_a_slot_whose_wal_was_removed_begins_another_history(valkey: RedisServer) -> None:
    """H34, H39: Postgres gave it up rather than its disk while nobody read it."""
    with PostgresServer(NEWEST, max_slot_wal_keep_size="1MB", min_wal_size="32MB", max_wal_size="32MB") as server:
        server.execute(_TABLE)
        cache = make_cache(server, "postgres", valkey)
        status = f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{cache.slot}'"

        def is_lost() -> bool:
            server.execute("SELECT pg_logical_emit_message(true, '', 'some WAL')")
            server.execute("SELECT pg_switch_wal()")
            server.execute("CHECKPOINT")
            return bool(server.execute(status) == [("lost",)])

        async def play() -> None:
            async with watching_log(cache) as view:
                async with running(cache):
                    await until(lambda: view.followed() == ["t"], "the table to be followed")
                await until(is_lost, "the slot to be lost")
                async with running(cache) as cdc:
                    server.execute("INSERT INTO t VALUES (1)")
                    await until(lambda: view.inserted("t") == ["1"], "a change")
                    assert cdc.statistics.incarnations == 1
                    assert server.execute(status) != [("lost",)]
            assert view.beginnings() == ["epoch", "epoch"]

        scene(play)
