"""Answers compared with Postgres's, by the protocol and the very texts that were measured; a wrong one voids the run.

The same text and values as the load's find the same entries of the cache.
"""

from collections.abc import Callable, Iterable

import psycopg
from psycopg import pq

from benchmarks.shop.statements import Statement

Ask = Callable[[Statement], list[list[bytes | None]]]


def wrong_answers(direct_url: str, cached_url: str, reads: Iterable[Statement], protocol: str = "extended") -> int:
    """Count reads to which two sides answer differently, while nobody writes. Rows are compared in their order.

    Args:
        direct_url: Postgres.
        cached_url: Through a cache.
        reads: What to ask.
        protocol: As pgbench calls it.
    """
    with psycopg.connect(direct_url, autocommit=True) as direct, psycopg.connect(cached_url, autocommit=True) as cached:
        right, answer = asking(direct.pgconn, protocol), asking(cached.pgconn, protocol)
        return sum(right(read) != answer(read) for read in reads)


def asking(connection: pq.abc.PGconn, protocol: str) -> Ask:
    """Return what asks by a protocol, as pgbench does: values as text, of no declared type."""
    prepared: dict[str, bytes] = {}

    def ask(read: Statement) -> list[list[bytes | None]]:
        if protocol == "simple":
            return _rows(connection, connection.exec_(read.inlined().encode()))
        values = [value.encode() for value in read.values]
        if protocol == "extended":
            return _rows(connection, connection.exec_params(read.text.encode(), values))
        if read.text not in prepared:
            prepared[read.text] = b"C%d" % len(prepared)
            connection.prepare(prepared[read.text], read.text.encode())
        return _rows(connection, connection.exec_prepared(prepared[read.text], values))

    return ask


def _rows(connection: pq.abc.PGconn, result: pq.abc.PGresult) -> list[list[bytes | None]]:
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise psycopg.DatabaseError(connection.get_error_message())
    return [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
