"""psycopg 3: the asynchronous connection."""

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection, AsyncRawCursor, IsolationLevel, errors
from psycopg.rows import TupleRow

from tests.drivers.programs.python.dbapi import BY_ID, NAME, NOTE
from tests.drivers.programs.python.harness import (
    PARAMETER_COLUMNS,
    RUNNING,
    URL,
    Shown,
    digest,
    parameters_of,
    plain_row,
    serve_async,
    shown_error,
)

Connection = AsyncConnection[TupleRow]


class PsycopgAsyncProgram:
    """The same server protocol as the synchronous one, from another loop: what waits, and what is read while idle."""

    driver = "psycopg, async"
    version = psycopg.__version__

    def __init__(self) -> None:
        self._kept: dict[bool, Connection] = {}

    def show(self, error: BaseException) -> Shown | None:
        if not isinstance(error, psycopg.Error):
            return None
        told = error.diag
        message = told.message_primary or str(error)
        return shown_error(error.sqlstate, message, told.message_detail, told.constraint_name)

    async def _connection(self, autocommit: bool = True) -> Connection:
        if autocommit not in self._kept:
            self._kept[autocommit] = await AsyncConnection.connect(URL, autocommit=autocommit)
        return self._kept[autocommit]

    async def _value(self, connection: Connection, query: str, *parameters: object) -> Any:
        found = await (await connection.execute(query, parameters or None)).fetchone()
        return found and found[0]

    async def _name(self, number: int) -> Any:
        return await self._value(await self._connection(), NAME, number)

    async def _refused(self, connection: Connection, query: str, *parameters: object) -> Shown | None:
        try:
            await connection.execute(query, parameters or None)
        except psycopg.Error as error:
            return self.show(error)
        raise AssertionError("an error was to be expected")

    async def _cleared(self) -> Connection:
        connection = await self._connection()
        await connection.execute("DELETE FROM notes")
        return connection

    async def connect(self, url: str) -> list[Any]:
        async with await AsyncConnection.connect(url) as connection:
            return [await self._value(connection, "SELECT 1")]

    async def _rows(self, connection: Connection, number: int, **options: Any) -> list[Any]:
        found = await (await connection.execute(BY_ID, [number], **options)).fetchall()
        return [plain_row(one) for one in found]

    async def row(self, number: int) -> list[Any]:
        return await self._rows(await self._connection(), number)

    async def row_unprepared(self, number: int) -> list[Any]:
        return await self._rows(await self._connection(), number, prepare=False)

    async def row_prepared(self, number: int) -> list[Any]:
        return await self._rows(await self._connection(), number, prepare=True)

    async def row_binary(self, number: int) -> list[Any]:
        return await self._rows(await self._connection(), number, binary=True)

    async def row_simple(self, number: int) -> list[Any]:
        async with AsyncClientCursor(await self._connection()) as cursor:
            await cursor.execute(BY_ID, [number])
            return [plain_row(one) for one in await cursor.fetchall()]

    async def session(self) -> list[Any]:
        connection = await self._connection()
        query = "SELECT current_user, current_database(), current_setting('application_name')"
        return list(await (await connection.execute(query)).fetchone() or ())

    async def large(self) -> list[Any]:
        connection = await self._connection()
        cursor = await connection.execute("SELECT name, big FROM kinds WHERE id > 0 ORDER BY id")
        return digest(await cursor.fetchall())

    async def list_(self, numbers: list[int]) -> list[Any]:
        async with AsyncRawCursor(await self._connection()) as cursor:  # with Postgres's own $1
            await cursor.execute("SELECT name FROM kinds WHERE id = ANY($1) ORDER BY id", [numbers])
            return [name for (name,) in await cursor.fetchall()]

    async def typed_parameters(self, number: int) -> list[Any]:
        condition = " AND ".join(f"{column} = %s" for column in PARAMETER_COLUMNS)
        values = parameters_of(number)
        connection = await self._connection()
        seen = []
        for given in (values, [number, None, *values[2:]]):
            cursor = await connection.execute(f"SELECT id FROM kinds WHERE {condition}", given)
            seen.append([one for (one,) in await cursor.fetchall()])
        return seen

    async def described(self) -> list[str]:
        connection = await self._connection()
        cursor = await connection.execute("SELECT id, name, price, at, detail FROM kinds WHERE id = %s", [-1])
        return [column.name for column in cursor.description or ()]

    async def settings(self, number: int) -> list[Any]:
        connection = await self._connection()
        seen = []
        for command in ("RESET TimeZone", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"):
            await connection.execute(command)
            query = "SELECT at::text FROM kinds WHERE id = %s"
            seen.append([await self._value(connection, query, number) for _ in range(3)][-1])
        return seen

    async def search_path(self, number: int) -> list[Any]:
        connection = await self._connection()
        seen = []
        for command in (*("RESET search_path", "SET search_path TO other, public") * 2, "RESET search_path"):
            await connection.execute(command)
            seen.append([await self._name(number) for _ in range(3)][-1])
        return seen

    async def pool(self, connections: int, reads: int) -> list[Any]:
        async def use() -> list[Any]:
            async with await AsyncConnection.connect(URL, autocommit=True) as connection:
                return [await self._value(connection, NAME, number) for number in range(1, reads + 1)]

        return list(await asyncio.gather(*(use() for _ in range(connections))))

    async def transaction_reads(self, number: int) -> list[Any]:
        connection = await self._connection(autocommit=False)
        seen = [(await self._rows(connection, number))[0] for _ in range(2)]
        await connection.commit()
        return seen

    async def read_only_transaction(self, number: int) -> list[Any]:
        connection = await self._connection(autocommit=False)
        await connection.set_read_only(True)
        try:
            return await self.transaction_reads(number)
        finally:
            await connection.set_read_only(None)

    async def serializable_transaction(self, number: int) -> list[Any]:
        connection = await self._connection(autocommit=False)
        await connection.set_isolation_level(IsolationLevel.SERIALIZABLE)
        try:
            return await self.transaction_reads(number)
        finally:
            await connection.set_isolation_level(None)

    async def commit(self) -> list[Any]:
        connection = await self._cleared()
        async with connection.transaction():
            for number in (1, 2):
                await connection.execute("INSERT INTO notes VALUES (%s, 'body')", [number])
            seen = [await self._value(connection, "SELECT count(*) FROM notes")]
        return [*seen, await self._value(connection, "SELECT count(*) FROM notes")]

    async def rollback(self) -> list[Any]:
        connection = await self._cleared()
        async with connection.transaction(force_rollback=True):
            for number in (1, 2):
                await connection.execute("INSERT INTO notes VALUES (%s, 'body')", [number])
            seen = [await self._value(connection, "SELECT count(*) FROM notes")]
        return [*seen, await self._value(connection, "SELECT count(*) FROM notes")]

    async def read_then_write(self) -> list[Any]:
        connection = await self._cleared()
        await connection.execute("INSERT INTO notes VALUES (1, 'before')")
        async with connection.transaction():
            seen = [await self._value(connection, NOTE, 1)]
            await connection.execute("UPDATE notes SET body = 'after' WHERE id = %s", [1])
            seen.append(await self._value(connection, NOTE, 1))
        return [*seen, await self._value(connection, NOTE, 1)]

    async def savepoint(self) -> list[Any]:
        connection = await self._cleared()
        insert = "INSERT INTO notes (id) VALUES (%s)"
        refused = None
        async with connection.transaction():
            await connection.execute(insert, [1])
            try:
                async with connection.transaction():
                    await connection.execute(insert, [1])
            except psycopg.Error as error:
                refused = self.show(error)
            await connection.execute(insert, [2])
        cursor = await connection.execute("SELECT id FROM notes ORDER BY id")
        return [refused, [number for (number,) in await cursor.fetchall()]]

    async def write_when_read_only(self) -> list[Any]:
        connection = await self._connection(autocommit=False)
        await connection.set_read_only(True)
        await connection.execute(NAME, [3])
        refused = await self._refused(connection, "INSERT INTO notes VALUES (1, 'body')")
        await connection.rollback()
        await connection.set_read_only(None)
        return [refused, await self._name(3)]

    async def errors(self) -> list[Any]:
        connection = await self._connection()
        wrong: list[tuple[str, list[Any]]] = [
            ("SELECT 1/0", []),
            ("SELECT * FROM missing", []),
            ("SELEC 1", []),
            ("INSERT INTO kinds (id) VALUES (%s)", [0]),
            ("SELECT name FROM kinds WHERE id = %s::text::int", ["seven"]),
        ]
        refusals = [await self._refused(connection, query, *given) for query, given in wrong]
        return [*refusals, await self._name(3)]

    async def error_in_transaction(self) -> list[Any]:
        connection = await self._connection(autocommit=False)
        await connection.execute(NAME, [3])
        seen = [await self._refused(connection, query) for query in ("SELECT 1/0", "SELECT 1")]
        await connection.rollback()
        return [*seen, await self._name(3)]

    async def write_and_read(self, rounds: int) -> list[Any]:
        connection = await self._cleared()

        async def written(query: str, *parameters: object) -> list[Any]:
            count = (await connection.execute(query, parameters)).rowcount
            return [count, await self._value(connection, NOTE, 1)]

        return [
            await written("INSERT INTO notes VALUES (%s, %s)", 1, "one")
            + await written("UPDATE notes SET body = %s WHERE id = %s", "two", 1)
            + await written("DELETE FROM notes WHERE id = %s", 1)
            for _ in range(rounds)
        ]

    async def returning(self) -> list[Any]:
        connection = await self._cleared()
        cursor = await connection.execute("INSERT INTO notes VALUES (%s, %s) RETURNING id, body", [5, "made"])
        return [list(found) for found in await cursor.fetchall()]

    async def batch(self, count: int) -> list[Any]:
        connection = await self._cleared()
        rows = [(number, f"note {number}") for number in range(count)]
        await connection.cursor().executemany("INSERT INTO notes VALUES (%s, %s)", rows)
        return await self._noted(connection, count)

    async def _noted(self, connection: Connection, count: int) -> list[Any]:
        counted = await self._value(connection, "SELECT count(*) FROM notes")
        return [counted, await self._value(connection, NOTE, count - 1)]

    async def several_statements(self) -> list[Any]:
        connection = await self._connection()
        cursor = await connection.execute("SELECT 1; SELECT name FROM kinds WHERE id = 3; SELECT 2")
        return [[str(value) for (value,) in await result.fetchall()] async for result in cursor.results()]

    async def pipeline_of_both(self) -> list[Any]:
        connection = await self._cleared()
        async with connection.pipeline():
            await connection.execute("INSERT INTO notes VALUES (1, 'one')")
            reads = [await connection.execute(NOTE, [1])]
            await connection.execute("UPDATE notes SET body = 'two' WHERE id = 1")
            reads += [await connection.execute(NOTE, [1]), await connection.execute(NAME, [3])]
            return [(await cursor.fetchone() or [None])[0] for cursor in reads]

    async def pipeline_with_an_error(self) -> list[Any]:
        connection = await self._connection()
        async with connection.pipeline() as line:
            first = await connection.execute(NAME, [3])
            await line.sync()
            refused = None
            try:
                await (await connection.execute("SELECT 1/0")).fetchone()
            except psycopg.Error as error:
                refused = self.show(error)
            await line.sync()
            last = await connection.execute(NAME, [4])
            return [(await first.fetchone() or [None])[0], refused, (await last.fetchone() or [None])[0]]

    async def copy_out(self, count: int) -> str:
        query = f"COPY (SELECT id, name FROM kinds WHERE id BETWEEN 1 AND {count} ORDER BY id) TO STDOUT"
        async with (await self._connection()).cursor().copy(query) as copy:
            return b"".join([bytes(part) async for part in copy]).decode()

    async def pipeline(self, count: int) -> list[Any]:
        connection = await self._connection()
        async with connection.pipeline():
            cursors = [await connection.execute(NAME, [number]) for number in range(1, count + 1)]
            return [(await cursor.fetchone() or [None])[0] for cursor in cursors]

    async def cursor(self, size: int) -> list[Any]:
        connection = await self._connection(autocommit=False)
        async with connection.cursor("in_parts") as server_side:
            server_side.itersize = size
            await server_side.execute("SELECT id FROM kinds WHERE id BETWEEN 1 AND 1000 ORDER BY id")
            numbers = [number for (number,) in await server_side.fetchmany(size)]
            between = await self._value(connection, NAME, 3)
            numbers += [number async for (number,) in server_side]
        await connection.commit()
        return [len(numbers), sum(numbers), between]

    async def copy_in(self, count: int) -> list[Any]:
        connection = await self._cleared()
        async with connection.cursor().copy("COPY notes FROM STDIN") as copy:
            for number in range(count):
                await copy.write_row((number, f"note {number}"))
        return await self._noted(connection, count)

    async def listen(self, *payloads: str) -> list[Any]:
        connection = await self._connection()
        await connection.execute("LISTEN news")
        heard: list[str] = []
        async with await AsyncConnection.connect(URL, autocommit=True) as other:
            for payload in payloads:
                await other.execute("SELECT pg_notify('news', %s)", [payload])
                heard += [told.payload async for told in connection.notifies(timeout=10, stop_after=1)]
        await connection.execute("UNLISTEN news")
        return heard

    async def notice(self) -> list[Any]:
        noticed: list[str | None] = []
        connection = await self._connection()

        def note(told: errors.Diagnostic) -> None:
            noticed.append(told.message_primary)

        connection.add_notice_handler(note)
        await connection.execute("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
        connection.remove_notice_handler(note)
        return noticed

    async def cancel(self) -> list[Any]:
        connection = await self._connection()
        query = asyncio.create_task(self._refused(connection, "SELECT pg_sleep(30)"))
        async with await AsyncConnection.connect(URL, autocommit=True) as other:
            while not await (await other.execute(RUNNING)).fetchall():
                pass
        await connection.cancel_safe()
        return [await query, await self._name(3)]

    async def cancel_by_task(self) -> list[Any]:
        connection = await self._connection()
        query = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
        async with await AsyncConnection.connect(URL, autocommit=True) as other:
            while not await (await other.execute(RUNNING)).fetchall():
                pass
            query.cancel()
            await asyncio.wait([query])
            while await (await other.execute(RUNNING)).fetchall():
                pass
        return [query.cancelled(), await self._name(3)]


if __name__ == "__main__":
    asyncio.run(serve_async(PsycopgAsyncProgram()))
