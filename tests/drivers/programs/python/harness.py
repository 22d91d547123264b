"""The loop of every Python program: a line in, a call, a line out. See `tests/drivers/programs/__init__.py`."""

import asyncio
import datetime as dt
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

COLUMNS = "id, name, price, at, day, code, detail, body, tags, paid, weight, big"
PARAMETER_COLUMNS = ("id", "name", "price", "at", "day", "code", "body", "tags", "paid", "weight", "big")
RUNNING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'"
URL = os.environ["DATABASE_URL"]

Functions = Mapping[str, Callable[..., Any]]
Shown = dict[str, str | None]


class Program(Protocol):
    """A driver's program: its public methods are the functions (`list_` is called `list`)."""

    driver: str
    version: str

    def show(self, error: BaseException) -> Shown | None:
        """Return an error of Postgres as all programs show it, or None when it is something else."""


def shown_error(sqlstate: str | None, message: str | None, detail: str | None, constraint: str | None) -> Shown:
    """Return an error as every program shows it."""
    return {"sqlstate": sqlstate, "message": message, "detail": detail or None, "constraint": constraint or None}


def plain(value: Any) -> Any:
    """Return a value in the form that all programs share."""
    match value:
        case Decimal() | UUID():
            return str(value)
        case dt.datetime():
            return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case dt.date():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case list() | tuple():
            return [plain(one) for one in value]
        case _:
            return value


def plain_row(values: Sequence[Any]) -> list[Any]:
    """Return a row of `kinds` (`COLUMNS`) as every program shows it."""
    shown = [plain(value) for value in values]
    if isinstance(shown[6], str):
        shown[6] = json.loads(shown[6])  # some drivers leave JSON as text
    shown[11] = None if shown[11] is None else str(shown[11])
    return shown


def digest(rows: Iterable[Sequence[Any]]) -> list[Any]:
    """Return what is told of many rows of name and big: their number, a hash and a sum."""
    pairs = [(name, int(big)) for name, big in rows]
    names = "\n".join(name for name, _ in pairs)
    return [len(pairs), sha256(names.encode()).hexdigest(), str(sum(big for _, big in pairs))]


def parameters_of(number: int) -> list[Any]:
    """Return the values of `PARAMETER_COLUMNS` in a row of `kinds`, each in Python's own type."""
    from tests.drivers.scenarios import row

    _, name, price, at, day, code, _, body, tags, paid, weight, big = row(number)
    return [
        number, name, Decimal(price), dt.datetime.fromisoformat(at), dt.date.fromisoformat(day), UUID(code),
        bytes.fromhex(body), tags, paid, weight, int(big),
    ]  # fmt: skip


def functions_of(program: Program) -> Functions:
    """Return the public methods by name (`list_` is `list`)."""
    names = [name for name in dir(program) if not name.startswith("_") and name not in ("driver", "version", "show")]
    return {name.rstrip("_"): getattr(program, name) for name in names}


def serve(program: Program, functions: Functions | None = None) -> None:
    """Answer calls until the input ends."""
    functions = _introduced(program, functions)
    for line in sys.stdin:
        try:
            _say({"answer": _called(functions, line)})
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has to see it
            _say(_failure(program, error))


async def serve_async(program: Program, functions: Functions | None = None) -> None:
    """Answer calls until the input ends; the functions are coroutine functions, and the loop is free between calls."""
    functions = _introduced(program, functions)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            _say({"answer": await _called(functions, line)})
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has to see it
            _say(_failure(program, error))


def _introduced(program: Program, functions: Functions | None) -> Functions:
    functions = functions_of(program) if functions is None else functions
    _say({"driver": program.driver, "version": program.version, "functions": sorted(functions)})
    return functions


def _called(functions: Functions, line: str) -> Any:
    asked = json.loads(line)
    return functions[asked["run"]](*asked["with"])


def _failure(program: Program, error: Exception) -> dict[str, Any]:
    shown = program.show(error)
    return {"error": shown} if shown else {"crash": "".join(traceback.format_exception(error))}


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
