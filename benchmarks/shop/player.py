"""Plays a trace to a server, one operation after the other, and notes every answer and how many were hits."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b

import psycopg
from psycopg import pq

from benchmarks.shop.counting import HitCounter, Hits
from benchmarks.shop.statements import Statement
from benchmarks.shop.trace import SESSIONS, Operation, Trace

TENTHS = 10
_DIGEST_BYTES = 12
_DONE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


@dataclass
class Played:
    """What came of playing a trace.

    Attributes:
        answers: Of each operation a digest of its rows; None for a write.
        began: When each was sent, in seconds of `time.perf_counter`.
        ended: When each was answered.
        hits: By tenth of the trace.
    """

    answers: list[bytes | None] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    hits: list[Hits] = field(default_factory=list)


class Player:
    """Sessions with a peer.

    Args:
        url: The peer.
        simple: Whether to send simple queries with the values inside, and not the extended protocol with parameters.
    """

    def __init__(self, url: str, *, simple: bool = False) -> None:
        self._simple = simple
        self._closing = ExitStack()
        connections = [self._closing.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(SESSIONS)]
        self._sessions = [connection.pgconn for connection in connections]

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.close()

    def play(self, trace: Trace, counter: HitCounter, *, paced: bool) -> Played:
        """Play a trace.

        Args:
            trace: The operations.
            counter: Counts the hits.
            paced: Whether to wait until each operation is due.

        Raises:
            psycopg.Error: A statement failed.
        """
        played = Played()
        counter.take(Counter())
        for tenth in tenths(len(trace.operations)):
            start = time.perf_counter() - trace.due(tenth.start)
            for index in tenth:
                wait = start + trace.due(index) - time.perf_counter()
                if paced and wait > 0:
                    time.sleep(wait)
                played.began.append(time.perf_counter())
                played.answers.append(self.do(trace.operations[index]))
                played.ended.append(time.perf_counter())
            played.hits.append(counter.take(reads_of(trace, tenth)))
        return played

    def do(self, operation: Operation) -> bytes | None:
        """Do one operation.

        Returns:
            A digest of a read's rows; None for a write.
        """
        session = self._sessions[operation.session]
        if not operation.is_write:
            return _digest(self._run(session, operation.statements[0]))
        if len(operation.statements) == 1:
            self._run(session, operation.statements[0])
            return None
        _checked(session.exec_(b"BEGIN"))
        for each in operation.statements:
            self._run(session, each)
        _checked(session.exec_(b"COMMIT"))
        return None

    def _run(self, session: pq.abc.PGconn, one: Statement) -> pq.abc.PGresult:
        if self._simple:
            return _checked(session.exec_(one.inlined().encode()))
        return _checked(session.exec_params(one.text.encode(), [value.encode() for value in one.values]))


def tenths(count: int) -> Iterator[range]:
    """Cut so many operations into ten parts."""
    for number in range(TENTHS):
        yield range(count * number // TENTHS, count * (number + 1) // TENTHS)


def reads_of(trace: Trace, part: range) -> "Counter[str]":
    """Count the reads of a part of a trace by their kinds."""
    return Counter(trace.operations[index].kind for index in part if not trace.operations[index].is_write)


def run_all(url: str, statements: Sequence[str]) -> None:
    """Run statements on a connection of their own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for each in statements:
            connection.execute(each.encode())


def _checked(result: pq.abc.PGresult) -> pq.abc.PGresult:
    if result.status not in _DONE:
        raise psycopg.OperationalError(f"a statement of the trace failed: {result.error_message.decode()}")
    return result


def _digest(result: pq.abc.PGresult) -> bytes:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for row in range(result.ntuples):
        for column in range(result.nfields):
            value = result.get_value(row, column)
            digest.update(b"-" if value is None else b"%d:%b" % (len(value), value))
        digest.update(b"\n")
    return digest.digest()
