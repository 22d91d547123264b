"""A client that speaks the wire protocol itself, so that a test sees every byte and sends any."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

from services.shared.pgwire.frontend import FrontendMessage, Query, Sync
from services.shared.pgwire.startup import VERSION_3_0, ProtocolVersion, StartupMessage

_HEADER_BYTES = 5
_READ_BYTES = 1 << 20
_ANSWER_SECONDS = 20.0


class ConnectionEnded(Exception):
    """The server closed the connection while more was awaited."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One message from the server.

    Attributes:
        kind: Its type byte, as a character.
        raw: All of its bytes.
    """

    kind: str
    raw: bytes

    @property
    def body(self) -> bytes:
        """What follows type and length."""
        return self.raw[_HEADER_BYTES:]

    @property
    def fields(self) -> dict[str, str]:
        """Of an ErrorResponse or a NoticeResponse: its fields by their code."""
        return {chr(field[0]): field[1:].decode() for field in self.body.split(b"\0") if field}


class WireClient:
    """One connection.

    Attributes:
        socket: For what the methods do not offer.
        greeting: What the server said until the first ReadyForQuery.
    """

    def __init__(self, url: str) -> None:
        """Open the TCP connection to the host of a `postgresql://` URL, and say nothing yet."""
        self._target = conninfo_to_dict(url)
        address = str(self._target["host"]), int(str(self._target["port"]))
        self.socket = socket.create_connection(address, _ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = bytearray()
        self.greeting: list[Answer] = []

    def start(self, version: ProtocolVersion = VERSION_3_0, parameters: Sequence[tuple[str, str]] = ()) -> "WireClient":
        """Begin a session as the URL says, where no password is asked for, and wait until it is ready.

        Args:
            version: The protocol's version to ask for.
            parameters: Further pairs of the start-up packet.
        """
        pairs = (("user", str(self._target["user"])), ("database", str(self._target["dbname"])), *parameters)
        try:
            self.send(StartupMessage(version, pairs))
            self.greeting = self.read_until("Z")
        except BaseException:
            self.socket.close()
            raise
        return self

    def __enter__(self) -> "WireClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, *messages: FrontendMessage | StartupMessage | bytes) -> None:
        """Send messages, or bytes as they are."""
        self.socket.sendall(b"".join(one if isinstance(one, bytes) else one.encode() for one in messages))

    def read(self) -> Answer:
        """Wait for the next message.

        Raises:
            ConnectionEnded: There is none.
        """
        while True:
            answer = self._take()
            if answer is not None:
                return answer
            received = self.socket.recv(_READ_BYTES)
            if not received:
                raise ConnectionEnded(f"with {len(self._data)} bytes of a message")
            self._data += received

    def read_until(self, kind: str, count: int = 1) -> list[Answer]:
        """Read up to and including the `count`-th message of a kind."""
        answers: list[Answer] = []
        while count:
            answers.append(self.read())
            count -= answers[-1].kind == kind
        return answers

    def read_to_end(self) -> list[Answer]:
        """Read until the server closes."""
        answers: list[Answer] = []
        while True:
            try:
                answers.append(self.read())
            except (ConnectionEnded, ConnectionResetError):
                return answers

    def take(self, data: bytes) -> list[Answer]:
        """Take bytes that somebody else read from the socket; return the messages that they complete."""
        self._data += data
        answers: list[Answer] = []
        while (answer := self._take()) is not None:
            answers.append(answer)
        return answers

    def _take(self) -> Answer | None:
        if len(self._data) < _HEADER_BYTES:
            return None
        end = 1 + int.from_bytes(self._data[1:_HEADER_BYTES], "big")
        if len(self._data) < end:
            return None
        answer = Answer(chr(self._data[0]), bytes(self._data[:end]))
        del self._data[:end]
        return answer

    def turns(self, *messages: FrontendMessage) -> list[Answer]:
        """Send whole turns and read all of their answers."""
        self.send(*messages)
        return self.read_until("Z", sum(isinstance(message, Query | Sync) for message in messages))

    def query(self, sql: str) -> list[Answer]:
        """Run a simple query and read its answer."""
        return self.turns(Query(sql.encode()))


def raw(answers: Sequence[Answer]) -> bytes:
    """Return all bytes of some messages."""
    return b"".join(answer.raw for answer in answers)


def rows(answers: Sequence[Answer]) -> list[list[bytes | None]]:
    """Return the values of all rows in some messages."""
    return [_values(answer.body) for answer in answers if answer.kind == "D"]


def _values(body: bytes) -> list[bytes | None]:
    values: list[bytes | None] = []
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        length = int.from_bytes(body[at : at + 4], "big", signed=True)
        at += 4
        values.append(None if length < 0 else body[at : at + length])
        at += max(length, 0)
    return values


def error(answers: Sequence[Answer]) -> dict[str, str]:
    """Return the fields of the only error in some messages."""
    (found,) = [answer.fields for answer in answers if answer.kind == "E"]
    return found
