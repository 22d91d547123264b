"""What is under way upstream for one session: what is expected, what the client does not see, what is learned. Pure.

An exchange is one turn as the client sent it, or a run of reads out of a turn, each sent as a transaction of its own:
then it has several segments, and Postgres sends a ReadyForQuery for each, of which the client sees none.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.proxy.session.block import Prelude
from services.proxy.session.prepared import Prepared
from services.proxy.session.recorder import Recorder
from services.proxy.session.whole_answer import WholeAnswer
from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.framing import HEADER_BYTES

_READY, _ERROR = int(BackendCode.READY_FOR_QUERY), int(BackendCode.ERROR_RESPONSE)
_PARSE_COMPLETE, _CLOSE_COMPLETE = int(BackendCode.PARSE_COMPLETE), int(BackendCode.CLOSE_COMPLETE)
_DATA_ROW = int(BackendCode.DATA_ROW)
_COMMAND_COMPLETE, _COMMITTED = int(BackendCode.COMMAND_COMPLETE), b"COMMIT\0"
_FATAL = b"VFATAL\0"  # the severity that is not translated
_CANCELED = b"\0C57014\0"
_NOTICE = int(BackendCode.NOTICE_RESPONSE)
_SHUTDOWN = b"\0C57P0"  # of an immediate shutdown Postgres warns only, before it closes
_PARAMETER_STATUS = int(BackendCode.PARAMETER_STATUS)
_SINGLE_VALUE_AT = HEADER_BYTES + 2 + 4  # of a DataRow: behind the column count and the length of the only column
_ASYNCHRONOUS = frozenset((int(BackendCode.NOTICE_RESPONSE), int(BackendCode.NOTIFICATION_RESPONSE), _PARAMETER_STATUS))
_COPY_STARTS = frozenset((int(BackendCode.COPY_IN_RESPONSE), int(BackendCode.COPY_BOTH_RESPONSE)))
_LAST_ANSWERS = frozenset(  # the answer to one message of the extended protocol ends with one of these
    int(code)
    for code in (
        BackendCode.PARSE_COMPLETE,
        BackendCode.BIND_COMPLETE,
        BackendCode.CLOSE_COMPLETE,
        BackendCode.ROW_DESCRIPTION,
        BackendCode.NO_DATA,
        BackendCode.COMMAND_COMPLETE,
        BackendCode.EMPTY_QUERY_RESPONSE,
        BackendCode.PORTAL_SUSPENDED,
    )
)


@dataclass(frozen=True, slots=True)
class ParseAck:
    """A Parse whose ParseComplete is due. `swallowed`: the proxy sent it, the client did not."""

    name: bytes
    prepared: Prepared
    swallowed: bool = False


@dataclass(frozen=True, slots=True)
class CloseAck:
    """A Close of a statement (a portal's has no name here) whose CloseComplete is due; `swallowed` as above."""

    name: bytes | None
    swallowed: bool = False


Ack = ParseAck | CloseAck


class Segment:
    """One stretch that ends with a ReadyForQuery.

    Attributes:
        recorder: What captures the answer, for a read that may be kept.
        due: How many acknowledgements are expected, all in all.
        failed: An error came.
        settled: Acks that came, in order: what Postgres has really prepared and closed.
        hidden: It answers what the proxy sent; the client sees nothing of it.
    """

    __slots__ = ("_acks", "due", "failed", "hidden", "recorder", "settled")

    def __init__(self, acks: Iterable[Ack], recorder: Recorder | None = None, *, hidden: bool = False) -> None:
        """Expect these acknowledgements."""
        self.hidden = hidden
        self._acks = deque(acks)
        self.due = len(self._acks)
        self.recorder = recorder
        self.failed = False
        self.settled: list[Ack] = []

    def expect(self, acks: Iterable[Ack]) -> None:
        """A further part of the same turn was forwarded."""
        before = len(self._acks)
        self._acks.extend(acks)
        self.due += len(self._acks) - before

    def acknowledged(self) -> bool:
        """Take a ParseComplete or CloseComplete; tell whether the client sees it."""
        if not self._acks:
            return True
        ack = self._acks.popleft()
        self.settled.append(ack)
        return not ack.swallowed


class Exchange:
    """What is under way between the proxy and Postgres for the turn of a client.

    Attributes:
        segments: Its stretches, in order.
        shows_ready: The client sees the ReadyForQuery of the only segment as it is.
        ended: How many of them have ended.
        answers: How many messages of the client Postgres has answered, as far as they are of the extended protocol.
        status: The transaction status in the last ReadyForQuery.
        copying: Postgres asked for COPY data, and the COPY has not failed.
        copied: Postgres asked for COPY data.
        committed: A transaction was committed by a COMMIT; set back by whoever has noted it.
        fatal: Postgres said why it ends the connection.
        setting_changed: Postgres reported a changed setting.
        prelude_failed: The proxy's own statements in front of the turn failed, so Postgres skips to the next Sync.
        question: A question of the proxy's own in front of all that, a turn of its own; None without.
    """

    __slots__ = (
        "_closes_due",
        "_muted",
        "answers",
        "committed",
        "copied",
        "copying",
        "ended",
        "fatal",
        "prelude_failed",
        "question",
        "segments",
        "setting_changed",
        "shows_ready",
        "status",
    )

    def __init__(
        self,
        segments: Sequence[Segment],
        *,
        shows_ready: bool = True,
        closes: int = 0,
        question: "Question | None" = None,
    ) -> None:
        """Expect the answer.

        Args:
            segments: At least one.
            shows_ready: See above.
            closes: With how many CloseCompletes the answer to a prelude ends, of which the client sees nothing.
            question: See above.
        """
        self.question = question
        self.segments = segments
        self.shows_ready = shows_ready
        self._closes_due = closes
        self._muted = False  # a segment failed: to the client the rest of its turn is skipped
        self.ended = 0
        self.answers = 0
        self.status = 0
        self.copying = False
        self.copied = False
        self.committed = False
        self.fatal = False
        self.setting_changed = False
        self.prelude_failed = False

    @property
    def done(self) -> bool:
        """Whether all of it has been answered."""
        return self.ended == len(self.segments)

    @property
    def failed(self) -> bool:
        """Whether an error came."""
        return any(segment.failed for segment in self.segments)

    def hide(self, prelude: Prelude) -> bytes:
        """Return what the proxy sends of its own, all in front of it being answered: the client sees nothing of it."""
        self._closes_due = prelude.closes
        return prelude.raw

    def take_whole(self, answer: WholeAnswer, status: int) -> None:
        """See all of the answer at once, to an exchange of one segment; the client sees it too."""
        segment = self.segments[0]
        if answer.parsed:
            segment.acknowledged()
        if segment.recorder is not None:
            segment.recorder.take(answer)
        self.status = status
        self.ended = 1

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See one whole message; tell whether the client sees it."""
        if kind == _PARAMETER_STATUS:
            self.setting_changed = True
        if self.question is not None and not self.question.done:
            passed = self.question.message(kind, data, start, end)
            self.fatal = self.question.fatal
            return passed
        if self._closes_due and not self._in_prelude(kind):
            return kind in _ASYNCHRONOUS
        if self.done:
            self.fatal = self.fatal or (kind == _ERROR and _FATAL in data[start:end])
            return True  # what Postgres says of its own accord came in the same chunk
        segment = self.segments[self.ended]
        if segment.recorder is not None:
            segment.recorder.message(kind, data, start, end)
        passed = not (self._muted or segment.hidden)
        if kind == _READY:
            self._segment_ended(segment, data[start + HEADER_BYTES])
            return self.shows_ready
        if segment.hidden and kind in _LAST_ANSWERS:
            return False
        if kind in (_PARSE_COMPLETE, _CLOSE_COMPLETE) and not segment.acknowledged():
            return False
        if kind in _LAST_ANSWERS:
            self.answers += 1
            if kind == _COMMAND_COMPLETE and data[start + HEADER_BYTES : end] == _COMMITTED:
                self.committed = True
            return passed
        if kind == _ERROR:
            segment.failed = True
            self.copying = False
            self.fatal = _FATAL in data[start:end]
            return passed or self.fatal
        if kind in _COPY_STARTS:
            self.copying = self.copied = True
        return passed or kind in _ASYNCHRONOUS

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See a stretch of rows or COPY data."""
        if self.question is not None and not self.question.done:
            return self.question.bulk(kind, data, start, end)
        if self._closes_due:
            return False
        if self.done:
            return True
        recorder = self.segments[self.ended].recorder
        if recorder is not None:
            recorder.bulk(kind, data, start, end)
        return not self._muted

    def _segment_ended(self, segment: Segment, status: int) -> None:
        self.status = status
        self.ended += 1
        self._muted = self._muted or segment.failed

    def _in_prelude(self, kind: int) -> bool:
        """Take a message of the prelude's answer; tell whether it belongs to the turn after all."""
        if kind == _CLOSE_COMPLETE:
            self._closes_due -= 1
        elif kind == _ERROR:
            self._closes_due = 0
            self.prelude_failed = True
            self.segments = self.segments[:1]  # Postgres skips to the Sync behind it
            return True
        return False


class Question:
    """A turn of the proxy's own, of which the client sees nothing.

    Attributes:
        done: The answer has come to its end.
        status: The transaction status in its ReadyForQuery.
        row: The answer's only value, if it has one; None when Postgres refused the question.
        fatal: Postgres said why it ends the connection; that the client does see.
        canceled: The message in which Postgres says that it was cancelled, by whoever waits for the client's statement.
    """

    __slots__ = ("_pieces", "canceled", "done", "fatal", "row", "status")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.fatal = False
        self.done = False
        self.status = 0
        self.row: bytes | None = None
        self.canceled = b""

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See one whole message; only what Postgres says of its own accord goes on to the client."""
        if self.done:
            return True
        if kind == _READY:
            self.done = True
            self.status = data[start + HEADER_BYTES]
            row = b"".join(self._pieces)
            self.row = row[_SINGLE_VALUE_AT:] if len(row) > _SINGLE_VALUE_AT else None
        if kind == _ERROR and _FATAL in data[start:end]:
            self.fatal = True
            return True
        if kind == _ERROR and _CANCELED in data[start:end]:
            self.canceled = data[start:end]
        return kind in _ASYNCHRONOUS

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See a stretch of the answer's row."""
        if kind == _DATA_ROW and not self.done:
            self._pieces.append(data[start:end])
        return False


class Unasked:
    """Sees what Postgres says of its own accord, between turns.

    Attributes:
        setting_changed: Postgres reported a changed setting.
        fatal: Postgres said why it ends the connection, and the client knows.
    """

    __slots__ = ("_farewell", "_holds_farewell", "fatal", "setting_changed")

    def __init__(self, *, holds_farewell: bool = False) -> None:
        """Begin.

        Args:
            holds_farewell: The client does not see at once why Postgres ends the connection, since its session may
                outlive that.
        """
        self._holds_farewell = holds_farewell
        self._farewell = b""
        self.fatal = False
        self.setting_changed = False

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See one whole message; the client sees it too."""
        if kind == _PARAMETER_STATUS:
            self.setting_changed = True
        elif kind in (_ERROR, _NOTICE):
            said = data[start:end]
            fatal = kind == _ERROR and _FATAL in said
            if self._holds_farewell and (fatal or _SHUTDOWN in said):
                self._farewell += said
                return False
            self.fatal = fatal
        return True

    def release_farewell(self) -> bytes:
        """Give out what was held back: the client is to see it after all."""
        self.fatal = self.fatal or _FATAL in self._farewell
        farewell, self._farewell = self._farewell, b""
        return farewell

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See bytes that nobody asked for; the client sees them too."""
        return True
