"""Messages out of a byte stream: one type byte, a length word that counts itself, a body.

`MessageBuffer` collects chunks and gives out runs of complete messages. No length is believed before it is checked
against `MessageLimits`, so a header that announces 2 GiB is refused when its fifth byte arrives and not one byte of its
body is kept.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.errors import MessageTooLong, ProtocolViolation, Unencodable
from services.shared.pgwire.fields import FieldReader

HEADER_BYTES: Final = 5
"""Type byte and length word."""

MIN_LENGTH: Final = 4
"""A length word counts itself."""

LARGE_MESSAGE_LIMIT: Final = 0x3FFFFFFE
"""Postgres's PQ_LARGE_MESSAGE_LIMIT (1 GiB): the longest Query, Parse, Bind, FunctionCall or CopyData that it reads."""

SMALL_MESSAGE_LIMIT: Final = 10_000
"""Postgres's PQ_SMALL_MESSAGE_LIMIT: for messages that carry a name at most."""

AUTH_MESSAGE_LIMIT: Final = 65_535
"""Postgres's PG_MAX_AUTH_TOKEN_LENGTH: passwords, SASL and GSS tokens."""

BACKEND_MESSAGE_LIMIT: Final = 0x3FFFFFFF + MIN_LENGTH
"""A server builds a message in one allocation, which ends at MaxAllocSize (1 GiB - 1)."""

Boundary = tuple[int, int, int]
"""Type byte, offset of the first byte, offset after the last byte."""

HEADER_UNPACK: Final[Callable[[bytes | bytearray, int], tuple[int, int]]] = struct.Struct(">BI").unpack_from
"""Type byte and length word at an offset; unsigned, so that a negative length is seen as too long."""

_HEADER_PACK: Final = struct.Struct(">BI").pack


class MessageLimits:
    """The highest length word per type byte, in bytes, as a table of 256."""

    __slots__ = ("table",)

    def __init__(self, by_type: Mapping[int, int], other: int) -> None:
        """Set the limit of each listed type byte, and `other` for the rest, unknown types included."""
        self.table: Final = tuple(by_type.get(code, other) for code in range(256))


def frontend_limits(large: int = LARGE_MESSAGE_LIMIT) -> MessageLimits:
    """Return Postgres's limits for what clients send, with `large` in place of its 1 GiB."""
    larges = dict.fromkeys("QPBFd", large)
    by_name = {**larges, "p": AUTH_MESSAGE_LIMIT}
    return MessageLimits({ord(name): limit for name, limit in by_name.items()}, SMALL_MESSAGE_LIMIT)


def backend_limits(large: int = BACKEND_MESSAGE_LIMIT) -> MessageLimits:
    """Return limits for what servers send.

    Messages of a fixed length are held to it: a stream that has lost its step is noticed within a few messages.
    """
    bodiless = dict.fromkeys((ord(name) for name in "123ncsI"), MIN_LENGTH)
    return MessageLimits({**bodiless, BackendCode.READY_FOR_QUERY: MIN_LENGTH + 1}, large)


FRONTEND_LIMITS: Final = frontend_limits()
BACKEND_LIMITS: Final = backend_limits()


def bad_length(code: int, length: int) -> ProtocolViolation:
    """Return the error for a length word that is below 4 or above its limit."""
    name = f"{chr(code)!r}" if 32 < code < 127 else f"0x{code:02x}"
    if length < MIN_LENGTH:
        return ProtocolViolation(f"invalid message length {length} (message type {name})")
    return MessageTooLong(f"invalid message length {length}: too long for message type {name}")


def frame(code: int, body: bytes = b"") -> bytes:
    """Put the header in front of a body.

    Raises:
        Unencodable: The body does not fit a length word.
    """
    length = len(body) + MIN_LENGTH
    if length > 0x7FFFFFFF:
        raise Unencodable(f"body of {len(body)} bytes does not fit a length word")
    return _HEADER_PACK(code, length) + body


def open_frame(data: bytes, start: int = 0, end: int | None = None) -> tuple[int, FieldReader]:
    """Return the type byte of the one message `data[start:end]`, and a reader of its body.

    Raises:
        ProtocolViolation: The bytes are not exactly one message.
        ValueError: The bounds do not lie inside the data.
    """
    stop = len(data) if end is None else end
    if not 0 <= start <= stop <= len(data):
        raise ValueError(f"bounds {start}:{stop} outside {len(data)} bytes")
    if stop - start < HEADER_BYTES:
        raise ProtocolViolation("message shorter than its header")
    code, length = HEADER_UNPACK(data, start)
    if start + 1 + length != stop:
        raise ProtocolViolation(f"message length {length} does not match its {stop - start - 1} bytes")
    return code, FieldReader(data, start + HEADER_BYTES, stop)


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A message whose type byte has no decoder here; carried verbatim."""

    code: int
    body: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message as it came."""
        return frame(self.code, self.body)


class Message(NamedTuple):
    """One complete message: its type byte and all of its bytes, header included."""

    code: int
    raw: bytes


class Batch(NamedTuple):
    """Complete messages that lie side by side in `data`, which holds nothing else. False when there are none."""

    data: bytes
    boundaries: list[Boundary]

    def __bool__(self) -> bool:
        return bool(self.boundaries)


_NOTHING: Final = Batch(b"", [])


class MessageBuffer:
    """Collects chunks of one direction of a connection and gives out complete messages, in order.

    A chunk that holds whole messages only is given out as the very object that was fed. Feeding costs are linear in
    the bytes fed, however small the chunks are. At most one message beyond the last chunk is held: `pending` bytes.
    """

    __slots__ = ("_data", "_limits", "_needed", "_partial")

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits.table
        self._data = b""  # a chunk not scanned yet, when nothing older is held
        self._partial = bytearray()  # else: everything held, from a message's first byte on
        self._needed = HEADER_BYTES  # how long the partial must be before it is worth looking at again

    @property
    def pending(self) -> int:
        """How many bytes are held."""
        return len(self._data) + len(self._partial)

    def feed(self, chunk: bytes) -> None:
        """Add bytes as they came from the peer. Checks nothing: `take` does."""
        if self._partial or self._data:
            if self._data:
                self._partial += self._data
                self._data = b""
            self._partial += chunk
        else:
            self._data = chunk

    def take(self) -> Batch:
        """Give out every complete message that is held.

        Complete messages in front of a bad header are given out first; the call after that raises, and so does every
        later one. An empty batch means: feed more.

        Raises:
            ProtocolViolation: A length word is below 4, or above its limit (`MessageTooLong`). The connection is lost.
        """
        if len(self._partial) >= self._needed:
            self._data = bytes(self._partial)
            self._partial.clear()
        data = self._data
        if not data:
            return _NOTHING
        boundaries, stop = self._scan(data)
        if stop == len(data):
            self._data = b""
            return Batch(data, boundaries)
        self._partial += memoryview(data)[stop:]
        self._data = b""
        return Batch(data[:stop], boundaries) if boundaries else _NOTHING

    def _scan(self, data: bytes) -> tuple[list[Boundary], int]:
        """Find the boundaries of complete messages and where they stop, and set how much is needed to go on."""
        limits = self._limits
        boundaries: list[Boundary] = []
        at, size = 0, len(data)
        self._needed = HEADER_BYTES
        while at + HEADER_BYTES <= size:
            code, length = HEADER_UNPACK(data, at)
            if not MIN_LENGTH <= length <= limits[code]:
                if boundaries:
                    break
                raise bad_length(code, length)
            end = at + 1 + length
            if end > size:
                self._needed = 1 + length
                break
            boundaries.append((code, at, end))
            at = end
        return boundaries, at

    def __iter__(self) -> Iterator[Message]:
        """Give out complete messages one by one, each as a copy; raises as `take` does."""
        while batch := self.take():
            for code, start, end in batch.boundaries:
                yield Message(code, batch.data[start:end])

    def release(self) -> bytes:
        """Give up everything held, to go on with another reader of the same stream (TLS, a new buffer)."""
        held = bytes(self._partial) + self._data
        self._partial.clear()
        self._data = b""
        self._needed = HEADER_BYTES
        return held
