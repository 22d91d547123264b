"""Statements that mean the same in every session and to every Postgres, and what Postgres answers to them. Pure.

Two of them ask whether the connection lives. The others are what pools run behind each user of a connection (asyncpg,
Npgsql); where the session's settings are those that it began with, and it has nothing in Postgres, they do nothing.
"""

from dataclasses import dataclass

from services.shared.pgwire.backend import (
    EMPTY_QUERY_RESPONSE,
    NO_DATA,
    Column,
    CommandComplete,
    DataRow,
    RowDescription,
)

_BLANK = b" \t\r\n\f\v"
_INT4, _VOID = 23, 2278


@dataclass(frozen=True, slots=True)
class Known:
    """A statement whose answer is known.

    Attributes:
        values: Of its only column, as text and in binary; none: it has no rows.
    """

    values: tuple[bytes, ...] = ()

    def describe(self, result_format: int) -> bytes:
        """Return what describes its rows."""
        if not self.values:
            return NO_DATA
        return RowDescription((Column("?column?", 0, 0, _INT4, 4, -1, result_format),)).encode()

    def run(self, result_format: int) -> bytes:
        """Return the rows and their end."""
        if not self.values:
            return EMPTY_QUERY_RESPONSE
        return DataRow((self.values[result_format == 1],)).encode() + CommandComplete("SELECT 1").encode()


EMPTY = Known()
_ONE = Known((b"1", b"\0\0\0\1"))

_UNLOCKED = b"".join(
    (
        RowDescription((Column("pg_advisory_unlock_all", 0, 0, _VOID, 4, -1, 0),)).encode(),
        DataRow((b"",)).encode(),
        CommandComplete("SELECT 1").encode(),
    )
)
_TIDYING = {
    b"select pg_advisory_unlock_all()": _UNLOCKED,
    b"close all": CommandComplete("CLOSE CURSOR ALL").encode(),
    b"unlisten *": CommandComplete("UNLISTEN").encode(),
    b"reset all": CommandComplete("RESET").encode(),
    b"set session authorization default": CommandComplete("SET").encode(),
    b"discard sequences": CommandComplete("DISCARD SEQUENCES").encode(),
    b"discard temp": CommandComplete("DISCARD TEMP").encode(),
}


def known_statement(sql: bytes) -> Known | None:
    """Return a statement whose answer is always the same; None for all others."""
    bare = sql.strip(_BLANK + b";")
    if not bare:
        return EMPTY
    return _ONE if bare.lower() == b"select 1" else None


def tidy_up(sql: bytes) -> bytes | None:
    """Return the answer to a simple query that does nothing but tidy up; None for all others."""
    statements = [one.strip(_BLANK).lower() for one in sql.split(b";")]
    replies = [_TIDYING.get(one) for one in statements if one]
    known = [reply for reply in replies if reply is not None]
    return b"".join(known) if known and len(known) == len(replies) else None
