"""Answers compared with Postgres's, by the protocol that was measured: a difference voids the run."""

from collections.abc import Iterable

import psycopg
from psycopg import ClientCursor, Connection, Cursor

Read = tuple[str, tuple[object, ...]]
"""A statement with `%s` in it, and its values."""


def wrong_answers(direct_url: str, cached_url: str, reads: Iterable[Read], protocol: str = "extended") -> int:
    """Count reads to which two sides answer differently, while nobody writes. Rows are compared in their order.

    Args:
        direct_url: Postgres.
        cached_url: Through a cache.
        reads: What to ask.
        protocol: As pgbench calls it.
    """
    with connected(direct_url, protocol) as direct, connected(cached_url, protocol) as cached:
        asked, answering = cursor(direct, protocol), cursor(cached, protocol)
        return sum(_answer(asked, read) != _answer(answering, read) for read in reads)


def connected(url: str, protocol: str) -> "Connection[tuple[object, ...]]":
    """Open a connection that sends statements by a protocol, if they are run on its `cursor`."""
    return psycopg.connect(url, autocommit=True, prepare_threshold=0 if protocol == "prepared" else None)


def cursor(connection: "Connection[tuple[object, ...]]", protocol: str) -> "Cursor[tuple[object, ...]]":
    """Return a cursor that sends statements by a protocol."""
    return ClientCursor(connection) if protocol == "simple" else connection.cursor()


def _answer(asking: "Cursor[tuple[object, ...]]", read: Read) -> list[tuple[object, ...]]:
    text, values = read
    return asking.execute(text.encode(), values or None).fetchall()
