"""SQLAlchemy 2 with psycopg."""

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text

from tests.drivers.programs.python.harness import URL, functions_of, serve
from tests.drivers.programs.python.sqlalchemy_orm import SqlalchemyProgram

_program = SqlalchemyProgram("SQLAlchemy, psycopg")


def _engine_of(url: str) -> Engine:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"))


_engine = _engine_of(URL)


def _on_a_connection(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with _engine.connect() as connection:
            return function(connection, *arguments)

    return call


def _connect(url: str) -> list[Any]:
    engine = _engine_of(url)
    try:
        with engine.connect() as connection:
            return [connection.scalar(text("SELECT 1"))]
    finally:
        engine.dispose()


def _pool(connections: int, reads: int) -> list[Any]:
    seen: list[Any] = [None] * connections
    engine = _engine_of(URL)

    def use(place: int) -> None:
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            seen[place] = [_program._name(connection, number) for number in range(1, reads + 1)]

    threads = [threading.Thread(target=use, args=[place]) for place in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    return seen


if __name__ == "__main__":
    functions = {name: _on_a_connection(function) for name, function in functions_of(_program).items()}
    serve(_program, functions | {"connect": _connect, "pool": _pool})
