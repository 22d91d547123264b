"""psycopg2: the simple protocol only, with parameters that the driver writes into the text."""

import io
import select
from importlib.metadata import version
from typing import Any

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_SERIALIZABLE, Notify
from psycopg2.extras import register_uuid

from tests.drivers.programs.python.dbapi import NAME, DbapiProgram
from tests.drivers.programs.python.harness import URL, serve


class Psycopg2Program(DbapiProgram):
    """Adds characteristics of transactions, COPY, LISTEN, notices."""

    def row_simple(self, number: int) -> list[Any]:
        return self.row(number)  # the driver has no other way

    def _with(self, **characteristics: Any) -> Any:
        connection = self._connection(autocommit=False)
        connection.set_session(**characteristics)
        return connection

    def _as_usual(self) -> None:
        connection = self._connection(autocommit=False)
        connection.rollback()
        connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT")

    def read_only_transaction(self, number: int) -> list[Any]:
        self._with(readonly=True)
        seen = self._two_reads(number)
        self._as_usual()
        return seen

    def serializable_transaction(self, number: int) -> list[Any]:
        self._with(isolation_level=ISOLATION_LEVEL_SERIALIZABLE)
        seen = self._two_reads(number)
        self._as_usual()
        return seen

    def write_when_read_only(self) -> list[Any]:
        connection = self._with(readonly=True)
        self._execute(connection, NAME, 3)
        refused = self._refused(lambda: self._insert(connection, 1))
        self._as_usual()
        return [refused, self._name(3)]

    def savepoint(self) -> list[Any]:
        connection = self._cleared(autocommit=False)
        self._insert(connection, 1)
        self._execute(connection, "SAVEPOINT here")
        refused = self._refused(lambda: self._insert(connection, 1))
        self._execute(connection, "ROLLBACK TO SAVEPOINT here")
        self._insert(connection, 2)
        connection.commit()
        seen = [number for (number,) in self._execute(connection, "SELECT id FROM notes ORDER BY id")]
        connection.commit()
        return [refused, seen]

    def copy_in(self, count: int) -> list[Any]:
        connection = self._cleared()
        text = "".join(f"{number}\tnote {number}\n" for number in range(count))
        connection.cursor().copy_expert("COPY notes FROM STDIN", io.StringIO(text))
        return self._noted(connection, count)

    def copy_out(self, count: int) -> str:
        query = f"COPY (SELECT id, name FROM kinds WHERE id BETWEEN 1 AND {count} ORDER BY id) TO STDOUT"
        text = io.StringIO()
        self._connection().cursor().copy_expert(query, text)
        return text.getvalue()

    def listen(self, *payloads: str) -> list[Any]:
        connection, other = self._connection(), self._connected()
        other.autocommit = True
        self._execute(connection, "LISTEN news")
        heard: list[str] = []
        for payload in payloads:
            self._execute(other, "SELECT pg_notify('news', %s)", payload)
            while not connection.notifies:
                select.select([connection], [], [], 10)
                connection.poll()
            told: list[Notify] = connection.notifies
            heard.append(told.pop().payload)
        other.close()
        self._execute(connection, "UNLISTEN news")
        return heard

    def notice(self) -> list[Any]:
        connection = self._connection()
        connection.notices.clear()
        self._execute(connection, "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
        return [told.removeprefix("NOTICE:").strip() for told in connection.notices]

    def cancel(self) -> list[Any]:
        return [self._cancelled(self._connection().cancel), self._name(3)]


if __name__ == "__main__":
    register_uuid()  # type: ignore[no-untyped-call]  # missing in its stubs
    serve(
        Psycopg2Program("psycopg2", version("psycopg2-binary"), lambda url=URL: psycopg2.connect(url), psycopg2.Error)
    )
