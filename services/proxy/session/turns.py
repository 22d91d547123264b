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

_KNOWN = frozenset(int(code) for code in FrontendCode) - {int(FrontendCode.PASSWORD)}  # after the login there is none
_COPY_DATA = int(FrontendCode.COPY_DATA)
_COPY = frozenset((_COPY_DATA, int(FrontendCode.COPY_DONE), int(FrontendCode.COPY_FAIL)))
_COPY_ENDS = _COPY - {_COPY_DATA}
_ALONE = frozenset((int(FrontendCode.QUERY), int(FrontendCode.FUNCTION_CALL)))
_EXTENDED = frozenset(
    int(code)
    for code in (
        FrontendCode.PARSE,
        FrontendCode.BIND,
        FrontendCode.DESCRIBE,
        FrontendCode.EXECUTE,
        FrontendCode.CLOSE,
    )
)
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
        messages: Boundaries of the messages that begin in them; one that is too long to hold ends in a later part.
        first: The turn begins here.
        last: The turn ends here (Sync, or the end of a simple Query).
        whole: Every byte is in `messages`; False when a message is too long to hold.
    """

    kind: PartKind
    raw: bytes
    messages: tuple[Boundary, ...]
    first: bool
    last: bool
    whole: bool = True

    @property
    def alone(self) -> bool:
        """Whether it is one message that needs no Sync: a simple Query, a function call."""
        return bool(self.messages) and self.messages[0][0] in _ALONE

    def ends_with(self, code: FrontendCode) -> bool:
        """Tell of which kind its last message is."""
        return bool(self.messages) and self.messages[-1][0] == code

    @property
    def answers(self) -> int:
        """How many messages are in it that get one answer each, unless they fail or are skipped."""
        return sum(kind in _EXTENDED for kind, _, _ in self.messages)


class TurnAssembler:
    """The client's byte stream, cut into parts. Pure."""

    def __init__(self) -> None:
        self._data = b""
        self._start = 0  # first byte not handed out yet
        self._late: list[bytes] = []  # chunks behind `_data`, joined to it once they can complete something
        self._late_bytes = 0
        self._hurried = False
        self._wanted = 0  # how many bytes have to be held before it is worth looking again
        self._remaining = 0  # bytes of a too long message that are still to come
        self._remaining_ends_turn = False
        self._remaining_is_copy = False
        self._open = False  # a part of the current turn was handed out, its end not yet
        self._alone = False  # the turn handed out last was a simple Query, which needs no Sync
        self._copy_ended = False  # the COPY data of that turn has been handed out to its end
        self._synced = False  # a Sync has been handed out behind it

    @property
    def buffered(self) -> int:
        """Bytes held back."""
        return len(self._data) - self._start + self._late_bytes

    @property
    def open(self) -> bool:
        """Whether the turn under way has not been handed out to its end."""
        return self._open

    @property
    def between_turns(self) -> bool:
        """Whether the next byte that comes begins a turn."""
        return not (self.buffered or self._remaining or self._open)

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._start == len(self._data) and not self._late:
            self._data, self._start = data, 0
        else:
            self._late.append(data)
            self._late_bytes += len(data)

    def hurry(self) -> None:
        """Nothing more comes for now: hand out what is there of a turn, though its end is not."""
        self._hurried = True
        self._wanted = 0

    def next_part(self, *, within_turn: bool, copying: bool, copied: bool = False) -> Part | None:
        """Hand out the next part, or None when more bytes are needed or it must wait.

        Args:
            within_turn: A turn is under way upstream: only what continues it may be handed out, and that at once.
            copying: Postgres asked for COPY data, so a Sync or Flush belongs to the turn under way.
            copied: Postgres asked for COPY data in the turn under way, and may have ended the COPY with an error.

        Raises:
            ProtocolViolation: The bytes are not the protocol.
        """
        if self.buffered < self._wanted:
            return None
        at_once, self._hurried = self._hurried or within_turn, False
        self._gather()
        if self._remaining:
            return self._continue_long()
        if self.buffered < HEADER_BYTES:
            self._want(HEADER_BYTES)
            return None
        kind = self._data[self._start]
        if kind in _COPY:
            return self._copy_part()
        if within_turn and not self._open:
            return self._copy_part() if self._belongs_to_copy(kind, copying=copying, copied=copied) else None
        return self._turn_part(at_once=at_once)

    def _belongs_to_copy(self, kind: int, *, copying: bool, copied: bool) -> bool:
        """Tell whether a message goes on with a COPY whose turn was handed out to its end.

        "The backend will ignore Flush and Sync messages received during copy-in mode", and any other message ends the
        session with an error of its own; behind the end of the data, or behind the failure that ended the COPY, a Sync
        ends an extended turn, but is a turn of its own behind a simple Query.
        """
        if copying and not self._copy_ended:
            return True
        if kind == _SYNC:
            return (copying or copied) and not self._alone and not self._synced
        return copying and kind == _FLUSH

    def _gather(self) -> None:
        """Join what came late. Done only when it may complete something: a slow client costs no quadratic copying."""
        self._wanted = 0
        if self._late:
            self._data = b"".join((self._data[self._start :], *self._late))
            self._start = 0
            self._late.clear()
            self._late_bytes = 0

    def _want(self, size: int) -> None:
        """Nothing can be handed out before so many bytes are held."""
        self._wanted = size

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
            self._want(min(end - self._start, MAX_TURN_BYTES))
            return None
        raw = self._take(available)
        self._remaining = end - available
        self._remaining_ends_turn = False
        self._remaining_is_copy = True
        self._copy_ended = self._copy_ended or kind in _COPY_ENDS
        self._synced = kind == _SYNC or (self._synced and kind == _FLUSH)
        return Part(PartKind.COPY, raw, (), False, False)

    def _turn_part(self, *, at_once: bool) -> Part | None:
        """Hand out a turn, or what there is of one: when it is long, when it is wanted at once, up to a Flush."""
        first = not self._open
        self._copy_ended = self._synced = False
        at = self._start
        messages: list[Boundary] = []
        data = self._data
        while len(data) - at >= HEADER_BYTES:
            kind, end = self._header(at)
            if end > len(data):
                if messages and (at_once or end - self._start > MAX_TURN_BYTES):
                    return self._part(at, messages, first, last=False)
                if end - self._start > MAX_TURN_BYTES:
                    return self._begin_long(kind, end, first)
                self._want(end - self._start)
                return None
            if (kind in _ALONE or kind == _TERMINATE or kind in _COPY) and messages:
                return self._part(at, messages, first, last=False)
            messages.append((kind, at - self._start, end - self._start))
            at = end
            if kind == _TERMINATE:
                return Part(PartKind.TERMINATE, self._take(at), tuple(messages), first, True)
            if kind == _SYNC or kind in _ALONE:
                self._alone = kind in _ALONE
                return self._part(at, messages, first, last=True)
            if kind == _FLUSH or at - self._start > MAX_TURN_BYTES:
                return self._part(at, messages, first, last=False)
        if messages and at_once:
            return self._part(at, messages, first, last=False)
        self._want(at - self._start + HEADER_BYTES)
        return None

    def _part(self, end: int, messages: list[Boundary], first: bool, *, last: bool) -> Part:
        self._open = not last
        return Part(PartKind.TURN, self._take(end), tuple(messages), first, last)

    def _begin_long(self, kind: int, end: int, first: bool) -> Part:
        """Hand out what has come of a message that is too long to hold."""
        available = len(self._data)
        self._remaining = end - available
        self._remaining_ends_turn = self._alone = kind in _ALONE
        self._remaining_is_copy = False
        self._open = True
        messages = ((kind, 0, end - self._start),)
        return Part(PartKind.TURN, self._take(available), messages, first, False, whole=False)

    def _continue_long(self) -> Part | None:
        available = min(self._remaining, self.buffered)
        if available == 0:
            return None
        raw = self._take(self._start + available)
        self._remaining -= available
        last = self._remaining == 0 and self._remaining_ends_turn
        if self._remaining_is_copy:
            return Part(PartKind.COPY, raw, (), False, False, whole=False)
        self._open = not last
        return Part(PartKind.TURN, raw, (), False, last, whole=False)

    def _take(self, end: int) -> bytes:
        raw = self._data if self._start == 0 and end == len(self._data) else self._data[self._start : end]
        if end == len(self._data):
            self._data, self._start = b"", 0  # a client that falls idle now must not hold its last message
        else:
            self._start = end
        return raw
