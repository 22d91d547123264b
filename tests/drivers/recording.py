"""A relay that keeps what a server sends: for comparing, message by message, what a driver gets with and without us.

Connections are pumped by threads. They have to be in the clear.
"""

import contextlib
import socket
import struct
import threading
from itertools import zip_longest

Messages = list[tuple[bytes, bytes]]
"""Type byte and body."""

_HEADER_BYTES = 5
_CHUNK_BYTES = 1 << 16
_DELETED = b"DELETE "


class RecordingRelay:
    """Listens on a port of the loopback and relays every connection to another one.

    Args:
        target_port: Where to, on 127.0.0.1.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._received: list[bytearray] = []  # by connection
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more; what is connected goes on until one of both sides ends it."""
        self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that accepts
        self._listener.close()

    def messages(self) -> list[Messages]:
        """Return what has been received since `forget`, by connection, without what has to differ."""
        return [messages for received in self._received if (messages := _messages(bytes(received)))]

    def forget(self) -> None:
        """Begin anew, between two messages."""
        for received in self._received:
            received.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self._target_port))
            received = bytearray()
            self._received.append(received)
            threading.Thread(target=_relay, args=(client, server, received), daemon=True).start()


def _relay(client: socket.socket, server: socket.socket, received: bytearray) -> None:
    """Relay one connection until both of its sides have ended."""
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, server:
        other_way = threading.Thread(target=_pump, args=(client, server, bytearray()), daemon=True)
        other_way.start()
        _pump(server, client, received)
        other_way.join()


def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):  # reset by either side
        while chunk := source.recv(_CHUNK_BYTES):
            kept += chunk
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _messages(received: bytes) -> Messages:
    """Return the whole messages, but for those that have to differ."""
    messages: Messages = []
    settings: Messages = []  # their order at the start is no promise
    place = 0
    while len(received) - place >= _HEADER_BYTES or received[place : place + 1] == b"N":
        code, body, after = _message(received, place)
        if after > len(received):
            break
        place = after
        if code == b"S":
            settings.append((code, body))
        elif code not in (b"K", b"R"):  # the key for cancelling; authentication, which is salted
            messages.append((code, body))
    return [*sorted(settings), *messages]


def _message(received: bytes, place: int) -> tuple[bytes, bytes, int]:
    code = received[place : place + 1]
    (length,) = struct.unpack_from("!I", received, place + 1) if len(received) >= place + _HEADER_BYTES else (0,)
    if code == b"N" and (length < 4 or received[place + 1 : place + 2] == b"R"):
        return b"K", b"", place + 1  # the answer to a request for TLS: one byte, no length
    body = received[place + _HEADER_BYTES : place + 1 + length]
    if code == b"A":
        body = body[4:]  # the process id of who notified
    elif code == b"C" and body.startswith(_DELETED):
        body = _DELETED  # how many notes the scenario before has left
    return code, body, place + 1 + length


def first_difference(direct: list[Messages], through: list[Messages]) -> str:
    """Tell where what one server sent first differs from what another one did."""
    nothing: Messages = []
    for left, right in zip_longest(direct, through, fillvalue=nothing):
        for place, (one, other) in enumerate(zip_longest(left, right)):
            if one != other:
                return f"message {place} is {other!r} instead of {one!r}"
    return "what was different has become the same, too late"
