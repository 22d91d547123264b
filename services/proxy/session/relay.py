"""Postgres's byte stream, cut into messages without holding rows back.

A chunk is passed on as it came; only the few messages that matter (ReadyForQuery, errors, ParseComplete, ...) are
looked at, and a message that is split between chunks is held back unless it is of the bulky kinds, which stream. Pure.
"""

import struct
from typing import Protocol

from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import HEADER_BYTES

_LENGTH = struct.Struct(">I")
_MAX_HELD_BYTES = 64 * 1024  # a control message longer than this streams too: it is passed on, not looked at

_DATA_ROW, _COPY_DATA = int(BackendCode.DATA_ROW), int(BackendCode.COPY_DATA)


class Sink(Protocol):
    """What looks at the messages that pass."""

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Look at one whole message, `data[start:end]` with its header. Return whether it goes on to the client."""

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Look at a stretch of a bulky message, or of several of one kind. Return whether it goes on to the client."""


class BackendRelay:
    """Cuts what Postgres sends; one per upstream connection. Pure.

    Attributes:
        between_messages: The next byte begins a message.
    """

    __slots__ = ("_bulk_kind", "_held", "_remaining", "between_messages")

    def __init__(self) -> None:
        self.between_messages = True
        self._held = b""
        self._remaining = 0
        self._bulk_kind = 0

    @property
    def inside_message(self) -> bool:
        """Whether the client has the beginning of a message whose end is still to come."""
        return self._remaining > 0

    def feed(self, data: bytes, sink: Sink) -> bytes:
        """Cut a chunk, show the messages to the sink, and return what goes on to the client.

        Raises:
            ProtocolViolation: Postgres sent a length that cannot be.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        keep_from = 0  # start of the stretch that goes on and is not in `pieces` yet
        at = 0
        size = len(data)
        unpack = _LENGTH.unpack_from
        while at < size:
            if self._remaining:
                end = min(size, at + self._remaining)
                self._remaining -= end - at
                passed = sink.bulk(self._bulk_kind, data, at, end)
            else:
                if size - at < HEADER_BYTES:
                    break
                kind = data[at]
                length = unpack(data, at + 1)[0]
                if length < 4:
                    raise ProtocolViolation(f"invalid message length {length} from Postgres")
                end = at + 1 + length
                if kind in (_DATA_ROW, _COPY_DATA):
                    end = self._bulk_run(data, kind, at, end, size)
                    passed = sink.bulk(kind, data, at, end)
                elif end > size:
                    if length <= _MAX_HELD_BYTES:
                        break
                    self._remaining, self._bulk_kind, end = end - size, kind, size
                    passed = sink.bulk(kind, data, at, end)
                else:
                    passed = sink.message(kind, data, at, end)
            if not passed:
                if at > keep_from:
                    pieces.append(data[keep_from:at])
                keep_from = end
            at = end
        self._held = data[at:]
        self.between_messages = not (self._held or self._remaining)
        if keep_from == 0 and at == size:
            return data
        pieces.append(data[keep_from:at])
        return b"".join(pieces)

    def release(self) -> bytes:
        """Give up the beginning of a message that is held, to go on without cutting."""
        held, self._held = self._held, b""
        self.between_messages = not self._remaining
        return held

    def _bulk_run(self, data: bytes, kind: int, at: int, end: int, size: int) -> int:
        """Return where a run of messages of one bulky kind ends in this chunk; the last one may go on in the next."""
        unpack = _LENGTH.unpack_from
        while end + HEADER_BYTES <= size and data[end] == kind:
            length = unpack(data, end + 1)[0]
            if length < 4:
                raise ProtocolViolation(f"invalid message length {length} from Postgres")
            end += 1 + length
        if end > size:
            self._remaining, self._bulk_kind = end - size, kind
            return size
        return end
