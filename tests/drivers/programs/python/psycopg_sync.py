"""psycopg 3: the synchronous connection."""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import IsolationLevel, errors

from tests.drivers.programs.python.dbapi import BY_ID, NAME, NOTE, DbapiProgram
from tests.drivers.programs.python.harness import URL, plain_row, serve


class PsycopgProgram(DbapiProgram):
    """Adds preparing, binary formats, pipelines, COPY, LISTEN, notices."""

    def _rows(self, cursor: Any) -> list[Any]:
        return [plain_row(found) for found in cursor.fetchall()]

    def row_simple(self, number: int) -> list[Any]:
        return self._rows(psycopg.ClientCursor(self._connection()).execute(BY_ID, [number]))

    def row_unprepared(self, number: int) -> list[Any]:
        return self._rows(self._connection().execute(BY_ID, [number], prepare=False))

    def row_prepared(self, number: int) -> list[Any]:
        return self._rows(self._connection().execute(BY_ID, [number], prepare=True))

    def row_binary(self, number: int) -> list[Any]:
        return self._rows(self._connection().execute(BY_ID.replace("%s", "%b"), [number], binary=True))

    def _with(self, run: Callable[[], list[Any]], **characteristics: Any) -> list[Any]:
        """Run something in transactions that are other than usual."""
        connection = self._connection(autocommit=False)
        for name, value in characteristics.items():
            setattr(connection, name, value)
        try:
            return run()
        finally:
            connection.rollback()
            connection.read_only = connection.isolation_level = None

    def read_only_transaction(self, number: int) -> list[Any]:
        return self._with(lambda: self._two_reads(number), read_only=True)

    def serializable_transaction(self, number: int) -> list[Any]:
        return self._with(lambda: self._two_reads(number), isolation_level=IsolationLevel.SERIALIZABLE)

    def write_when_read_only(self) -> list[Any]:
        connection = self._connection(autocommit=False)

        def attempt() -> list[Any]:
            self._execute(connection, NAME, 3)
            return [self._refused(lambda: self._insert(connection, 1))]

        return [*self._with(attempt, read_only=True), self._name(3)]

    def savepoint(self) -> list[Any]:
        connection = self._cleared(autocommit=False)
        self._insert(connection, 1)

        def again() -> None:
            with connection.transaction():
                self._insert(connection, 1)

        refused = self._refused(again)
        self._insert(connection, 2)
        connection.commit()
        seen = [number for (number,) in connection.execute("SELECT id FROM notes ORDER BY id")]
        connection.commit()
        return [refused, seen]

    def pipeline(self, count: int) -> list[Any]:
        connection = self._connection()
        with connection.pipeline():
            cursors = [connection.execute(NAME, [number]) for number in range(1, count + 1)]
            return [cursor.fetchone()[0] for cursor in cursors]

    def pipeline_of_both(self) -> list[Any]:
        connection = self._cleared()
        with connection.pipeline():
            self._insert(connection, 1, "one")
            reads = [connection.execute(NOTE, [1])]
            connection.execute("UPDATE notes SET body = 'two' WHERE id = 1")
            reads += [connection.execute(NOTE, [1]), connection.execute(NAME, [3])]
            return [cursor.fetchone()[0] for cursor in reads]

    def pipeline_with_an_error(self) -> list[Any]:
        connection = self._connection()
        with connection.pipeline() as line:
            first = connection.execute(NAME, [3])
            line.sync()
            refused = self._refused(lambda: connection.execute("SELECT 1/0").fetchone())
            line.sync()
            last = connection.execute(NAME, [4])
            return [first.fetchone()[0], refused, last.fetchone()[0]]

    def several_statements(self) -> list[Any]:
        cursor = self._connection().execute("SELECT 1; SELECT name FROM kinds WHERE id = 3; SELECT 2")
        return [[str(value) for (value,) in result.fetchall()] for result in cursor.results()]

    def copy_in(self, count: int) -> list[Any]:
        connection = self._cleared()
        with connection.cursor().copy("COPY notes FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            for number in range(count):
                copy.write_row((number, f"note {number}"))
        return self._noted(connection, count)

    def copy_out(self, count: int) -> str:
        query = f"COPY (SELECT id, name FROM kinds WHERE id BETWEEN 1 AND {count} ORDER BY id) TO STDOUT"
        with self._connection().cursor().copy(query) as copy:
            return b"".join(bytes(part) for part in copy).decode()

    def listen(self, *payloads: str) -> list[Any]:
        connection = self._connection()
        connection.execute("LISTEN news")
        heard = []
        with psycopg.connect(URL, autocommit=True) as other:
            for payload in payloads:
                other.execute("SELECT pg_notify('news', %s)", [payload])
                heard += [told.payload for told in connection.notifies(timeout=10, stop_after=1)]
        connection.execute("UNLISTEN news")
        return heard

    def notice(self) -> list[Any]:
        noticed: list[str | None] = []
        connection = self._connection()

        def note(told: errors.Diagnostic) -> None:
            noticed.append(told.message_primary)

        connection.add_notice_handler(note)
        connection.execute("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
        connection.remove_notice_handler(note)
        return noticed

    def cancel(self) -> list[Any]:
        return [self._cancelled(self._connection().cancel_safe), self._name(3)]


if __name__ == "__main__":
    serve(PsycopgProgram("psycopg", psycopg.__version__, lambda url=URL: psycopg.connect(url), psycopg.Error))
