"""Turns that are not about a statement: COPY, function calls, what is no protocol, and goodbyes."""

from services.shared.pgwire.frontend import (
    Bind,
    CopyData,
    CopyDone,
    CopyFail,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Terminate,
)
from tests.wire.chance import Chance
from tests.wire.statements import ENDING
from tests.wire.stream import Message, Raw, Step

Turn = list[Step]

_COPIES_IN = (b"COPY scratch FROM STDIN", b"COPY heap (n) FROM STDIN", b"COPY scratch FROM STDIN; SELECT 7")
_COPIES_OUT = (
    b"COPY (TABLE people ORDER BY id) TO STDOUT",
    b"COPY (SELECT id, total FROM orders ORDER BY id) TO STDOUT (FORMAT csv, HEADER)",
    b"COPY (TABLE scratch ORDER BY id) TO STDOUT (FORMAT binary)",
    b"COPY (SELECT 1 / (id - id) FROM people ORDER BY id) TO STDOUT",
    b"COPY missing TO STDOUT",
)
_IGNORED: tuple[Message, ...] = (Flush(), Sync())
_ENDS: tuple[Message, ...] = (CopyDone(), CopyDone(), CopyFail("never mind"), Query(b"SELECT 1"))
_ABS_INT4, _LO_CREATE, _NONE = 1397, 715, 1


def copying(chance: Chance) -> Turn:
    """A COPY in either direction, in either protocol, that goes well or not."""
    if chance.one_in(3):
        return [Step(_ask(chance, chance.pick(_COPIES_OUT), (Sync(),)))]
    sql = chance.pick(_COPIES_IN)
    rows = (b"7\n", b"8\n") if b"heap" in sql else (b"7\t7\tseven\n", b"8\t8\teight\n")
    data: list[Message] = [CopyData(row) for row in rows[: chance.between(0, 2)]]
    if chance.one_in(3):
        data.append(CopyData(b"!\n" if b"heap" in sql else b"!\t1\tbad\n"))
    elif chance.one_in(2):
        data.insert(chance.between(0, len(data)), chance.pick(_IGNORED))
    end = chance.pick(_ENDS)
    ask = _ask(chance, sql, (Flush(),))
    rest: tuple[Message, ...] = (*data, end) if isinstance(ask[0], Query) else (*data, end, Sync())
    return [Step(ask), Step(rest)] if chance.one_in(2) else [Step((*ask, *rest))]


def _ask(chance: Chance, sql: bytes, behind: tuple[Message, ...]) -> tuple[Message, ...]:
    if chance.one_in(2) or b";" in sql:
        return (Query(sql),)
    return (Parse(b"", sql), Bind(b"", b"", (), (), ()), Execute(b""), *behind)


def function_call(chance: Chance) -> Turn:
    """The fast path."""
    calls = (
        FunctionCall(_ABS_INT4, (1,), (b"\xff\xff\xff\xfe",), 1),
        FunctionCall(_ABS_INT4, (0,), (b"-2",), 0),
        FunctionCall(_ABS_INT4, (), (None,), 0),
        FunctionCall(_ABS_INT4, (), (), 0),
        FunctionCall(_NONE, (), (), 0),
        FunctionCall(_LO_CREATE, (), (b"700003",), 0),
    )
    return [Step((chance.pick(calls),))]


# Messages whose length is right and whose body is not: an error, and the session goes on.
_ILL_FORMED = (
    b"D\0\0\0\x06Zx",
    b"E\0\0\0\x06xx",
    b"B\0\0\0\x06xx",
    b"P\0\0\0\x05x",
    b"C\0\0\0\x06Zx",
    b"Q\0\0\0\x08abcd",
)
# What ends the session: no such type, a length that cannot be.
_SENSELESS = (b"y\0\0\0\4", b"p\0\0\0\x05x", b"Q\0\0\0\3", b"S\xff\xff\xff\xff", b"H\0\1\0\0", b"\0\0\0\0\4")


def malformed(chance: Chance) -> Turn:
    """Messages with a body that is none, to a Sync."""
    behind: tuple[tuple[Message, ...], ...] = ((), (Execute(b""),), (Query(b"SELECT 1"),))
    return [Step((Raw(chance.pick(_ILL_FORMED)), *chance.pick(behind), Sync()))]


def ending(chance: Chance) -> Turn:
    """What ends a session: a goodbye, with or without a question before it, Postgres itself, bytes without sense."""
    asked = Query(b"SELECT name FROM people WHERE id = 1")
    ends: tuple[tuple[Message, ...], ...] = (
        (Terminate(),),
        (asked, Terminate()),
        (Query(b"BEGIN"), asked, Terminate()),
        (Query(b"UPDATE people SET age = 2 WHERE id = 2"), Terminate()),
        (Query(ENDING.sql.encode()),),
        (Raw(chance.pick(_SENSELESS)),),
        (asked, Raw(chance.pick(_SENSELESS))),
    )
    return [Step(chance.pick(ends))]
