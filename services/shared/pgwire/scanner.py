"""Message boundaries in a stream that is relayed as it comes.

A relay forwards each chunk untouched; all it needs is where in the chunk the messages end and what the small ones
say. A `Scanner` is fed every chunk once and returns *marks*. It keeps no body but that of a small message split over
chunks, and merges neighbouring bulky messages (rows, copied data) into one mark, so that a chunk of a thousand rows
costs one loop of header reads and one mark.

Offsets are relative to the chunk just scanned. A message that began in an earlier chunk has a negative `start`; one
that is not complete yet is not marked until the chunk in which it ends.
"""

from typing import Final, NamedTuple

from services.shared.pgwire.codes import BackendCode, FrontendCode
from services.shared.pgwire.framing import (
    BACKEND_LIMITS,
    FRONTEND_LIMITS,
    HEADER_BYTES,
    HEADER_UNPACK,
    MIN_LENGTH,
    MessageLimits,
    bad_length,
)

HELD_BYTES: Final = 1 << 20
"""The longest message that is delivered whole. Errors that quote a long statement may be longer; notices too."""

BACKEND_BULKY: Final = frozenset(
    (
        BackendCode.DATA_ROW,
        BackendCode.COPY_DATA,
        BackendCode.ROW_DESCRIPTION,
        BackendCode.FUNCTION_CALL_RESPONSE,
    )
)
"""What a server sends that is marked without its bytes."""

FRONTEND_BULKY: Final = frozenset(
    (
        FrontendCode.COPY_DATA,
        FrontendCode.QUERY,
        FrontendCode.PARSE,
        FrontendCode.BIND,
        FrontendCode.FUNCTION_CALL,
    )
)
"""What a client sends that is marked without its bytes."""


class Mark(NamedTuple):
    """A message, or a run of bulky messages of one type, that ends in the chunk just scanned."""

    code: int
    """The type byte."""
    start: int
    """Offset of the first byte; negative when it lies in an earlier chunk."""
    end: int
    """Offset after the last byte."""
    messages: int
    """How many messages: 1, or the length of a run of bulky ones."""
    raw: bytes
    """The whole message, header included; empty for bulky types and for messages over `HELD_BYTES`."""


class Scanner:
    """Finds the messages in one direction of a connection, chunk by chunk.

    After a `ProtocolViolation` the stream has lost its step and the scanner is of no more use.
    """

    __slots__ = ("_bulky", "_code", "_held", "_limits", "_seen", "_total", "position")

    def __init__(self, limits: MessageLimits, bulky: frozenset[int]) -> None:
        self._limits = limits.table
        self._bulky = tuple(code in bulky for code in range(256))
        self._held = bytearray()  # the split message so far: its header, or all of it when it is delivered whole
        self._seen = 0  # bytes of the split message in earlier chunks; 0: the next chunk starts a message
        self._total = 0  # bytes of the whole split message; 0: its header is not complete
        self._code = 0  # the type byte of the split message, once its header is complete
        self.position = 0
        """Bytes scanned so far: the offset in the stream of the next chunk's first byte."""

    @property
    def between_messages(self) -> bool:
        """Whether every message that began has ended."""
        return self._seen == 0

    def scan(self, chunk: bytes) -> list[Mark]:
        """Return what ends in this chunk, in order.

        Raises:
            ProtocolViolation: A length word is below 4, or above its limit (`MessageTooLong`).
        """
        marks: list[Mark] = []
        at = self._resume(chunk, marks) if self._seen else 0
        if self._seen == 0:
            at = self._run(chunk, at, marks)
            if at < len(chunk):
                self._suspend(chunk, at)
        self.position += len(chunk)
        return marks

    def _run(self, chunk: bytes, at: int, marks: list[Mark]) -> int:
        """Mark the messages that lie wholly in the chunk from `at` on; return where the first other one starts."""
        unpack, limits, bulky = HEADER_UNPACK, self._limits, self._bulky
        run_code, run_start, count = -1, at, 0
        last_header = len(chunk) - HEADER_BYTES
        size = len(chunk)
        while at <= last_header:
            code, length = unpack(chunk, at)
            if not MIN_LENGTH <= length <= limits[code]:
                raise bad_length(code, length)
            end = at + 1 + length
            if end > size:
                break
            if code == run_code:
                count += 1
            else:
                if count:
                    marks.append(Mark(run_code, run_start, at, count, b""))
                if bulky[code]:
                    run_code, run_start, count = code, at, 1
                else:
                    run_code, count = -1, 0
                    marks.append(Mark(code, at, end, 1, chunk[at:end] if length < HELD_BYTES else b""))
            at = end
        if count:
            marks.append(Mark(run_code, run_start, at, count, b""))
        return at

    def _suspend(self, chunk: bytes, at: int) -> None:
        """Remember the beginning of a message that goes on in the next chunk."""
        self._held += chunk[at : at + HEADER_BYTES]
        self._seen = len(chunk) - at
        self._open_header()
        if self._total and self._is_held():
            self._held += chunk[at + HEADER_BYTES :]

    def _resume(self, chunk: bytes, marks: list[Mark]) -> int:
        """Go on with the split message; return where it ends in the chunk, or the chunk's length when it does not."""
        if not self._total:
            self._held += chunk[: HEADER_BYTES - self._seen]
            self._open_header()
            if not self._total:
                self._seen += len(chunk)
                return len(chunk)
        end = self._total - self._seen
        if self._is_held():
            # What is held ends at the header when the header was completed just now, else where the last chunk ended.
            self._held += chunk[max(len(self._held) - self._seen, 0) : end]
        if end > len(chunk):
            self._seen += len(chunk)
            return len(chunk)
        raw = bytes(self._held) if self._is_held() else b""
        marks.append(Mark(self._code, -self._seen, end, 1, raw))
        self._held.clear()
        self._seen = self._total = 0
        return end

    def _open_header(self) -> None:
        """Read type and length of the split message as soon as its header is complete."""
        if len(self._held) < HEADER_BYTES:
            return
        code, length = HEADER_UNPACK(self._held, 0)
        if not MIN_LENGTH <= length <= self._limits[code]:
            raise bad_length(code, length)
        self._code = code
        self._total = 1 + length

    def _is_held(self) -> bool:
        """Whether the split message is to be delivered whole."""
        return not self._bulky[self._code] and self._total <= HELD_BYTES


class BackendScanner(Scanner):
    """Scans what a server sends."""

    __slots__ = ()

    def __init__(self, limits: MessageLimits = BACKEND_LIMITS, bulky: frozenset[int] = BACKEND_BULKY) -> None:
        super().__init__(limits, bulky)


class FrontendScanner(Scanner):
    """Scans what a client sends, where it is relayed without being understood: COPY data, above all."""

    __slots__ = ()

    def __init__(self, limits: MessageLimits = FRONTEND_LIMITS, bulky: frozenset[int] = FRONTEND_BULKY) -> None:
        super().__init__(limits, bulky)
