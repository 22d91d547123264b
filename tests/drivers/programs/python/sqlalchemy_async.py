"""SQLAlchemy 2 with asyncpg, by the asynchronous engine."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, make_url, text
from sqlalchemy.engine import url as urls
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.drivers.programs.python.harness import URL, functions_of, serve_async
from tests.drivers.programs.python.sqlalchemy_orm import SqlalchemyProgram

_program = SqlalchemyProgram("SQLAlchemy, asyncpg")


def _engine_of(url: urls.URL) -> AsyncEngine:
    """Return an engine; asyncpg takes what libpq has in a URL in its own way."""
    query = dict(url.query)
    name = query.pop("application_name", "")
    arguments: dict[str, Any] = {"server_settings": {"application_name": name}}
    if (mode := query.pop("sslmode", "prefer")) == "verify-full":
        arguments["ssl"] = ssl.create_default_context(cafile=str(query.pop("sslrootcert")))
    else:
        arguments["ssl"] = mode
    return create_async_engine(url.set(drivername="postgresql+asyncpg", query=query), connect_args=arguments)


async def _main() -> None:
    engine = _engine_of(make_url(URL))

    def on_a_connection(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            async with engine.connect() as connection:
                return await connection.run_sync(lambda inner: function(inner, *arguments))

        return call

    async def connect(url: str) -> list[Any]:
        other = _engine_of(make_url(url))
        try:
            async with other.connect() as connection:
                return [await connection.scalar(text("SELECT 1"))]
        finally:
            await other.dispose()

    async def pool(connections: int, reads: int) -> list[Any]:
        def read(connection: Connection) -> list[Any]:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            return [_program._name(connection, number) for number in range(1, reads + 1)]

        other = _engine_of(make_url(URL))

        async def use() -> list[Any]:
            async with other.connect() as connection:
                return await connection.run_sync(read)

        seen = await asyncio.gather(*(use() for _ in range(connections)))
        await other.dispose()
        return list(seen)

    functions = {name: on_a_connection(function) for name, function in functions_of(_program).items()}
    await serve_async(_program, functions | {"connect": connect, "pool": pool})


if __name__ == "__main__":
    asyncio.run(_main())
