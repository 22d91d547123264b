"""The faults of the chaos suite's network are what they are called."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.network import Link, Network


def _echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo_one, args=[connection], daemon=True).start()


def _echo_one(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data)


@pytest.fixture
def link() -> Iterator[Link]:
    with socket.create_server(("127.0.0.1", 0)) as listener, Network() as network:
        threading.Thread(target=_echo, args=[listener], daemon=True).start()
        yield network.link(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def _connect(link: Link, timeout_seconds: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout_seconds)


def _answered(connection: socket.socket, data: bytes) -> bool:
    connection.sendall(data)
    found = b""
    while len(found) < len(data):
        if not (piece := connection.recv(65536)):
            return False
        found += piece
    return found == data


def test_what_goes_in_comes_out(link: Link) -> None:
    with _connect(link) as connection:
        assert _answered(connection, b"x" * 300_000)


def test_a_stalled_link_holds_everything_back_and_loses_nothing(link: Link) -> None:
    with _connect(link) as connection:
        assert _answered(connection, b"before")
        link.stall()
        connection.settimeout(0.2)
        connection.sendall(b"held")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        with _connect(link, 0.2) as late:  # the kernel accepts, nobody answers
            late.sendall(b"late")
            with pytest.raises(TimeoutError):
                late.recv(1)
            link.mend()
            connection.settimeout(5)
            late.settimeout(5)
            assert connection.recv(16) == b"held"
            assert late.recv(16) == b"late"


def test_what_was_asked_arrives_while_replies_are_held_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Network() as network:
        link = network.link(listener.getsockname()[1])
        with _connect(link) as connection:
            far, _ = listener.accept()
            with far:
                far.settimeout(5)
                link.stall_replies()
                connection.sendall(b"asked")
                assert far.recv(16) == b"asked"
                link.mend()
                link.stall_questions()
                far.sendall(b"answered")
                assert connection.recv(16) == b"answered"


def test_a_cut_link_resets_connections_and_new_ones_until_it_is_mended(link: Link) -> None:
    with _connect(link) as connection:
        assert _answered(connection, b"before")
        link.cut()
        with pytest.raises(OSError, match="reset"):
            connection.recv(1)
    with pytest.raises(OSError, match="reset"), _connect(link) as connection:
        connection.recv(1)
    link.mend()
    with _connect(link) as connection:
        assert _answered(connection, b"after")


def test_a_slow_link_takes_its_time(link: Link) -> None:
    with _connect(link) as connection:
        link.slow(0.3)
        connection.settimeout(0.3)
        connection.sendall(b"x")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(5)
        assert connection.recv(1) == b"x"
