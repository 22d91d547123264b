"""psycopg 3, synchronous and asynchronous."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row

from tests.drivers.expectations import COLUMNS, NULL_ROW, row
from tests.integration.proxied_postgres import Connection, ProxiedPostgres
from tests.servers.processes import wait_until

_BY_ID = f"SELECT {COLUMNS} FROM kinds WHERE id = %s"


def _client_side(connection: Connection) -> "Callable[[int], list[tuple[object, ...]]]":
    cursor = psycopg.ClientCursor(connection)  # the simple protocol
    return lambda number: cursor.execute(_BY_ID, [number]).fetchall()


def _unprepared(connection: Connection) -> "Callable[[int], list[tuple[object, ...]]]":
    return lambda number: connection.execute(_BY_ID, [number], prepare=False).fetchall()


def _prepared(connection: Connection) -> "Callable[[int], list[tuple[object, ...]]]":
    return lambda number: connection.execute(_BY_ID, [number], prepare=True).fetchall()


def _binary(connection: Connection) -> "Callable[[int], list[tuple[object, ...]]]":
    return lambda number: connection.execute(_BY_ID, [number], binary=True).fetchall()


@pytest.mark.parametrize("how", [_client_side, _unprepared, _prepared, _binary])
def test_reads_become_hits_and_a_direct_write_is_seen(
    proxied: ProxiedPostgres, how: "Callable[[Connection], Callable[[int], list[tuple[object, ...]]]]"
) -> None:
    with proxied.connect() as connection:
        read = how(connection)

        def run() -> None:
            assert read(7) == [row(7)]

        proxied.wait_all_cached(run, 5)
        assert read(0) == [NULL_ROW]
        assert read(-1) == []

        proxied.server.execute("UPDATE kinds SET name = 'written directly' WHERE id = 7")
        wait_until(lambda: read(7) == [row(7, "written directly")], "the direct write")
        proxied.wait_cached(lambda: read(7))
        assert read(7) == [row(7, "written directly")]


@pytest.mark.parametrize("binary", [False, True])
def test_a_large_answer_is_the_same_again(proxied: ProxiedPostgres, binary: bool) -> None:
    with proxied.connect() as connection:
        for _ in range(4):
            found = connection.execute(f"SELECT {COLUMNS} FROM kinds WHERE id > 0 ORDER BY id", binary=binary)
            assert found.fetchall() == [row(number) for number in range(1, 5001)]


def test_json_lists_and_rows_as_dictionaries(proxied: ProxiedPostgres) -> None:
    with proxied.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        for _ in range(5):
            cursor.execute("SELECT id, detail FROM kinds WHERE id = ANY(%s) ORDER BY id", [[3, 4]])
            assert cursor.fetchall() == [{"id": 3, "detail": {"n": 3}}, {"id": 4, "detail": {"n": 4}}]


def test_transactions_errors_and_recovery(proxied: ProxiedPostgres) -> None:
    with psycopg.connect(proxied.url()) as connection:  # with a BEGIN before every first statement
        connection.execute("INSERT INTO notes VALUES (1, 'one')")
        assert connection.execute("SELECT body FROM notes").fetchall() == [("one",)]
        with pytest.raises(errors.DivisionByZero):
            connection.execute("SELECT 1/0")
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("SELECT body FROM notes")
        connection.rollback()
        assert connection.execute("SELECT body FROM notes").fetchall() == []
        with connection.transaction(), pytest.raises(errors.UniqueViolation), connection.transaction():
            connection.execute("INSERT INTO kinds (id) VALUES (0)")
        connection.execute("INSERT INTO notes VALUES (2, 'two')")
        connection.commit()
        assert connection.execute("SELECT body FROM notes").fetchall() == [("two",)]


def test_copy_pipelines_and_cursors(proxied: ProxiedPostgres) -> None:
    with proxied.connect() as connection:
        with connection.cursor().copy("COPY notes FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            for number in range(1000):
                copy.write_row((number, f"note {number}"))
        with connection.cursor().copy("COPY (SELECT id FROM notes ORDER BY id) TO STDOUT") as copy:
            assert b"".join(bytes(data) for data in copy) == b"".join(b"%d\n" % number for number in range(1000))
        with connection.pipeline():
            cursors = [connection.execute("SELECT body FROM notes WHERE id = %s", [number]) for number in range(100)]
            assert [cursor.fetchone() for cursor in cursors] == [(f"note {number}",) for number in range(100)]
        with connection.transaction(), connection.cursor("server_side") as server_side:
            server_side.itersize = 100
            server_side.execute("SELECT id FROM notes ORDER BY id")
            assert [number for (number,) in server_side] == list(range(1000))
        cursor = connection.cursor()
        cursor.executemany("UPDATE notes SET body = %s WHERE id = %s", [(f"new {n}", n) for n in range(50)])
        assert connection.execute("SELECT body FROM notes WHERE id = 49").fetchone() == ("new 49",)


def test_a_query_is_cancelled(proxied: ProxiedPostgres) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'"

    async def cancel() -> None:
        async with await psycopg.AsyncConnection.connect(proxied.url(), autocommit=True) as connection:
            query = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await asyncio.to_thread(wait_until, lambda: proxied.server.execute(running), "the query to run")
            await connection.cancel_safe()
            with pytest.raises(errors.QueryCanceled):
                await query
            cursor = await connection.execute("SELECT 1")
            assert await cursor.fetchone() == (1,)

    asyncio.run(cancel())


def test_the_asynchronous_connection(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with await psycopg.AsyncConnection.connect(proxied.url(), autocommit=True) as connection:
            before = proxied.hits()
            for _ in range(30):
                cursor = await connection.execute(_BY_ID, [9])
                assert await cursor.fetchall() == [row(9)]
                cursor = await connection.execute(_BY_ID, [9], binary=True)
                assert await cursor.fetchall() == [row(9)]
            assert proxied.hits() > before
            async with connection.transaction():
                await connection.execute("INSERT INTO notes VALUES (1, 'one')")
            cursor = await connection.execute("SELECT body FROM notes")
            assert await cursor.fetchall() == [("one",)]
            with pytest.raises(errors.UndefinedTable):
                await connection.execute("SELECT * FROM missing")
            async with connection.cursor().copy("COPY notes FROM STDIN") as copy:
                await copy.write_row((2, "two"))
            cursor = await connection.execute("SELECT count(*) FROM notes")
            assert await cursor.fetchone() == (2,)

    asyncio.run(use())
