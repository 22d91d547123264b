"""What the drivers of Python's DB-API have in common: psycopg 3 and psycopg2, both with a BEGIN of their own."""

import threading
from collections.abc import Callable
from typing import Any

from tests.drivers.programs.python.harness import (
    COLUMNS,
    PARAMETER_COLUMNS,
    RUNNING,
    Shown,
    digest,
    parameters_of,
    plain_row,
    shown_error,
)

BY_ID = f"SELECT {COLUMNS} FROM kinds WHERE id = %s"
NAME = "SELECT name FROM kinds WHERE id = %s"
NOTE = "SELECT body FROM notes WHERE id = %s"


class DbapiProgram:
    """Reads in autocommit, transactions as the driver opens them: by the first query.

    Args:
        driver: Its name.
        version: Its version.
        connected: Opens a connection to the program's database, or to the one at a URL.
        error: The driver's base class of errors.
    """

    def __init__(self, driver: str, version: str, connected: Callable[..., Any], error: type[Exception]) -> None:
        self.driver = driver
        self.version = version
        self._connected = connected
        self._error = error
        self._kept: dict[bool, Any] = {}

    def show(self, error: BaseException) -> Shown | None:
        if not isinstance(error, self._error):
            return None
        told = getattr(error, "diag", None)
        if told is None:
            return shown_error(None, str(error), None, None)
        message = told.message_primary or str(error)
        return shown_error(told.sqlstate, message, told.message_detail, told.constraint_name)

    def _connection(self, autocommit: bool = True) -> Any:
        if autocommit not in self._kept:
            self._kept[autocommit] = connection = self._connected()
            connection.autocommit = autocommit
        return self._kept[autocommit]

    def _execute(self, connection: Any, query: str, *parameters: object) -> Any:
        cursor = connection.cursor()
        cursor.execute(query, parameters or None)
        return cursor

    def _value(self, connection: Any, query: str, *parameters: object) -> Any:
        found = self._execute(connection, query, *parameters).fetchone()
        return found and found[0]

    def _name(self, number: int) -> Any:
        return self._value(self._connection(), NAME, number)

    def _refused(self, attempt: Callable[[], object]) -> Shown | None:
        try:
            attempt()
        except self._error as error:
            return self.show(error)
        raise AssertionError("an error was to be expected")

    def _refusal(self, connection: Any, query: str, *parameters: object) -> Shown | None:
        return self._refused(lambda: self._execute(connection, query, *parameters))

    def _cleared(self, autocommit: bool = True) -> Any:
        """Return a connection, with no notes."""
        connection = self._connection(autocommit)
        self._execute(connection, "DELETE FROM notes")
        connection.commit()
        return connection

    def _insert(self, connection: Any, number: int, body: str = "body") -> None:
        self._execute(connection, "INSERT INTO notes (id, body) VALUES (%s, %s)", number, body)

    def connect(self, url: str) -> list[Any]:
        connection = self._connected(url)
        try:
            return [self._value(connection, "SELECT 1")]
        finally:
            connection.close()

    def session(self) -> list[Any]:
        query = "SELECT current_user, current_database(), current_setting('application_name')"
        return list(self._execute(self._connection(), query).fetchone())

    def row(self, number: int) -> list[Any]:
        return [plain_row(found) for found in self._execute(self._connection(), BY_ID, number).fetchall()]

    def large(self) -> list[Any]:
        return digest(self._execute(self._connection(), "SELECT name, big FROM kinds WHERE id > 0 ORDER BY id"))

    def list_(self, numbers: list[int]) -> list[Any]:
        query = "SELECT name FROM kinds WHERE id = ANY(%s) ORDER BY id"
        return [name for (name,) in self._execute(self._connection(), query, numbers)]

    def typed_parameters(self, number: int) -> list[Any]:
        condition = " AND ".join(f"{column} = %s" for column in PARAMETER_COLUMNS)
        values = parameters_of(number)
        query = f"SELECT id FROM kinds WHERE {condition}"
        found = [self._execute(self._connection(), query, *given) for given in (values, [number, None, *values[2:]])]
        return [[one for (one,) in cursor] for cursor in found]

    def described(self) -> list[str]:
        query = "SELECT id, name, price, at, detail FROM kinds WHERE id = %s"
        return [column[0] for column in self._execute(self._connection(), query, -1).description]

    def settings(self, number: int) -> list[Any]:
        connection = self._connection()
        seen = []
        for command in ("", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"):
            if command:
                self._execute(connection, command)
            seen.append(
                [self._value(connection, "SELECT at::text FROM kinds WHERE id = %s", number) for _ in range(3)][-1]
            )
        return seen

    def search_path(self, number: int) -> list[Any]:
        seen = []
        for command in ("RESET search_path", "SET search_path TO other, public") * 2:
            self._execute(self._connection(), command)
            seen.append([self._name(number) for _ in range(3)][-1])
        self._execute(self._connection(), "RESET search_path")
        return [*seen, self._name(number)]

    def pool(self, connections: int, reads: int) -> list[Any]:
        seen: list[Any] = [None] * connections

        def use(place: int) -> None:
            connection = self._connected()
            connection.autocommit = True
            seen[place] = [self._value(connection, NAME, number) for number in range(1, reads + 1)]
            connection.close()

        threads = [threading.Thread(target=use, args=[place]) for place in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return seen

    def _two_reads(self, number: int) -> list[Any]:
        connection = self._connection(autocommit=False)
        try:
            return [plain_row(self._execute(connection, BY_ID, number).fetchone()) for _ in range(2)]
        finally:
            connection.commit()

    def transaction_reads(self, number: int) -> list[Any]:
        return self._two_reads(number)

    def _counts(self, end: str) -> list[Any]:
        connection = self._cleared(autocommit=False)
        self._insert(connection, 1)
        self._insert(connection, 2)
        seen = [self._value(connection, "SELECT count(*) FROM notes")]
        getattr(connection, end)()
        seen.append(self._value(connection, "SELECT count(*) FROM notes"))
        connection.commit()
        return seen

    def commit(self) -> list[Any]:
        return self._counts("commit")

    def rollback(self) -> list[Any]:
        return self._counts("rollback")

    def read_then_write(self) -> list[Any]:
        connection = self._cleared(autocommit=False)
        self._insert(connection, 1, "before")
        connection.commit()
        seen = [self._value(connection, NOTE, 1)]
        self._execute(connection, "UPDATE notes SET body = 'after' WHERE id = %s", 1)
        for _ in range(2):
            seen.append(self._value(connection, NOTE, 1))
            connection.commit()
        return seen

    def error_in_transaction(self) -> list[Any]:
        connection = self._connection(autocommit=False)
        self._execute(connection, NAME, 3)
        seen = [self._refusal(connection, query) for query in ("SELECT 1/0", "SELECT 1")]
        connection.rollback()
        seen.append(self._value(connection, NAME, 3))
        connection.rollback()
        return seen

    def errors(self) -> list[Any]:
        wrong: list[tuple[str, list[Any]]] = [
            ("SELECT 1/0", []),
            ("SELECT * FROM missing", []),
            ("SELEC 1", []),
            ("INSERT INTO kinds (id) VALUES (%s)", [0]),
            ("SELECT name FROM kinds WHERE id = %s::text::int", ["seven"]),
        ]
        connection = self._connection()
        return [*(self._refusal(connection, query, *given) for query, given in wrong), self._name(3)]

    def write_and_read(self, rounds: int) -> list[Any]:
        connection = self._cleared()

        def written(query: str, *parameters: object) -> list[Any]:
            return [self._execute(connection, query, *parameters).rowcount, self._value(connection, NOTE, 1)]

        return [
            written("INSERT INTO notes VALUES (%s, %s)", 1, "one")
            + written("UPDATE notes SET body = %s WHERE id = %s", "two", 1)
            + written("DELETE FROM notes WHERE id = %s", 1)
            for _ in range(rounds)
        ]

    def returning(self) -> list[Any]:
        query = "INSERT INTO notes VALUES (%s, %s) RETURNING id, body"
        return [list(found) for found in self._execute(self._cleared(), query, 5, "made")]

    def batch(self, count: int) -> list[Any]:
        connection = self._cleared()
        rows = [(number, f"note {number}") for number in range(count)]
        connection.cursor().executemany("INSERT INTO notes VALUES (%s, %s)", rows)
        return self._noted(connection, count)

    def _noted(self, connection: Any, count: int) -> list[Any]:
        return [self._value(connection, "SELECT count(*) FROM notes"), self._value(connection, NOTE, count - 1)]

    def cursor(self, size: int) -> list[Any]:
        connection = self._connection(autocommit=False)
        server_side = connection.cursor("in_parts")
        server_side.itersize = size
        server_side.execute("SELECT id FROM kinds WHERE id BETWEEN 1 AND 1000 ORDER BY id")
        numbers = [number for (number,) in server_side.fetchmany(size)]
        between = self._value(connection, NAME, 3)
        numbers += [number for (number,) in server_side]
        server_side.close()
        connection.commit()
        return [len(numbers), sum(numbers), between]

    def _cancelled(self, cancel: Callable[[], object]) -> Shown | None:
        """Run a long query, and cancel it once it runs."""

        def when_running() -> None:
            other = self._connected()
            other.autocommit = True
            while not self._execute(other, RUNNING).fetchall():
                pass
            other.close()
            cancel()

        thread = threading.Thread(target=when_running)
        thread.start()
        refused = self._refused(lambda: self._execute(self._connection(), "SELECT pg_sleep(30)"))
        thread.join()
        return refused
