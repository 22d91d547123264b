"""asyncpg: binary formats, prepared statements of its own for everything, COPY, a pool."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.drivers.expectations import COLUMNS, NULL_ROW, row
from tests.integration.proxied_postgres import ProxiedPostgres
from tests.servers.processes import wait_until

_BY_ID = f"SELECT {COLUMNS} FROM kinds WHERE id = $1"


@asynccontextmanager
async def _connected(proxied: ProxiedPostgres) -> "AsyncIterator[asyncpg.Connection]":
    connection = await asyncpg.connect(proxied.url())
    try:
        yield connection
    finally:
        await connection.close()


async def _repeat_until(read: Callable[[], Awaitable[bool]]) -> None:
    """Repeat a read until it is as wanted."""
    async with asyncio.timeout(15):
        while not await read():
            pass


async def _cached(proxied: ProxiedPostgres, read: Callable[[], Awaitable[object]]) -> None:
    async def hit() -> bool:
        before = await asyncio.to_thread(proxied.hits)
        await read()
        return await asyncio.to_thread(proxied.hits) > before

    await _repeat_until(hit)


def test_reads_become_hits_and_a_direct_write_is_seen(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with _connected(proxied) as connection:

            async def five_hits() -> bool:
                before = await asyncio.to_thread(proxied.hits)
                for _ in range(5):
                    assert [tuple(found) for found in await connection.fetch(_BY_ID, 7)] == [row(7)]
                return await asyncio.to_thread(proxied.hits) - before == 5

            await _repeat_until(five_hits)
            assert tuple(await connection.fetchrow(_BY_ID, 0) or ()) == NULL_ROW
            assert await connection.fetch(_BY_ID, -1) == []

            await asyncio.to_thread(proxied.server.execute, "UPDATE kinds SET name = 'written directly' WHERE id = 7")

            async def seen() -> bool:
                return tuple(await connection.fetchrow(_BY_ID, 7) or ()) == row(7, "written directly")

            await _repeat_until(seen)
            await _cached(proxied, lambda: connection.fetch(_BY_ID, 7))
            assert await seen()

    asyncio.run(use())


def test_statements_prepared_by_hand(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with _connected(proxied) as connection:
            statement = await connection.prepare("SELECT name, price FROM kinds WHERE id = $1")
            assert [attribute.name for attribute in statement.get_attributes()] == ["name", "price"]
            for number in (3, 3, 3, 3, 4, 4, 4, 0):
                expected = (None, None) if number == 0 else row(number)[1:3]
                assert tuple(await statement.fetchrow(number) or ()) == expected

    asyncio.run(use())


def test_a_large_answer_is_the_same_again(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with _connected(proxied) as connection:
            for _ in range(4):
                found = await connection.fetch(f"SELECT {COLUMNS} FROM kinds WHERE id > 0 ORDER BY id")
                assert [tuple(one) for one in found] == [row(number) for number in range(1, 5001)]

    asyncio.run(use())


def test_json_and_lists(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with _connected(proxied) as connection:
            for _ in range(5):
                found = await connection.fetch("SELECT detail FROM kinds WHERE id = ANY($1) ORDER BY id", [3, 4])
                assert [json.loads(one[0]) for one in found] == [{"n": 3}, {"n": 4}]

    asyncio.run(use())


def test_transactions_errors_and_recovery(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with _connected(proxied) as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("INSERT INTO notes VALUES (1, 'one')")
            assert await connection.fetchval("SELECT body FROM notes WHERE id = 1") == "one"
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.fetchval("SELECT 1/0")
            with pytest.raises(asyncpg.InFailedSQLTransactionError):
                await connection.fetchval("SELECT body FROM notes WHERE id = 1")
            await transaction.rollback()
            assert await connection.fetchval("SELECT count(*) FROM notes") == 0
            with pytest.raises(asyncpg.UndefinedTableError):
                await connection.fetch("SELECT * FROM missing")
            async with connection.transaction():
                await connection.execute("INSERT INTO notes VALUES ($1, $2)", 2, "two")
            assert await connection.fetchval("SELECT body FROM notes WHERE id = 2") == "two"

    asyncio.run(use())


def test_copy_cursors_and_notifications(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with _connected(proxied) as connection:
            records = [(number, f"note {number}") for number in range(1000)]
            await connection.copy_records_to_table("notes", records=records)
            assert await connection.fetchval("SELECT count(*) FROM notes") == 1000
            async with connection.transaction():
                found = [tuple(one) async for one in connection.cursor("SELECT id, body FROM notes ORDER BY id")]
            assert found == records
            await connection.executemany("UPDATE notes SET body = $2 WHERE id = $1", [(n, "new") for n in range(50)])
            assert await connection.fetchval("SELECT count(*) FROM notes WHERE body = 'new'") == 50

            heard: asyncio.Queue[object] = asyncio.Queue()
            await connection.add_listener("news", lambda *told: heard.put_nowait(told[-1]))
            await connection.execute("NOTIFY news, 'hello'")
            assert await asyncio.wait_for(heard.get(), 10) == "hello"

    asyncio.run(use())


def test_a_pool_whose_connections_are_reset_between_users(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with asyncpg.create_pool(proxied.url(), min_size=5, max_size=5) as pool:
            before = proxied.hits()
            for _ in range(20):
                found = await asyncio.gather(
                    *(pool.fetch("SELECT name FROM kinds WHERE id = $1", 5) for _ in range(10))
                )
                assert [one[0]["name"] for one in found] == ["name 5"] * 10
            assert proxied.hits() - before > 100

    asyncio.run(use())


def test_a_query_that_takes_too_long_is_cancelled(proxied: ProxiedPostgres) -> None:
    async def use() -> None:
        async with _connected(proxied) as connection:
            with pytest.raises(TimeoutError):
                await connection.fetchval("SELECT pg_sleep(30)", timeout=0.2)
            assert await connection.fetchval("SELECT 1") == 1

    asyncio.run(use())
    left = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'"
    wait_until(lambda: not proxied.server.execute(left), "the query to be cancelled")
