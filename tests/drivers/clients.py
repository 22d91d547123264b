"""The clients of the ring: how each program is started, and which functions it has not.

What stands here is checked against what the programs say of themselves, and the matrix of `docs/drivers.md` against
both.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.driver_programs import go_command, java_command, node_command

Command = Sequence[str | Path]

_NO_TASKS = "nothing in it is asynchronous"
_NO_REQUESTS = "no framework"
_NO_PIPELINE = "one query at a time"
_NO_SIMPLE = "always the extended protocol"
_ONLY_SIMPLE = "always the simple protocol"
_BY_CONNECTION = "the driver below decides"
_NOT_IN_ORM = "not something the ORM does: the driver below does it"
_OWN_SQL = "it is the driver that is given SQL"
_NO_RESULTS = "the answers of several statements are not shown"
_OWN_WORDS = "errors are shown as Postgres words them"
_ALWAYS_BINARY = "row is in binary already"
_ALWAYS_TEXT = "answers are in text, always"

_DRIVER = {"request": _NO_REQUESTS, "row_raw": _OWN_SQL, "errors_in_other_words": _OWN_WORDS}
_SYNCHRONOUS = {"cancel_by_task": _NO_TASKS}
_ORM = {
    **dict.fromkeys(("row_simple", "row_unprepared", "row_prepared", "row_binary"), _BY_CONNECTION),
    **dict.fromkeys(("pipeline_of_both", "pipeline_with_an_error", "several_statements", "search_path"), _NOT_IN_ORM),
    **dict.fromkeys(("copy_in", "copy_out", "listen", "notice", "cancel", "cancel_by_task"), _NOT_IN_ORM),
}


@dataclass(frozen=True, slots=True)
class Client:
    """One driver, used in one way.

    Attributes:
        name: Of the tests.
        command: Gives the program's command; fetches and compiles it where need be.
        lacks: Functions that the program has not, each with the reason.
        fewer_hits: Hits of a function's call, where it asks less often than others.
        binds: Whether it can be told to bind its login to the TLS channel (`channel_binding=require`).
        environ: Further environment variables of the program.
    """

    name: str
    command: Callable[[], Command]
    lacks: Mapping[str, str]
    fewer_hits: Mapping[str, int] = field(default_factory=dict)
    binds: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _python(module: str) -> Callable[[], Command]:
    return lambda: [sys.executable, "-W", "error", "-m", f"tests.drivers.programs.python.{module}"]


_DJANGO_LACKS = {
    **_ORM,
    **dict.fromkeys(("read_only_transaction", "serializable_transaction", "write_when_read_only"), "a setting"),
    "errors_in_other_words": _OWN_WORDS,
    "pipeline": _NO_PIPELINE,
    "returning": "it returns what it needs by itself",
}
_SQLALCHEMY_LACKS = {
    **_ORM,
    "request": _NO_REQUESTS,
    "errors_in_other_words": _OWN_WORDS,
    "pipeline": _NO_PIPELINE,
}

CLIENTS = (
    Client("psycopg", _python("psycopg_sync"), {**_DRIVER, **_SYNCHRONOUS}),
    Client(
        "psycopg_async",
        _python("psycopg_async"),
        _DRIVER,
    ),
    Client(
        "psycopg2",
        _python("psycopg2_sync"),
        {
            **_DRIVER,
            **_SYNCHRONOUS,
            **dict.fromkeys(("pipeline", "pipeline_of_both", "pipeline_with_an_error"), _NO_PIPELINE),
            **dict.fromkeys(("row_unprepared", "row_prepared"), _ONLY_SIMPLE),
            "row_binary": _ALWAYS_TEXT,
            "several_statements": _NO_RESULTS,
        },
    ),
    Client(
        "asyncpg",
        _python("asyncpg_async"),
        {
            **_DRIVER,
            **dict.fromkeys(("pipeline", "pipeline_of_both", "pipeline_with_an_error"), _NO_PIPELINE),
            "row_simple": _NO_SIMPLE,
            "several_statements": _NO_RESULTS,
            "cancel": "by its task, always",
        },
        binds=False,
    ),
    Client("sqlalchemy", _python("sqlalchemy_sync"), _SQLALCHEMY_LACKS),
    Client("sqlalchemy_async", _python("sqlalchemy_async"), _SQLALCHEMY_LACKS, binds=False),
    Client("django", _python("django_orm"), _DJANGO_LACKS),
    Client("django_server_side", _python("django_orm"), _DJANGO_LACKS, environ={"SERVER_SIDE_BINDING": "1"}),
    Client(
        "node_postgres",
        lambda: node_command("pg.mjs"),
        {**_DRIVER, "cancel_by_task": _NO_TASKS, "row_binary": _ALWAYS_TEXT},
    ),
    Client(
        "postgres_js",
        lambda: node_command("postgres.mjs"),
        {**_DRIVER, "cancel_by_task": _NO_TASKS, "row_binary": _ALWAYS_TEXT},
        binds=False,
    ),
    Client(
        "prisma",
        lambda: node_command("prisma.mjs"),
        {
            **_ORM,
            **dict.fromkeys(("read_only_transaction", "write_when_read_only"), "it has no such transactions"),
            **dict.fromkeys(("savepoint", "error_in_transaction"), "an error ends its transactions"),
            **dict.fromkeys(("cursor", "described", "settings"), _NOT_IN_ORM),
            "errors": "it has its own words: errors_in_other_words",
        },
        fewer_hits={"pipeline": 1, "request": 1, "pool": 25},  # it puts equal queries of one moment together
        binds=False,
    ),
    Client(
        "pgjdbc",
        lambda: java_command("Ring"),
        {
            **_DRIVER,
            **_SYNCHRONOUS,
            **dict.fromkeys(("pipeline", "pipeline_of_both", "pipeline_with_an_error"), "batches are of writes only"),
        },
    ),
    Client("pgx", go_command, {**_DRIVER, **_SYNCHRONOUS}),
)
