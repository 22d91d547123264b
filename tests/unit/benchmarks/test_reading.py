"""Clients that only count bytes: they see an answer that is shorter, longer, or ends otherwise."""

import socket
from collections.abc import Iterator

import pytest

from benchmarks.scenarios.reading import READY, Expected, Reader, ReadingError

_ANSWER = b"D" * 5_000 + READY
_EXPECTED = Expected(b"ask", len(_ANSWER), b"")


@pytest.fixture
def pair() -> Iterator[tuple[Reader, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield Reader(ours), theirs


def test_an_answer_is_read_in_pieces(pair: tuple[Reader, socket.socket]) -> None:
    reader, server = pair
    reader.ask(_EXPECTED)
    assert server.recv(100) == b"ask"
    server.sendall(_ANSWER)
    reader.take_all(bytearray(999))
    assert reader.idle
    reader.ask(_EXPECTED)
    server.sendall(_ANSWER)
    reader.take_all(bytearray(2))
    assert reader.idle


@pytest.mark.parametrize("answer", [b"D" * (len(_ANSWER) - 6) + b"E" * 6, _ANSWER + b"D", b"D" + _ANSWER])
def test_another_answer_is_seen(pair: tuple[Reader, socket.socket], answer: bytes) -> None:
    reader, server = pair
    reader.ask(_EXPECTED)
    server.sendall(answer)
    with pytest.raises(ReadingError, match="another length"):
        reader.take_all(bytearray(1 << 16))


def test_a_connection_that_ends_is_seen(pair: tuple[Reader, socket.socket]) -> None:
    reader, server = pair
    reader.ask(_EXPECTED)
    server.sendall(_ANSWER[:-1])
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(ReadingError, match="1 bytes before the end"):
        reader.take_all(bytearray(1 << 16))
