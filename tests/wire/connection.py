"""One connection that plays its part of a stream: sends without minding what comes, and reads what is due."""

import select
import time
from collections.abc import Sequence

from services.shared.pgwire.startup import VERSION_3_0
from tests.integration.wire_client import Answer, WireClient
from tests.wire.due import Due
from tests.wire.stream import Message, Step

_PACKET_GAP_SECONDS = 0.001  # so that what is cut arrives in pieces, mostly
_READ_BYTES = 1 << 20
_STARTUP = (("options", "-c lock_timeout=500ms -c statement_timeout=20s"), ("application_name", "wire"))


class PlayingConnection:
    """A session and what was said in it.

    Attributes:
        client: The connection.
        heard: Every message of the server, in order, from the greeting on.
        silent: An answer that was due did not come.
    """

    def __init__(self, url: str, startup: Sequence[tuple[str, str]], patience: float) -> None:
        """Begin a session.

        Args:
            url: Of the database.
            startup: Pairs of the start-up packet; they count more than the URL and the usual ones.
            patience: Seconds to wait for what is due.
        """
        self.client = WireClient(url).start(VERSION_3_0, (*_STARTUP, *startup))
        self.heard: list[Answer] = list(self.client.greeting)
        self.silent = False
        self._due = Due()
        self._patience = patience

    @property
    def ended(self) -> bool:
        """Whether the server has closed it."""
        return self._due.ended

    @property
    def pid(self) -> int:
        """The process that BackendKeyData named."""
        (key,) = [answer for answer in self.heard if answer.kind == "K"]
        return int.from_bytes(key.body[:4], "big")

    def play(self, step: Step) -> None:
        """Send a step; read what is due unless it is sent ahead."""
        if self.ended or self.silent:
            return
        self._note(step.messages)
        for number, packet in enumerate(step.packets()):
            if number:
                time.sleep(_PACKET_GAP_SECONDS)
            self._send(packet)
        if not step.ahead:
            self.catch_up()

    def catch_up(self) -> None:
        """Read until everything has come that was asked for."""
        until = time.monotonic() + self._patience
        while not self._due.settled and not self.silent:
            left = until - time.monotonic()
            if left <= 0 or not self._read(left):
                self.silent = True

    def leave(self) -> None:
        """Say goodbye, and read whatever is still said."""
        if not self.ended and not self.silent:
            self._send(b"X\0\0\0\4")
            until = time.monotonic() + self._patience
            while not self.ended:
                left = until - time.monotonic()
                if left <= 0 or not self._read(left):
                    self.silent = True
                    break
        self.client.socket.close()

    def _note(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            self._due.send(message.encode())

    def _send(self, packet: bytes) -> None:
        """Send, and read meanwhile: a server that cannot write stops reading."""
        view = memoryview(packet)
        socket = self.client.socket
        while view and not self.ended:
            readable, writable, _ = select.select([socket], [socket], [], self._patience)
            if readable:
                self._read(0.0)
            if writable and not self.ended:
                try:
                    view = view[socket.send(view) :]
                except OSError:
                    self._drain()
            if not readable and not writable:
                self.silent = True
                return

    def _read(self, seconds: float) -> bool:
        """Take what has come, after waiting so long for the first of it; False when nothing has."""
        socket = self.client.socket
        if not select.select([socket], [], [], seconds)[0]:
            return False
        try:
            data = socket.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._due.ended = True
            return True
        for answer in self.client.take(data):
            self.heard.append(answer)
            self._due.hear(answer.kind)
        return True

    def _drain(self) -> None:
        """The server does not listen any more: hear its last words."""
        while not self.ended and self._read(self._patience):
            pass
        self._due.ended = True
