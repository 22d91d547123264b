r"""Histories as SQL scripts that a person can read, change and feed to psql: what a failure is stored as.

    -- why: a truncated partition is a change of the table above it
    -- since: 14
    -- setup
    CREATE TABLE s1.t (id int PRIMARY KEY);
    -- 0
    BEGIN;
    -- 2 settled
    COPY s1.t FROM STDIN;
    1
    \.

A line `-- N` says on which connection the statement below runs. Every statement is one line.
"""

import re
from collections.abc import Iterator
from itertools import takewhile

from tests.changes.history import CONNECTIONS, History, Step

_HEADING = re.compile(r"-- (?P<on>\d)(?P<settled> settled)?")
_END_OF_DATA = "\\."


class NotationError(ValueError):
    """A file that is no history."""


def write_history(history: History) -> str:
    """Return a history as a script."""
    lines = [f"-- why: {history.why}", f"-- since: {history.since}", "-- setup", *(f"{sql};" for sql in history.setup)]
    for step in history.steps:
        lines += [f"-- {step.on}{' settled' if step.settled else ''}", f"{step.sql};"]
        if step.data is not None:
            lines += [*step.data, _END_OF_DATA]
    return "\n".join(lines) + "\n"


def read_history(text: str) -> History:
    """Read what `write_history` wrote.

    Raises:
        NotationError: It is something else.
    """
    lines = iter(text.splitlines())
    why, since = _after(next(lines, ""), "-- why: "), _after(next(lines, ""), "-- since: ")
    if next(lines, "") != "-- setup":
        raise NotationError("the third line has to be `-- setup`")
    setup: list[str] = []
    steps: list[Step] = []
    for line in lines:
        heading = _HEADING.fullmatch(line)
        if heading:
            steps.append(_read_step(next(lines, ""), lines, heading))
        elif steps or not line.endswith(";"):
            raise NotationError(f"neither `-- N` nor one whole statement: {line}")
        else:
            setup.append(line[:-1])
    return History(tuple(setup), tuple(steps), int(since), why)


def _read_step(line: str, lines: Iterator[str], heading: re.Match[str]) -> Step:
    if not line.endswith(";"):
        raise NotationError(f"not one whole statement: {line}")
    sql, on = line[:-1], int(heading["on"])
    if on >= CONNECTIONS:
        raise NotationError(f"there is no connection {on}")
    data = None
    if is_copy(sql):
        data = tuple(takewhile(lambda row: row != _END_OF_DATA, lines))
    return Step(sql, on, data, settled=bool(heading["settled"]))


def is_copy(sql: str) -> bool:
    """Tell whether a statement takes data."""
    return sql.startswith("COPY ") and sql.endswith("FROM STDIN")


def _after(line: str, begin: str) -> str:
    if not line.startswith(begin):
        raise NotationError(f"a line should begin with {begin!r}: {line}")
    return line.removeprefix(begin)
