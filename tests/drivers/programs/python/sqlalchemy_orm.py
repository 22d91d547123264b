"""SQLAlchemy 2: the scenarios on a connection of its, which a synchronous or an asynchronous engine gives.

A function gets a fresh connection from the engine's pool, as a request of an application does; SQLAlchemy begins a
transaction by itself at the first statement, and rolls back what is open when the connection returns to the pool.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.drivers.programs.python.harness import (
    COLUMNS,
    PARAMETER_COLUMNS,
    Shown,
    digest,
    parameters_of,
    plain_row,
    shown_error,
)
from tests.drivers.programs.python.sqlalchemy_models import Kind, Note

_AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}


class SqlalchemyProgram:
    """ORM for rows, Core for the rest."""

    version = sqlalchemy.__version__

    def __init__(self, driver: str) -> None:
        self.driver = driver

    def show(self, error: BaseException) -> Shown | None:
        if not isinstance(error, DBAPIError) or error.orig is None:
            return None
        if told := getattr(error.orig, "diag", None):
            return shown_error(
                told.sqlstate, told.message_primary or str(error.orig), told.message_detail, told.constraint_name
            )
        cause: Any = error.orig.__cause__
        return shown_error(cause.sqlstate, cause.message, cause.detail, cause.constraint_name)

    def _refused(self, connection: Connection, statement: Any, parameters: Any = None) -> Shown | None:
        try:
            connection.execute(statement, parameters)
        except DBAPIError as error:
            return self.show(error)
        raise AssertionError("an error was to be expected")

    def _name(self, connection: Connection, number: int) -> Any:
        return connection.scalar(select(Kind.name).where(Kind.id == number))

    def _note(self, connection: Connection, number: int) -> Any:
        return connection.scalar(select(Note.body).where(Note.id == number))

    def _count(self, connection: Connection) -> Any:
        return connection.scalar(select(func.count()).select_from(Note))

    def _cleared(self, connection: Connection) -> None:
        connection.execute(delete(Note))
        connection.commit()

    def session(self, connection: Connection) -> list[Any]:
        query = text("SELECT current_user::text, current_database()::text, current_setting('application_name')")
        return list(connection.execute(query).one())

    def row(self, connection: Connection, number: int) -> list[Any]:
        connection.execution_options(**_AUTOCOMMIT)
        with Session(connection) as session:
            found = session.get(Kind, number)
        return [] if found is None else [plain_row(found.values())]

    def row_raw(self, connection: Connection, number: int) -> list[Any]:
        connection.execution_options(**_AUTOCOMMIT)
        query = text(f"SELECT {COLUMNS} FROM kinds WHERE id = :number")
        return [plain_row(one) for one in connection.execute(query, {"number": number})]

    def large(self, connection: Connection) -> list[Any]:
        connection.execution_options(**_AUTOCOMMIT)
        found = connection.execute(select(Kind.name, Kind.big).where(Kind.id > 0).order_by(Kind.id))
        return digest([tuple(one) for one in found])

    def list_(self, connection: Connection, numbers: list[int]) -> list[Any]:
        connection.execution_options(**_AUTOCOMMIT)
        return list(connection.scalars(select(Kind.name).where(Kind.id.in_(numbers)).order_by(Kind.id)))

    def typed_parameters(self, connection: Connection, number: int) -> list[Any]:
        connection.execution_options(**_AUTOCOMMIT)
        columns = [Kind.__table__.c[name] for name in PARAMETER_COLUMNS]
        query = select(Kind.id).where(
            *(column == bindparam(f"p_{column.name}", type_=column.type) for column in columns)
        )
        values = parameters_of(number)
        given = [
            {f"p_{column.name}": value for column, value in zip(columns, one, strict=True)}
            for one in (values, [number, None, *values[2:]])
        ]
        return [list(connection.scalars(query, one)) for one in given]

    def described(self, connection: Connection) -> list[str]:
        connection.execution_options(**_AUTOCOMMIT)
        query = select(Kind.id, Kind.name, Kind.price, Kind.at, Kind.detail).where(Kind.id == -1)
        return list(connection.execute(query).keys())

    def settings(self, connection: Connection, number: int) -> list[Any]:
        seen = []
        for command in ("RESET TimeZone", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"):
            connection.execute(text(command))
            query = text("SELECT at::text FROM kinds WHERE id = :number")
            seen.append([connection.scalar(query, {"number": number}) for _ in range(3)][-1])
            connection.commit()
        return seen

    def transaction_reads(self, connection: Connection, number: int) -> list[Any]:
        with Session(connection) as session:
            seen = []
            for _ in range(2):
                seen.append(plain_row(session.scalars(select(Kind).where(Kind.id == number)).one().values()))
                session.expire_all()
            session.commit()
        return seen

    def read_only_transaction(self, connection: Connection, number: int) -> list[Any]:
        connection.execution_options(postgresql_readonly=True)
        return self.transaction_reads(connection, number)

    def serializable_transaction(self, connection: Connection, number: int) -> list[Any]:
        connection.execution_options(isolation_level="SERIALIZABLE")
        return self.transaction_reads(connection, number)

    def _counts(self, connection: Connection, end: str) -> list[Any]:
        self._cleared(connection)
        with Session(connection) as session:
            session.add_all([Note(id=number, body="body") for number in (1, 2)])
            session.flush()
            seen = [self._count(connection)]
            getattr(session, end)()
        return [*seen, self._count(connection)]

    def commit(self, connection: Connection) -> list[Any]:
        return self._counts(connection, "commit")

    def rollback(self, connection: Connection) -> list[Any]:
        return self._counts(connection, "rollback")

    def read_then_write(self, connection: Connection) -> list[Any]:
        self._cleared(connection)
        with Session(connection) as session:
            session.add(Note(id=1, body="before"))
            session.commit()
            note = session.get_one(Note, 1)
            seen: list[Any] = [note.body]
            note.body = "after"
            session.flush()
            seen.append(self._note(connection, 1))
            session.commit()
        return [*seen, self._note(connection, 1)]

    def savepoint(self, connection: Connection) -> list[Any]:
        self._cleared(connection)
        again = insert(Note).values(id=1, body="body")
        connection.execute(again)
        refused = None
        try:
            with connection.begin_nested():
                connection.execute(again)
        except DBAPIError as error:
            refused = self.show(error)
        connection.execute(insert(Note).values(id=2, body="body"))
        connection.commit()
        return [refused, list(connection.scalars(select(Note.id).order_by(Note.id)))]

    def write_when_read_only(self, connection: Connection) -> list[Any]:
        connection.execution_options(postgresql_readonly=True)
        self._name(connection, 3)
        refused = self._refused(connection, insert(Note).values(id=1, body="body"))
        connection.rollback()
        return [refused, self._name(connection, 3)]

    def error_in_transaction(self, connection: Connection) -> list[Any]:
        self._name(connection, 3)
        seen = [self._refused(connection, text(query)) for query in ("SELECT 1/0", "SELECT 1")]
        connection.rollback()
        return [*seen, self._name(connection, 3)]

    def errors(self, connection: Connection) -> list[Any]:
        connection.execution_options(**_AUTOCOMMIT)
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("SELECT 1/0", {}),
            ("SELECT * FROM missing", {}),
            ("SELEC 1", {}),
            ("INSERT INTO kinds (id) VALUES (:number)", {"number": 0}),
            ("SELECT name FROM kinds WHERE id = CAST(CAST(:number AS text) AS int)", {"number": "seven"}),
        ]
        return [*(self._refused(connection, text(query), given) for query, given in wrong), self._name(connection, 3)]

    def write_and_read(self, connection: Connection, rounds: int) -> list[Any]:
        self._cleared(connection)

        def written(statement: Any) -> list[Any]:
            count = connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
            connection.commit()
            return [count, self._note(connection, 1)]

        steps: list[Callable[[], Any]] = [
            lambda: insert(Note).values(id=1, body="one"),
            lambda: update(Note).where(Note.id == 1).values(body="two"),
            lambda: delete(Note).where(Note.id == 1),
        ]
        return [[one for step in steps for one in written(step())] for _ in range(rounds)]

    def returning(self, connection: Connection) -> list[Any]:
        self._cleared(connection)
        made = connection.execute(insert(Note).values(id=5, body="made").returning(Note.id, Note.body))
        seen = [list(one) for one in made]
        connection.commit()
        return seen

    def batch(self, connection: Connection, count: int) -> list[Any]:
        self._cleared(connection)
        connection.execute(insert(Note), [{"id": number, "body": f"note {number}"} for number in range(count)])
        connection.commit()
        return [self._count(connection), self._note(connection, count - 1)]

    def cursor(self, connection: Connection, size: int) -> list[Any]:
        query = select(Kind.id).where(Kind.id.between(1, 1000)).order_by(Kind.id)
        streamed = connection.execution_options(yield_per=size).scalars(query)
        numbers = list(streamed.fetchmany(size))
        between = self._name(connection, 3)
        numbers += list(streamed)
        return [len(numbers), sum(numbers), between]
