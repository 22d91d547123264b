"""What a client sends, cut into turns: everything up to a Sync, or one simple Query.

A turn is decided as a whole, so it is held until it is complete, but never without bound: a turn that grows past a
limit, or is flushed before its Sync, is handed out in parts that have to be forwarded at once. Pure.
"""

from dataclasses import dataclass
from enum import Enum

from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import (
    FRONTEND_LIMITS,
    HEADER_BYTES,
    HEADER_UNPACK,
    MIN_LENGTH,
    Boundary,
    bad_length,
)

MAX_TURN_BYTES = 256 * 1024  # a longer turn is no read worth caching; beyond this it streams

_KNOWN = frozenset(int(code) for code in FrontendCode)
_COPY_DATA = int(FrontendCode.COPY_DATA)
_COPY = frozenset((_COPY_DATA, int(FrontendCode.COPY_DONE), int(FrontendCode.COPY_FAIL)))
_ALONE = frozenset((int(FrontendCode.QUERY), int(FrontendCode.FUNCTION_CALL)))
_SYNC, _FLUSH, _TERMINATE = int(FrontendCode.SYNC), int(FrontendCode.FLUSH), int(FrontendCode.TERMINATE)


class PartKind(Enum):
    """What a part is of."""

    TURN = "turn"
    COPY = "copy"  # COPY data, its end or its failure: belongs to the turn under way
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of client bytes to be handled together.

    Attributes:
        raw: The bytes, verbatim.
        messages: Boundaries of the complete messages in them; one that was too long to hold is missing here.
        first: The turn begins here.
        last: The turn ends here (Sync, or the end of a simple Query).
        whole: Every byte is in `messages`; False when a message was too long to hold.
    """

    kind: PartKind
    raw: bytes
    messages: tuple[Boundary, ...]
    first: bool
    last: bool
    whole: bool = True


class TurnAssembler:
    """The client's byte stream, cut into parts. Pure."""

    def __init__(self) -> None:
        self._data = b""
        self._start = 0  # first byte not handed out yet
        self._remaining = 0  # bytes of a too long message that are still to come
        self._remaining_ends_turn = False
        self._open = False  # a part of the current turn was handed out, its end not yet

    @property
    def buffered(self) -> int:
        """Bytes held back."""
        return len(self._data) - self._start

    @property
    def open(self) -> bool:
        """Whether the turn under way has not been handed out to its end."""
        return self._open

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._start == len(self._data):
            self._data = data
        else:
            self._data = self._data[self._start :] + data
        self._start = 0

    def next_part(self, *, within_turn: bool, copying: bool) -> Part | None:
        """Hand out the next part, or None when more bytes are needed or it must wait.

        Args:
            within_turn: A turn is under way upstream: only what continues it may be handed out.
            copying: Postgres asked for COPY data, so a Sync or Flush belongs to the turn under way.

        Raises:
            ProtocolViolation: The bytes are not the protocol.
        """
        if self._remaining:
            return self._continue_long()
        if self.buffered < HEADER_BYTES:
            return None
        kind = self._data[self._start]
        if kind in _COPY:
            return self._copy_part()
        if within_turn and not self._open:
            return self._copy_part() if copying and kind in (_SYNC, _FLUSH) else None
        return self._turn_part()

    def _header(self, at: int) -> tuple[int, int]:
        kind, length = HEADER_UNPACK(self._data, at)
        if kind not in _KNOWN:
            raise ProtocolViolation(f"invalid frontend message type {kind}")
        if not MIN_LENGTH <= length <= FRONTEND_LIMITS.table[kind]:
            raise bad_length(kind, length)
        return kind, at + 1 + length

    def _copy_part(self) -> Part | None:
        """Hand out a run of COPY messages (or one Sync or Flush inside a COPY), as far as they have come."""
        data = self._data
        kind, end = self._header(self._start)
        while kind == _COPY_DATA and len(data) - end >= HEADER_BYTES and data[end] == _COPY_DATA:
            kind, end = self._header(end)
        available = min(end, len(data))
        if available < end and available - self._start < MAX_TURN_BYTES:
            return None
        raw = self._take(available)
        self._remaining = end - available
        self._remaining_ends_turn = False
        return Part(PartKind.COPY, raw, (), False, False)

    def _turn_part(self) -> Part | None:
        first = not self._open
        at = self._start
        messages: list[Boundary] = []
        data = self._data
        while len(data) - at >= HEADER_BYTES:
            kind, end = self._header(at)
            if end > len(data):
                if end - self._start > MAX_TURN_BYTES:
                    return self._begin_long(kind, end, messages, first)
                return None
            if (kind in _ALONE or kind == _TERMINATE or kind in _COPY) and messages:
                return self._part(at, messages, first, last=False)
            messages.append((kind, at - self._start, end - self._start))
            at = end
            if kind == _TERMINATE:
                return Part(PartKind.TERMINATE, self._take(at), tuple(messages), first, True)
            if kind == _SYNC or kind in _ALONE:
                return self._part(at, messages, first, last=True)
            if kind == _FLUSH or at - self._start > MAX_TURN_BYTES:
                return self._part(at, messages, first, last=False)
        return None

    def _part(self, end: int, messages: list[Boundary], first: bool, *, last: bool, whole: bool = True) -> Part:
        self._open = not last
        return Part(PartKind.TURN, self._take(end), tuple(messages), first, last, whole)

    def _begin_long(self, kind: int, end: int, messages: list[Boundary], first: bool) -> Part:
        available = len(self._data)
        self._remaining = end - available
        self._remaining_ends_turn = kind in _ALONE
        return self._part(available, messages, first, last=False, whole=False)

    def _continue_long(self) -> Part | None:
        available = min(self._remaining, self.buffered)
        if available == 0:
            return None
        raw = self._take(self._start + available)
        self._remaining -= available
        last = self._remaining == 0 and self._remaining_ends_turn
        if not self._open:
            return Part(PartKind.COPY, raw, (), False, False, whole=False)
        self._open = not last
        return Part(PartKind.TURN, raw, (), False, last, whole=False)

    def _take(self, end: int) -> bytes:
        raw = self._data if self._start == 0 and end == len(self._data) else self._data[self._start : end]
        self._start = end
        return raw
