"""asyncpg: binary formats, prepared statements of its own for everything, COPY, a pool that resets its connections."""

import asyncio
import io
from typing import Any

import asyncpg

from tests.drivers.programs.python.harness import (
    COLUMNS,
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

_BY_ID = f"SELECT {COLUMNS} FROM kinds WHERE id = $1"
_NAME = "SELECT name FROM kinds WHERE id = $1"
_NOTE = "SELECT body FROM notes WHERE id = $1"
_COUNT = "SELECT count(*) FROM notes"
_INSERT = "INSERT INTO notes VALUES ($1, $2)"

Connection = asyncpg.Connection


class AsyncpgProgram:
    """Everything goes by the extended protocol, in binary."""

    driver = "asyncpg"
    version = asyncpg.__version__

    def __init__(self) -> None:
        self._kept: list[Connection] = []
        self._uncached: Connection | None = None

    def show(self, error: BaseException) -> Shown | None:
        if not isinstance(error, asyncpg.PostgresError):
            return None
        return shown_error(error.sqlstate, error.message, error.detail, error.constraint_name)

    async def _connection(self) -> Connection:
        if not self._kept:
            self._kept.append(await asyncpg.connect(URL))
        return self._kept[0]

    async def _cleared(self) -> Connection:
        connection = await self._connection()
        await connection.execute("DELETE FROM notes")
        return connection

    async def _name(self, number: int) -> Any:
        return await (await self._connection()).fetchval(_NAME, number)

    async def _refused(self, connection: Connection, query: str, *parameters: object) -> Shown | None:
        try:
            await connection.fetch(query, *parameters)
        except asyncpg.PostgresError as error:
            return self.show(error)
        raise AssertionError("an error was to be expected")

    async def connect(self, url: str) -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval("SELECT 1")]
        finally:
            await connection.close()

    async def session(self) -> list[Any]:
        query = "SELECT current_user::text, current_database()::text, current_setting('application_name')"
        return list(await (await self._connection()).fetchrow(query) or ())

    async def row(self, number: int) -> list[Any]:
        return [plain_row(tuple(found)) for found in await (await self._connection()).fetch(_BY_ID, number)]

    async def row_binary(self, number: int) -> list[Any]:
        found = await (await self._connection()).fetchrow(_BY_ID, number)  # one row at most, with a row limit
        return [] if found is None else [plain_row(tuple(found))]

    async def row_unprepared(self, number: int) -> list[Any]:
        if self._uncached is None:
            self._uncached = await asyncpg.connect(URL, statement_cache_size=0)
        return [plain_row(tuple(found)) for found in await self._uncached.fetch(_BY_ID, number)]

    async def row_prepared(self, number: int) -> list[Any]:
        statement = await (await self._connection()).prepare(_BY_ID)
        return [plain_row(tuple(found)) for found in await statement.fetch(number)]

    async def large(self) -> list[Any]:
        found = await (await self._connection()).fetch("SELECT name, big FROM kinds WHERE id > 0 ORDER BY id")
        return digest([tuple(one) for one in found])

    async def list_(self, numbers: list[int]) -> list[Any]:
        query = "SELECT name FROM kinds WHERE id = ANY($1) ORDER BY id"
        return [one[0] for one in await (await self._connection()).fetch(query, numbers)]

    async def typed_parameters(self, number: int) -> list[Any]:
        condition = " AND ".join(f"{column} = ${place}" for place, column in enumerate(PARAMETER_COLUMNS, 1))
        query = f"SELECT id FROM kinds WHERE {condition}"
        values = parameters_of(number)
        connection = await self._connection()
        found = [await connection.fetch(query, *given) for given in (values, [number, None, *values[2:]])]
        return [[one[0] for one in rows] for rows in found]

    async def described(self) -> list[str]:
        statement = await (await self._connection()).prepare("SELECT id, name, price, at, detail FROM kinds")
        return [attribute.name for attribute in statement.get_attributes()]

    async def settings(self, number: int) -> list[Any]:
        connection = await self._connection()
        seen = []
        for command in ("RESET TimeZone", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"):
            await connection.execute(command)
            query = "SELECT at::text FROM kinds WHERE id = $1"
            seen.append([await connection.fetchval(query, number) for _ in range(3)][-1])
        return seen

    async def search_path(self, number: int) -> list[Any]:
        connection = await self._connection()
        seen = []
        for command in (*("RESET search_path", "SET search_path TO other, public") * 2, "RESET search_path"):
            await connection.execute(command)
            await connection.reload_schema_state()  # a statement that was prepared before means the other table
            seen.append([await self._name(number) for _ in range(3)][-1])
        return seen

    async def pool(self, connections: int, reads: int) -> list[Any]:
        async with asyncpg.create_pool(URL, min_size=connections, max_size=connections) as pool:

            async def use() -> list[Any]:
                return [await pool.fetchval(_NAME, number) for number in range(1, reads + 1)]

            return list(await asyncio.gather(*(use() for _ in range(connections))))

    async def _two_reads(self, number: int, **characteristics: Any) -> list[Any]:
        connection = await self._connection()
        async with connection.transaction(**characteristics):
            return [plain_row(tuple(await connection.fetchrow(_BY_ID, number) or ())) for _ in range(2)]

    async def transaction_reads(self, number: int) -> list[Any]:
        return await self._two_reads(number)

    async def read_only_transaction(self, number: int) -> list[Any]:
        return await self._two_reads(number, readonly=True)

    async def serializable_transaction(self, number: int) -> list[Any]:
        return await self._two_reads(number, isolation="serializable")

    async def _counts(self, end: str) -> list[Any]:
        connection = await self._cleared()
        transaction = connection.transaction()
        await transaction.start()
        for number in (1, 2):
            await connection.execute(_INSERT, number, "body")
        seen = [await connection.fetchval(_COUNT)]
        await getattr(transaction, end)()
        return [*seen, await connection.fetchval(_COUNT)]

    async def commit(self) -> list[Any]:
        return await self._counts("commit")

    async def rollback(self) -> list[Any]:
        return await self._counts("rollback")

    async def read_then_write(self) -> list[Any]:
        connection = await self._cleared()
        await connection.execute(_INSERT, 1, "before")
        async with connection.transaction():
            seen = [await connection.fetchval(_NOTE, 1)]
            await connection.execute("UPDATE notes SET body = 'after' WHERE id = $1", 1)
            seen.append(await connection.fetchval(_NOTE, 1))
        return [*seen, await connection.fetchval(_NOTE, 1)]

    async def savepoint(self) -> list[Any]:
        connection = await self._cleared()
        refused: Shown | None = None
        async with connection.transaction():
            await connection.execute(_INSERT, 1, "body")
            try:
                async with connection.transaction():
                    await connection.execute(_INSERT, 1, "body")
            except asyncpg.UniqueViolationError as error:
                refused = self.show(error)
            await connection.execute(_INSERT, 2, "body")
        return [refused, [one[0] for one in await connection.fetch("SELECT id FROM notes ORDER BY id")]]

    async def write_when_read_only(self) -> list[Any]:
        connection = await self._connection()
        transaction = connection.transaction(readonly=True)
        await transaction.start()
        await self._name(3)
        refused = await self._refused(connection, _INSERT, 1, "body")
        await transaction.rollback()
        return [refused, await self._name(3)]

    async def error_in_transaction(self) -> list[Any]:
        connection = await self._connection()
        transaction = connection.transaction()
        await transaction.start()
        await self._name(3)
        seen = [await self._refused(connection, "SELECT 1/0"), await self._refused(connection, _NAME, 3)]
        await transaction.rollback()
        return [*seen, await self._name(3)]

    async def errors(self) -> list[Any]:
        connection = await self._connection()
        wrong = ("SELECT 1/0", "SELECT * FROM missing", "SELEC 1")
        seen = [await self._refused(connection, query) for query in wrong]
        seen.append(await self._refused(connection, "INSERT INTO kinds (id) VALUES ($1)", 0))
        seen.append(await self._refused(connection, "SELECT name FROM kinds WHERE id = $1::text::int", "seven"))
        return [*seen, await self._name(3)]

    async def write_and_read(self, rounds: int) -> list[Any]:
        connection = await self._cleared()

        async def written(query: str, *parameters: object) -> list[Any]:
            tag = await connection.execute(query, *parameters)
            return [int(tag.split()[-1]), await connection.fetchval(_NOTE, 1)]

        return [
            await written(_INSERT, 1, "one")
            + await written("UPDATE notes SET body = $1 WHERE id = $2", "two", 1)
            + await written("DELETE FROM notes WHERE id = $1", 1)
            for _ in range(rounds)
        ]

    async def returning(self) -> list[Any]:
        connection = await self._cleared()
        return [list(await connection.fetchrow(f"{_INSERT} RETURNING id, body", 5, "made") or ())]

    async def _noted(self, connection: Connection, count: int) -> list[Any]:
        return [await connection.fetchval(_COUNT), await connection.fetchval(_NOTE, count - 1)]

    async def batch(self, count: int) -> list[Any]:
        connection = await self._cleared()
        await connection.executemany(_INSERT, [(number, f"note {number}") for number in range(count)])
        return await self._noted(connection, count)

    async def cursor(self, size: int) -> list[Any]:
        connection = await self._connection()
        async with connection.transaction():
            query = "SELECT id FROM kinds WHERE id BETWEEN $1 AND $2 ORDER BY id"
            portal = await connection.cursor(query, 1, 1000)
            numbers = [one[0] for one in await portal.fetch(size)]
            between = await self._name(3)
            while found := await portal.fetch(size):
                numbers += [one[0] for one in found]
        return [len(numbers), sum(numbers), between]

    async def copy_in(self, count: int) -> list[Any]:
        connection = await self._cleared()
        records = [(number, f"note {number}") for number in range(count)]
        await connection.copy_records_to_table("notes", records=records)
        return await self._noted(connection, count)

    async def copy_out(self, count: int) -> str:
        query = "SELECT id, name FROM kinds WHERE id BETWEEN 1 AND $1 ORDER BY id"
        text = io.BytesIO()
        await (await self._connection()).copy_from_query(query, count, output=text)
        return text.getvalue().decode()

    async def listen(self, *payloads: str) -> list[Any]:
        connection = await self._connection()
        arrived: asyncio.Queue[Any] = asyncio.Queue()

        def hear(*told: Any) -> None:
            arrived.put_nowait(told[-1])

        await connection.add_listener("news", hear)
        other = await asyncpg.connect(URL)
        heard = []
        for payload in payloads:
            await other.execute("SELECT pg_notify('news', $1)", payload)
            heard.append(await asyncio.wait_for(arrived.get(), 10))
        await other.close()
        await connection.remove_listener("news", hear)
        return heard

    async def notice(self) -> list[Any]:
        noticed: list[Any] = []
        connection = await self._connection()

        def note(_: Any, told: Any) -> None:
            noticed.append(told.message)

        connection.add_log_listener(note)
        await connection.execute("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
        await asyncio.sleep(0)  # it calls listeners soon, not at once
        connection.remove_log_listener(note)
        return noticed

    async def cancel_by_task(self) -> list[Any]:
        connection = await self._connection()
        query = asyncio.create_task(connection.fetch("SELECT pg_sleep(30)"))
        other = await asyncpg.connect(URL)
        while not await other.fetch(RUNNING):
            pass
        query.cancel()
        await asyncio.wait([query])
        while await other.fetch(RUNNING):
            pass
        await other.close()
        return [query.cancelled(), await self._name(3)]


if __name__ == "__main__":
    asyncio.run(serve_async(AsyncpgProgram()))
