"""What every driver is asked to do, and what it has to see: one list, so that all are held to the same claims.

A scenario calls a function of a client's program (`programs/`), which does it in the way that is usual for its driver
and answers with plain JSON. What it has to answer stands here, in one form for all: numerics and bigints as text,
moments in UTC with a Z, bytes in hexadecimal. Which functions a program has not, and why, stands in `clients.py`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

ROWS = 5000
APPLICATION_NAME = "tidegate ring"

SPOILING = ("search_path", "notice")
"""Functions after which a session's reads may go to Postgres for good.

Statements that were prepared under another search_path mean something else, and those from before a `DO` are not known.
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that a program does.

    Attributes:
        name: Of the claim.
        run: The program's function.
        arguments: Its arguments.
        expected: What it answers.
        hits: How many reads of a repeated call the cache answers, at least.
    """

    name: str
    run: str
    arguments: tuple[Any, ...]
    expected: Any
    hits: int = 0


def row(number: int, name: str | None = None) -> list[Any]:
    """Return one row of `kinds` as programs answer it."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    price = (Decimal(number) * Decimal("1.25")).quantize(Decimal("0.01"))
    return [
        number,
        name or f"name {number}",
        str(price),
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        (date(2026, 1, 1) + timedelta(days=number)).isoformat(),
        str(UUID(hashlib.md5(str(number).encode()).hexdigest())),
        {"n": number},
        "00ff",
        ["a", f"b{number}"],
        number % 2 == 0,
        number / 4,
        str(number * 1_000_000_000_000),
    ]


NULL_ROW = [0, *[None] * 11]


def _error(sqlstate: str, message: str, detail: str | None = None, constraint: str | None = None) -> dict[str, Any]:
    return {"sqlstate": sqlstate, "message": message, "detail": detail, "constraint": constraint}


def _duplicate(table: str, number: int) -> dict[str, Any]:
    constraint = f"{table}_pkey"
    message = f'duplicate key value violates unique constraint "{constraint}"'
    return _error("23505", message, f"Key (id)=({number}) already exists.", constraint)


_DIVISION = _error("22012", "division by zero")
_MISSING = _error("42P01", 'relation "missing" does not exist')
_SYNTAX = _error("42601", 'syntax error at or near "SELEC"')
_INPUT = _error("22P02", 'invalid input syntax for type integer: "seven"')
_FAILED = _error("25P02", "current transaction is aborted, commands ignored until end of transaction block")
_CANCELLED = _error("57014", "canceling statement due to user request")
_READ_ONLY = _error("25006", "cannot execute INSERT in a read-only transaction")
_WRONG = [_DIVISION, _MISSING, _SYNTAX, _duplicate("kinds", 0), _INPUT]


def _large() -> list[Any]:
    names = "\n".join(f"name {number}" for number in range(1, ROWS + 1))
    total = sum(number * 1_000_000_000_000 for number in range(1, ROWS + 1))
    return [ROWS, hashlib.sha256(names.encode()).hexdigest(), str(total)]


def _settings(number: int) -> list[str]:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    utc = moment.strftime("%Y-%m-%d %H:%M:%S+00")
    return [utc, (moment - timedelta(hours=5)).strftime("%Y-%m-%d %H:%M:%S-05"), utc]


def _names(first: int, last: int) -> list[str]:
    return [f"name {number}" for number in range(first, last + 1)]


def _reads() -> Iterator[Scenario]:
    for run in ("row", "row_simple", "row_unprepared", "row_prepared", "row_binary", "row_raw"):
        yield Scenario(run, run, (7,), [row(7)], hits=1)
        yield Scenario(f"{run}_of_nulls", run, (0,), [NULL_ROW], hits=1)
        yield Scenario(f"{run}_empty", run, (-1,), [], hits=1)
    yield Scenario("large", "large", (), _large(), hits=1)
    yield Scenario("list", "list", ([3, 4, 5],), _names(3, 5), hits=1)
    yield Scenario("list_empty", "list", ([],), [])
    yield Scenario("typed_parameters", "typed_parameters", (7,), [[7], []], hits=2)
    yield Scenario("described", "described", (), ["id", "name", "price", "at", "detail"])
    yield Scenario("settings", "settings", (7,), _settings(7))
    yield Scenario("search_path", "search_path", (7,), ["name 7", "other 7", "name 7", "other 7", "name 7"])
    # Each connection's first read may be one that prepares.
    yield Scenario("pool", "pool", (4, 25), [_names(1, 25)] * 4, hits=96)
    yield Scenario("pipeline", "pipeline", (50,), _names(1, 50), hits=50)


def _transactions() -> Iterator[Scenario]:
    for run in ("transaction_reads", "read_only_transaction", "request"):
        yield Scenario(run, run, (7,), [row(7), row(7)], hits=2)
    yield Scenario("serializable_transaction", "serializable_transaction", (7,), [row(7), row(7)])
    yield Scenario("commit", "commit", (), [2, 2])
    yield Scenario("rollback", "rollback", (), [2, 0])
    yield Scenario("read_then_write", "read_then_write", (), ["before", "after", "after"])
    yield Scenario("savepoint", "savepoint", (), [_duplicate("notes", 1), [1, 2]])
    yield Scenario("write_when_read_only", "write_when_read_only", (), [_READ_ONLY, "name 3"])
    yield Scenario("error_in_transaction", "error_in_transaction", (), [_DIVISION, _FAILED, "name 3"])


def _the_rest() -> Iterator[Scenario]:
    yield Scenario("session", "session", (), ["app", "postgres", APPLICATION_NAME])
    yield Scenario("errors", "errors", (), [*_WRONG, "name 3"])
    told = [[one["sqlstate"], one["message"]] for one in _WRONG[:4]]
    yield Scenario("errors_in_other_words", "errors_in_other_words", (), [*told, "name 3"])
    yield Scenario("write_and_read", "write_and_read", (3,), [[1, "one", 1, "two", 1, None]] * 3)
    yield Scenario("returning", "returning", (), [[5, "made"]])
    yield Scenario("batch", "batch", (100,), [100, "note 99"])
    yield Scenario("pipeline_of_both", "pipeline_of_both", (), ["one", "two", "name 3"])
    yield Scenario("pipeline_with_an_error", "pipeline_with_an_error", (), ["name 3", _DIVISION, "name 4"])
    yield Scenario("several_statements", "several_statements", (), [["1"], ["name 3"], ["2"]])
    yield Scenario("cursor", "cursor", (100,), [1000, 500500, "name 3"])
    yield Scenario("copy_in", "copy_in", (1000,), [1000, "note 999"])
    yield Scenario("copy_out", "copy_out", (4,), "".join(f"{number}\tname {number}\n" for number in range(1, 5)))
    yield Scenario("listen", "listen", ("hello", "again"), ["hello", "again"])
    yield Scenario("notice", "notice", (), ["noticed"])
    yield Scenario("cancel", "cancel", (), [_CANCELLED, "name 3"])
    yield Scenario("cancel_by_task", "cancel_by_task", (), [True, "name 3"])


SCENARIOS: tuple[Scenario, ...] = (*_reads(), *_transactions(), *_the_rest())
FUNCTIONS = ("connect", *dict.fromkeys(scenario.run for scenario in SCENARIOS))
"""What a program may be asked for."""
