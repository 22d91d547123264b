"""What happens to a database, as a value that can be made, shrunk, written down and played again.

A history is a script: statements that make tables, then steps on one to four connections. What a step does when it is
played is up to Postgres: it may fail, or find nothing to do. So any part of a history is a history too.
"""

from dataclasses import dataclass

CONNECTIONS = 4
"""Connections of a history. The first goes through the proxy, the others around it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement.

    Attributes:
        sql: Its text, on one line.
        on: Number of the connection.
        data: Lines for a `COPY … FROM STDIN`; None for anything else.
        settled: Afterwards, wait until every table that can be followed is.
    """

    sql: str
    on: int = 0
    data: tuple[str, ...] | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What is played.

    Attributes:
        setup: Statements before the first step, each on one line.
        steps: In order.
        since: The oldest major version of Postgres that it makes sense on.
        why: What a stored one proves.
    """

    setup: tuple[str, ...]
    steps: tuple[Step, ...]
    since: int = 14
    why: str = ""
