"""What a connection answers, as a value that can be compared: rows, columns with their types, or the error."""

from collections import Counter
from dataclasses import dataclass

from psycopg import pq

from tests.changes.reads import Read

LOCKED = "55P03"
"""SQLSTATE of a read that would have to wait for a lock."""

_ERROR_FIELDS = (
    pq.DiagnosticField.SQLSTATE,
    pq.DiagnosticField.MESSAGE_PRIMARY,
    pq.DiagnosticField.MESSAGE_DETAIL,
    pq.DiagnosticField.STATEMENT_POSITION,
)
_SHOWN_ROWS, _SHOWN_LENGTH = 4, 40


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        columns: Name, type, modifier, table and column number of each column.
        rows: How often each row is in it: their order is nobody's promise.
        tag: What the command says of itself.
        error: Fields of the error; empty without one.
    """

    columns: tuple[tuple[object, ...], ...] = ()
    rows: frozenset[tuple[tuple[bytes | None, ...], int]] = frozenset()
    tag: bytes = b""
    error: tuple[bytes | None, ...] = ()

    @property
    def is_locked(self) -> bool:
        """Whether it says that there is a lock to wait for."""
        return self.error[:1] == (LOCKED.encode(),)

    def __str__(self) -> str:
        if self.error:
            return " ".join(field.decode() for field in self.error if field is not None)
        names = ", ".join(str(column[0]) for column in self.columns)
        shown = sorted(self.rows, key=repr)[:_SHOWN_ROWS]
        rows = [tuple(None if value is None else value[:_SHOWN_LENGTH] for value in row) for row, _ in shown]
        return f"{self.tag.decode()} ({names}) {rows}"


def ask(connection: pq.abc.PGconn, read: Read) -> Answer:
    """Ask a question that changes nothing."""
    if read.parameters or read.binary:
        values = [value.encode() for value in read.parameters]
        result = connection.exec_params(read.sql.encode(), values, result_format=int(read.binary))
    else:
        result = connection.exec_(read.sql.encode())
    if result.status != pq.ExecStatus.TUPLES_OK:
        return Answer(error=tuple(result.error_field(field) for field in _ERROR_FIELDS))
    width = range(result.nfields)
    columns = tuple(
        (
            (result.fname(column) or b"").decode(),
            result.ftype(column),
            result.fmod(column),
            result.ftable(column),
            result.ftablecol(column),
        )
        for column in width
    )
    rows = Counter(tuple(result.get_value(row, column) for column in width) for row in range(result.ntuples))
    return Answer(columns, frozenset(rows.items()), result.command_status or b"")
