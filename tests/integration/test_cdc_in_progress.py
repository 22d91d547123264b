"""Large transactions come while they are in progress: each arrives when it is committed, without what it took back."""

from schemas.watermark import Watermark
from services.cdc.transactions import Bounds
from tests.integration.cdc_following import IN_PIECES, wait_streamed
from tests.integration.cdc_harness import (
    DURABLE,
    LogView,
    connected_to,
    make_cache,
    running,
    scene,
    until,
    watching_log,
)
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

_TABLES = "CREATE TABLE one (id int PRIMARY KEY, v text); CREATE TABLE two (id int PRIMARY KEY, v text)"
_ROWS = 1_500  # of this text, several times as much
_TEXT = "x" * 200


def _insert(table: str, first: int, count: int = _ROWS) -> str:
    return f"INSERT INTO {table} SELECT n, '{_TEXT}' FROM generate_series({first}, {first + count - 1}) n"


def _numbers(first: int, count: int = _ROWS) -> list[object]:
    return [str(number) for number in range(first, first + count)]


def test_in_turns_with_savepoints_and_roll_backs(postgres: PostgresServer, database: str, valkey: RedisServer) -> None:
    postgres.execute(_TABLES, database=database)
    url = postgres.url(database)
    cache = make_cache(postgres, database, valkey, database_url=url + IN_PIECES)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(url) as a, connected_to(url) as b:
            await until(lambda: view.followed() == ["one", "two"], "the tables to be followed")
            await a.execute(f"BEGIN; {_insert('one', 0)}")
            await b.execute(f"BEGIN; {_insert('two', 0)}; SAVEPOINT s; {_insert('one', 50_000)}")
            await a.execute(f"SAVEPOINT s; {_insert('one', 10_000)}; SAVEPOINT t; {_insert('two', 10_000)}")
            await a.execute(f"RELEASE t; ROLLBACK TO s; {_insert('one', 20_000)}")
            await b.execute("ROLLBACK")
            await b.execute("INSERT INTO two VALUES (90000, 'small, and first')")
            await until(lambda: view.inserted("two") == ["90000"], "the one that was small")
            assert view.inserted("one") == []
            await a.execute("COMMIT")
            await until(lambda: len(view.inserted("one")) >= 2 * _ROWS, "the one that was large")
            await wait_streamed(b, cache.slot)
        assert view.inserted("one") == _numbers(0) + _numbers(20_000)
        assert view.inserted("two") == ["90000"]
        _assert_whole(view)

    scene(play)


def test_a_transaction_past_every_bound_is_a_few_records_and_what_follows_it_is_told(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    postgres.execute(_TABLES, database=database)
    url = postgres.url(database)
    cache = make_cache(postgres, database, valkey, database_url=url + IN_PIECES)

    async def play() -> None:
        async with running(cache), watching_log(cache) as view, connected_to(url) as client:
            await until(lambda: view.followed() == ["one", "two"], "the tables to be followed")
            many = Bounds().relation_rows + 3_000
            await client.execute(f"BEGIN; {_insert('one', 0, many)}; INSERT INTO two VALUES (1, 'one of few')")
            await client.execute("ALTER TABLE one ADD w int; UPDATE one SET w = 1; COMMIT")
            await client.execute("INSERT INTO one VALUES (-1, 'behind it', 2)")
            await until(lambda: "-1" in view.inserted("one"), "the change behind it")
            # The catalog shows another column, too, to who looks at it next: that may be behind the change.
            await until(lambda: "ddl" in view.wide("one"), "the new definition")
        assert sorted(set(view.wide("one"))) == ["bulk", "ddl"]
        assert view.inserted("one") == ["-1"]
        assert view.inserted("two") == ["1"]
        assert len(view.events) < 100
        _assert_whole(view)

    scene(play)


def test_what_was_in_progress_when_the_service_stopped_is_sent_again(valkey: RedisServer) -> None:
    with PostgresServer(**DURABLE) as server:
        server.execute(_TABLES)
        url = server.url()
        cache = make_cache(server, "postgres", valkey, database_url=url + IN_PIECES)

        async def play() -> None:
            async with watching_log(cache) as view, connected_to(url) as client, connected_to(url) as other:
                async with running(cache):
                    await until(lambda: view.followed() == ["one", "two"], "the tables to be followed")
                    await client.execute(f"BEGIN; {_insert('one', 0)}")
                    await other.execute("INSERT INTO two VALUES (1, 'in between')")
                    await until(lambda: view.inserted("two") == ["1"], "what was in between")
                async with running(cache):
                    await client.execute(f"{_insert('one', 10_000)}; COMMIT")
                    await until(lambda: len(view.inserted("one")) >= 2 * _ROWS, "all of it")
            assert view.inserted("one") == _numbers(0) + _numbers(10_000)
            assert view.beginnings() == ["epoch", "resume"]

        scene(play)


def _assert_whole(view: LogView) -> None:
    """See that the records follow one another, and that a watermark ends them."""
    assert [event.k for event in view.events] == list(range(len(view.events)))
    assert any(isinstance(event, Watermark) for event in view.events)
