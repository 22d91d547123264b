"""Conversations with Postgres, whose answers must be the same bytes through the proxy as without it.

A conversation is a list of steps: bytes to send, and what to wait for before the next. Each leaves the database as it
found it, so that it can be held again and compared. They need the table of `SQL`.
"""

from dataclasses import dataclass

from services.shared.pgwire.frontend import (
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
)

SQL = """
CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(10, 2), seen timestamptz, data bytea);
INSERT INTO items
    SELECT i, 'item ' || i, i * 1.25, '2026-01-01 00:00:00+00'::timestamptz + i * interval '1 hour', '\\x00ff'
    FROM generate_series(1, 100) i;
CREATE TABLE numbers (n int);
CREATE TABLE documents (id int PRIMARY KEY, body text);
INSERT INTO documents VALUES (1, repeat('long ', 20000));
"""

_ABS_INT4 = 1397  # OID of pg_catalog.abs(integer)
_INT4, _TEXT = 23, 25


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of client bytes.

    Attributes:
        sent: The bytes.
        kind: Type of the message to wait for afterwards; empty: the end of the connection.
        count: How many of them.
    """

    sent: bytes
    kind: str = "Z"
    count: int = 1


def turn(*messages: FrontendMessage) -> Step:
    """Send messages, and wait for a ReadyForQuery for each that asks for one."""
    count = sum(isinstance(message, Query | Sync | FunctionCall) for message in messages)
    return Step(_bytes(*messages), count=count)


def _part(kind: str, *messages: FrontendMessage, count: int = 1) -> Step:
    return Step(_bytes(*messages), kind, count)


def _bytes(*messages: FrontendMessage) -> bytes:
    return b"".join(message.encode() for message in messages)


def _query(sql: str) -> Query:
    return Query(sql.encode())


def _run(
    sql: str,
    *values: bytes | None,
    name: bytes = b"",
    parameter_formats: tuple[int, ...] = (),
    result_formats: tuple[int, ...] = (),
) -> tuple[FrontendMessage, ...]:
    """Return what runs a statement in the extended protocol, without the Sync."""
    return (
        Parse(name, sql.encode()),
        Bind(b"", name, parameter_formats, values, result_formats),
        Describe(Target.PORTAL, b""),
        Execute(b""),
    )


_COPY_ROWS = CopyData(b"1\n2\n3\n")

CONVERSATIONS: dict[str, list[Step]] = {
    "simple queries": [
        turn(_query("SELECT id, name, price, seen, data FROM items ORDER BY id")),
        turn(_query("SELECT name FROM items WHERE id = 5")),
        turn(_query("SELECT name FROM items WHERE id = 5")),
        turn(_query("SELECT count(*) FROM items WHERE name IS NULL")),
        turn(_query("VALUES (1, NULL), (2, 'two')")),
        turn(_query("SHOW server_version"), _query("SELECT"), _query("TABLE numbers")),
    ],
    "errors and recovery, simple": [
        turn(_query("SELECT 1/0")),
        turn(_query("SELECT * FROM missing")),
        turn(_query("SELEKT"), _query("SELECT 2"), _query("SELECT name FROM items WHERE id = 'x'")),
        turn(_query("SELECT name FROM items WHERE id = 7")),
    ],
    "errors and recovery, extended": [
        turn(*_run("SELECT 1/$1::int", b"0"), Sync()),
        turn(*_run("SELECT * FROM missing"), *_run("SELECT 1"), Sync(), *_run("SELECT 2"), Sync()),
        turn(*_run("SELECT $1::int", b"no number"), Sync()),
        turn(Bind(b"", b"unheard", (), (), ()), Execute(b""), Sync()),
        turn(*_run("SELECT name FROM items WHERE id = $1", b"7"), Sync()),
    ],
    "a pipeline with an error in it": [
        turn(
            *_run("SELECT 1"),
            *_run("INSERT INTO numbers VALUES (1)"),
            *_run("SELECT 1/0"),
            *_run("SELECT 3"),
            Sync(),
            *_run("SELECT count(*) FROM numbers"),
            Sync(),
            _query("SELECT 5"),
        ),
    ],
    "several statements in one query": [
        turn(_query("SELECT 1; SELECT name FROM items WHERE id = 1; SELECT 3")),
        turn(_query("INSERT INTO numbers VALUES (1); SELECT 1/0; SELECT 3")),
        turn(_query("SELECT count(*) FROM numbers")),
        turn(_query("BEGIN; INSERT INTO numbers VALUES (1)"), _query("SELECT * FROM numbers; ROLLBACK; SELECT 9")),
    ],
    "nothing to do": [
        turn(_query("")),
        turn(_query(" ; -- only a comment")),
        turn(*_run(""), Sync()),
        turn(Sync(), Sync()),
        _part("3", Close(Target.PORTAL, b"none"), Flush()),
        turn(Sync()),
    ],
    "notices": [
        turn(_query("DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second %', 2; END $$")),
        turn(_query("DROP TABLE IF EXISTS never_there"), _query("COMMIT"), _query("SELECT 1")),
    ],
    "transactions": [
        turn(_query("BEGIN"), _query("SELECT name FROM items WHERE id = 1"), _query("SELECT 1/0")),
        turn(_query("SELECT name FROM items WHERE id = 1"), _query("ROLLBACK")),
        turn(_query("BEGIN"), _query("UPDATE items SET name = 'changed' WHERE id = 1"), _query("SAVEPOINT a")),
        turn(_query("SELECT 1/0"), _query("ROLLBACK TO a"), _query("SELECT name FROM items WHERE id = 1")),
        turn(_query("ROLLBACK"), _query("SELECT name FROM items WHERE id = 1")),
        turn(_query("BEGIN ISOLATION LEVEL REPEATABLE READ"), *_run("SELECT name FROM items WHERE id = 2"), Sync()),
        turn(_query("COMMIT")),
    ],
    "named statements": [
        turn(Parse(b"s", b"SELECT name FROM items WHERE id = $1"), Describe(Target.STATEMENT, b"s"), Sync()),
        turn(Bind(b"", b"s", (), (b"3",), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(Bind(b"", b"s", (1,), (b"\0\0\0\3",), (1,)), Execute(b""), Sync()),
        turn(Bind(b"", b"s", (), (None,), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(Parse(b"s", b"SELECT 1"), Sync()),
        turn(Bind(b"", b"s", (), (b"3",), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(Close(Target.STATEMENT, b"s"), Sync()),
        turn(Bind(b"", b"s", (), (b"3",), ()), Execute(b""), Sync()),
        turn(Parse(b"s", b"SELECT price FROM items WHERE id = $1", (_INT4,)), Sync()),
        turn(Bind(b"", b"s", (), (b"3",), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(_query("DEALLOCATE s")),
        turn(Bind(b"", b"s", (), (b"3",), ()), Execute(b""), Sync()),
        turn(_query("PREPARE s (int) AS SELECT name FROM items WHERE id = $1"), _query("EXECUTE s(4)")),
        turn(Bind(b"", b"s", (), (b"4",), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(_query("DISCARD ALL"), Bind(b"", b"s", (), (b"4",), ()), Execute(b""), Sync()),
    ],
    "the unnamed statement": [
        turn(Parse(b"", b"SELECT name FROM items WHERE id = $1"), Sync()),
        turn(Bind(b"", b"", (), (b"3",), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(Bind(b"", b"", (), (b"4",), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(*_run("SELECT price FROM items WHERE id = $1", b"3"), Sync()),
        turn(*_run("SELECT price FROM items WHERE id = $1", b"3"), Sync()),
        turn(Bind(b"", b"", (), (b"5",), ()), Describe(Target.PORTAL, b""), Execute(b""), Sync()),
        turn(Describe(Target.STATEMENT, b""), Sync()),
        turn(_query("SELECT name FROM items WHERE id = 5"), _query("SELECT name FROM items WHERE id = 5")),
        turn(Bind(b"", b"", (), (b"5",), ()), Execute(b""), Sync()),
        turn(*_run("SELECT name FROM items WHERE id = $1", b"3"), Sync()),
        turn(Parse(b"", b"SELECT broken FROM items"), Sync()),
        turn(Bind(b"", b"", (), (b"3",), ()), Execute(b""), Sync()),
    ],
    "portals fetched in parts": [
        turn(_query("BEGIN")),
        turn(
            Parse(b"", b"SELECT id, name FROM items ORDER BY id"),
            Bind(b"p", b"", (), (), (1, 0)),
            Execute(b"p", 2),
            Execute(b"p", 3),
            Sync(),
        ),
        turn(Execute(b"p", 2), Sync()),
        turn(_query("SELECT 1"), Describe(Target.PORTAL, b"p"), Execute(b"p", 1), Sync()),
        turn(Close(Target.PORTAL, b"p"), Execute(b"p"), Sync()),
        turn(_query("ROLLBACK"), *_run("SELECT id FROM items ORDER BY id")[:3], Execute(b"", 1), Sync()),
        turn(
            _query("BEGIN"), _query("DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id"), _query("FETCH 3 FROM c")
        ),
        turn(_query("MOVE 5 IN c"), _query("FETCH c"), _query("COMMIT"), _query("FETCH c")),
    ],
    "a turn flushed piece by piece": [
        _part("1", Parse(b"", b"SELECT name FROM items WHERE id = $1"), Flush()),
        _part("T", Describe(Target.STATEMENT, b""), Flush()),
        _part("2", Bind(b"", b"", (), (b"6",), ()), Flush()),
        _part("C", Execute(b""), Flush()),
        turn(Sync()),
        _part("E", Parse(b"", b"SELECT wrong"), Flush()),
        turn(*_run("SELECT 1"), Sync()),
    ],
    "copying in": [
        _part("G", _query("COPY numbers FROM STDIN")),
        Step(_bytes(_COPY_ROWS, CopyData(b"4"), CopyData(b"\n5\n"), CopyDone())),
        turn(_query("SELECT sum(n) FROM numbers"), _query("TRUNCATE numbers")),
        _part("G", _query("COPY numbers FROM STDIN; SELECT 7")),
        Step(_bytes(_COPY_ROWS, Flush(), Sync(), CopyDone())),
        turn(_query("TRUNCATE numbers")),
        _part("G", Parse(b"", b"COPY numbers FROM STDIN"), Bind(b"", b"", (), (), ()), Execute(b""), Flush()),
        Step(_bytes(_COPY_ROWS, CopyDone(), Sync())),
        turn(_query("SELECT count(*) FROM numbers"), _query("TRUNCATE numbers")),
    ],
    "copying in that fails": [
        _part("G", _query("COPY numbers FROM STDIN")),
        Step(_bytes(_COPY_ROWS, CopyData(b"no number\n"), CopyData(b"4\n"), CopyDone())),
        turn(_query("SELECT count(*) FROM numbers")),
        _part("G", _query("COPY numbers FROM STDIN")),
        Step(_bytes(_COPY_ROWS, CopyFail("changed my mind"))),
        turn(_query("SELECT count(*) FROM numbers")),
        _part("G", Parse(b"", b"COPY numbers FROM STDIN"), Bind(b"", b"", (), (), ()), Execute(b""), Flush()),
        Step(_bytes(_COPY_ROWS, CopyData(b"no number\n"), CopyDone(), Sync())),
        _part("G", Parse(b"", b"COPY numbers FROM STDIN"), Bind(b"", b"", (), (), ()), Execute(b""), Flush()),
        Step(_bytes(_COPY_ROWS, CopyFail("never mind"), Sync())),
        turn(_query("SELECT count(*) FROM numbers")),
    ],
    "copying in that was sent ahead": [
        Step(_bytes(_query("COPY numbers FROM STDIN"), _COPY_ROWS, CopyDone(), _query("TRUNCATE numbers")), count=2),
        Step(
            _bytes(
                *_run("COPY numbers FROM STDIN"), Sync(), _COPY_ROWS, CopyDone(), Sync(), _query("TRUNCATE numbers")
            ),
            count=2,
        ),
    ],
    "a query in the middle of copying in": [
        _part("G", _query("COPY numbers FROM STDIN")),
        Step(_bytes(_COPY_ROWS, _query("SELECT 1")), ""),
    ],
    "copying out": [
        turn(_query("COPY items TO STDOUT"), _query("COPY items TO STDOUT (FORMAT binary)"), _query("SELECT 1")),
        turn(*_run("COPY (SELECT id, name FROM items ORDER BY id) TO STDOUT (FORMAT csv)"), Sync()),
        turn(_query("COPY (SELECT 1/(50 - id) FROM items ORDER BY id) TO STDOUT")),
        turn(_query("COPY missing TO STDOUT"), _query("SELECT 2")),
        Step(_bytes(CopyData(b"lost"), CopyDone(), _query("SELECT 'copy messages outside of a copy are ignored'"))),
    ],
    "settings": [
        turn(_query("SET TimeZone = 'Asia/Tokyo'"), _query("SELECT seen FROM items WHERE id = 1")),
        turn(_query("SET DateStyle = 'German'"), _query("SELECT seen FROM items WHERE id = 1")),
        turn(_query("SET bytea_output = escape"), _query("SELECT data FROM items WHERE id = 1")),
        turn(_query("SET client_encoding = 'LATIN1'"), _query("SELECT 'stra\u00dfe', name FROM items WHERE id = 1")),
        turn(_query("RESET ALL"), _query("SELECT seen, data FROM items WHERE id = 1")),
        turn(
            _query("BEGIN"), _query("SET LOCAL TimeZone = 'Asia/Tokyo'"), _query("SELECT seen FROM items WHERE id = 1")
        ),
        turn(_query("COMMIT"), _query("SELECT seen FROM items WHERE id = 1"), _query("SET nonsense = 1")),
    ],
    "large objects": [
        turn(
            _query("BEGIN"), _query("SELECT lo_from_bytea(770077, 'large')"), _query("SELECT lo_open(770077, 131072)")
        ),
        turn(_query("SELECT loread(0, 10)"), _query("SELECT lo_get(770077)"), _query("ROLLBACK")),
        turn(_query("SELECT lo_get(770077)")),
    ],
    "function calls": [
        turn(FunctionCall(_ABS_INT4, (1,), (b"\xff\xff\xff\xfe",), 1)),
        turn(FunctionCall(_ABS_INT4, (0,), (b"-2",), 0), FunctionCall(1, (), (), 0), _query("SELECT 1")),
    ],
    "formats": [
        turn(*_run("SELECT id, price, seen, data FROM items WHERE id = 3", result_formats=(1,)), Sync()),
        turn(*_run("SELECT id, price, seen, data FROM items WHERE id = 3", result_formats=(1, 0, 1, 0)), Sync()),
        turn(*_run("SELECT id FROM items WHERE id = $1", b"\0\0\0\2", parameter_formats=(1,)), Sync()),
        turn(*_run("SELECT id FROM items WHERE id = $1", b"\0\0\2", parameter_formats=(1,)), Sync()),
        turn(*_run("SELECT id FROM items WHERE id = 3", result_formats=(7,)), Sync()),
        turn(*_run("SELECT id FROM items WHERE id = 3", result_formats=(0, 0)), Sync()),
        turn(*_run("SELECT name FROM items WHERE id = $1", b"3"), Sync(), *_run("SELECT $1", b"3"), Sync()),
    ],
    "malformed messages": [
        Step(b"D\0\0\0\x06Zx" + _bytes(Sync())),
        turn(_query("SELECT name FROM items WHERE id = 2")),
        Step(b"E\0\0\0\x06xx" + _bytes(Sync())),
        Step(b"B\0\0\0\x06xx" + _bytes(Sync(), _query("SELECT 1")), count=2),
        Step(b"Q\0\0\0\x0cSELECT 1" + _bytes(_query("SELECT 2")), count=2),
    ],
    "long messages": [
        turn(_query(f"SELECT length('{'x' * 700_000}')"), _query("SELECT repeat('y', 700000)")),
        turn(*_run("SELECT length($1)", b"z" * 700_000), *_run("SELECT repeat($1, 1000)", b"abc" * 200), Sync()),
        turn(_query(f"SELECT 1/0 /* {'x' * 700_000} */"), _query(f"SELECT missing{'x' * 70_000}")),
        _part("G", _query("COPY numbers FROM STDIN")),
        Step(_bytes(CopyData(b"1\n" * 400_000), CopyDone(), _query("TRUNCATE numbers")), count=2),
    ],
    "a session that Postgres ends": [
        turn(_query("SELECT 1")),
        Step(_bytes(_query("SELECT pg_terminate_backend(pg_backend_pid())")), kind=""),
    ],
    "a client that leaves": [
        turn(_query("SELECT 1")),
        Step(b"X\0\0\0\x04", kind=""),
    ],
}
