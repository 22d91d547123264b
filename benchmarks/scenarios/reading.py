"""Clients that cost next to nothing: they know how long an answer is, and only count its bytes.

What an answer says is compared once, by digest; from then on length and end have to be the same.
"""

import hashlib
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.shared.pgwire.frontend import Query
from tests.integration.wire_client import WireClient, raw

READY = b"Z\x00\x00\x00\x05I"
"""How every answer outside a block ends."""

_BUFFER_BYTES = 1 << 20
_ANSWER_SECONDS = 60.0


class ReadingError(Exception):
    """An answer is not what it was."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A statement and its whole answer on the wire.

    Attributes:
        request: The statement as a simple query.
        size: Bytes of the answer.
        digest: Its SHA-256.
    """

    request: bytes
    size: int
    digest: bytes


def expected_answer(url: str, sql: str) -> Expected:
    """Ask once, and keep what the answer is like."""
    with WireClient(url).start() as client:
        answer = raw(client.query(sql))
    return Expected(Query(sql.encode()).encode(), len(answer), hashlib.sha256(answer).digest())


def wrong_answers(url: str, expected: Sequence[Expected], times: int = 3) -> int:
    """Ask each several times (forwarded, then from the cache where there is one) and count what differs."""
    wrong = 0
    with WireClient(url).start() as client:
        for one in expected:
            for _ in range(times):
                client.send(one.request)
                wrong += hashlib.sha256(raw(client.read_until("Z"))).digest() != one.digest
    return wrong


class Reader:
    """One client with one answer under way."""

    def __init__(self, logged_in: socket.socket) -> None:
        self.socket = logged_in
        self._left = 0
        self._end = bytearray()

    @property
    def idle(self) -> bool:
        """Whether no answer is under way."""
        return self._left == 0

    def ask(self, expected: Expected) -> None:
        """Send a statement."""
        self.socket.sendall(expected.request)
        self._left = expected.size
        self._end.clear()

    def take(self, buffer: bytearray) -> int:
        """Read what there is, and return how much.

        Raises:
            ReadingError: The answer is shorter or longer than it was, or ends otherwise.
        """
        count = self.socket.recv_into(buffer)
        if not count:
            raise ReadingError(f"the connection ended {self._left} bytes before the end of an answer")
        self._left -= count
        self._end += buffer[max(0, count - len(READY)) : count]
        del self._end[: -len(READY)]
        if self._left < 0 or (self._left == 0 and self._end != READY):
            raise ReadingError("an answer has another length than Postgres's")
        return count

    def take_all(self, buffer: bytearray) -> None:
        """Read to the end of the answer."""
        while not self.idle:
            self.take(buffer)


@contextmanager
def readers(url: str, count: int) -> Iterator[list[Reader]]:
    """Log several clients in."""
    opened: list[Reader] = []
    try:
        for _ in range(count):
            opened.append(Reader(WireClient(url).start().socket))
        yield opened
    finally:
        for reader in opened:
            reader.socket.close()


def bytes_a_second(url: str, expected: Sequence[Expected], clients: int, seconds: float) -> float:
    """Have clients read one answer after the other, and return how many bytes came in a second, all together."""
    buffer = bytearray(_BUFFER_BYTES)
    received, asked = 0, 0
    with readers(url, clients) as reading, selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for reader in reading:
            reader.ask(expected[asked % len(expected)])
            asked += 1
            selector.register(reader.socket, selectors.EVENT_READ, reader)
        while selector.get_map():
            for reader in _readable(selector):
                received += reader.take(buffer)
                if not reader.idle:
                    continue
                if time.perf_counter() - began < seconds:
                    reader.ask(expected[asked % len(expected)])
                    asked += 1
                else:
                    selector.unregister(reader.socket)
        return received / (time.perf_counter() - began)


def read_beside_a_sleeper(url: str, expected: Expected, clients: int, rounds: int) -> None:
    """Have clients read several answers each while one asks and does not read; then that one reads, too."""
    buffer = bytearray(_BUFFER_BYTES)
    with readers(url, clients) as reading, selectors.DefaultSelector() as selector:
        sleeper, *others = reading
        sleeper.ask(expected)
        for _ in range(rounds):
            for reader in others:
                reader.ask(expected)
                selector.register(reader.socket, selectors.EVENT_READ, reader)
            while selector.get_map():
                for reader in _readable(selector):
                    reader.take(buffer)
                    if reader.idle:
                        selector.unregister(reader.socket)
        sleeper.take_all(buffer)


def _readable(selector: selectors.BaseSelector) -> Iterator[Reader]:
    ready = selector.select(_ANSWER_SECONDS)
    if not ready:
        raise ReadingError(f"{len(selector.get_map())} clients have waited {_ANSWER_SECONDS:g} s for an answer")
    for key, _ in ready:
        reader: Reader = key.data
        yield reader
