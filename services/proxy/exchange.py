"""What is under way upstream for one session: what is expected, what the client does not see, what is learned. Pure."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from services.proxy.prepared import Prepared
from services.proxy.recorder import Recorder
from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.framing import HEADER_BYTES

_READY, _ERROR = int(BackendCode.READY_FOR_QUERY), int(BackendCode.ERROR_RESPONSE)
_PARSE_COMPLETE, _CLOSE_COMPLETE = int(BackendCode.PARSE_COMPLETE), int(BackendCode.CLOSE_COMPLETE)
_DATA_ROW = int(BackendCode.DATA_ROW)
_FATAL = b"VFATAL\0"  # the severity that is not translated
_PARAMETER_STATUS = int(BackendCode.PARAMETER_STATUS)
_SINGLE_VALUE_AT = HEADER_BYTES + 2 + 4  # of a DataRow: behind the column count and the length of the only column
_ASYNCHRONOUS = frozenset((int(BackendCode.NOTICE_RESPONSE), int(BackendCode.NOTIFICATION_RESPONSE), _PARAMETER_STATUS))
_COPY_STARTS = frozenset((int(BackendCode.COPY_IN_RESPONSE), int(BackendCode.COPY_BOTH_RESPONSE)))


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


class Exchange:
    """One client turn under way between the proxy and Postgres.

    Attributes:
        done: ReadyForQuery for the client's turn has come.
        status: The transaction status in it.
        copying: Postgres asked for COPY data.
        failed: An error came.
        fatal: Postgres said why it ends the connection.
        settled: Acks that came, in order: what Postgres has really prepared and closed.
        setting_changed: Postgres reported a changed setting.
        recorder: What captures the answer, for a read that may be kept.
    """

    __slots__ = ("_acks", "copying", "done", "failed", "fatal", "recorder", "setting_changed", "settled", "status")

    def __init__(self, acks: deque[Ack], recorder: Recorder | None) -> None:
        """Expect the answers to one turn."""
        self._acks = acks
        self.recorder = recorder
        self.done = False
        self.status = 0
        self.copying = False
        self.failed = False
        self.fatal = False
        self.settled: list[Ack] = []
        self.setting_changed = False

    def expect(self, acks: Iterable[Ack]) -> None:
        """A further part of the same turn was forwarded."""
        self._acks.extend(acks)

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See one whole message; tell whether the client sees it."""
        if self.recorder is not None:
            self.recorder.message(kind, data, start, end)
        if kind == _READY:
            self.done = True
            self.status = data[start + HEADER_BYTES]
        elif kind in (_PARSE_COMPLETE, _CLOSE_COMPLETE):
            return self._acknowledged()
        elif kind == _ERROR:
            self.failed = True
            self.fatal = _FATAL in data[start:end]
        elif kind in _COPY_STARTS:
            self.copying = True
        elif kind == _PARAMETER_STATUS:
            self.setting_changed = True
        return True

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See a stretch of rows or COPY data."""
        if self.recorder is not None:
            self.recorder.bulk(kind, data, start, end)
        return True

    def _acknowledged(self) -> bool:
        if not self._acks:
            return True
        ack = self._acks.popleft()
        self.settled.append(ack)
        return not ack.swallowed


class StateQuestion:
    """The proxy's own question for the session's state, of which the client sees nothing.

    Attributes:
        done: The answer has come to its end.
        row: The answer's only value; None when Postgres refused the question.
        fatal: Postgres said why it ends the connection; that the client does see.
    """

    __slots__ = ("_pieces", "done", "fatal", "row")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.fatal = False
        self.done = False
        self.row: bytes | None = None

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See one whole message; only what Postgres says of its own accord goes on to the client."""
        if self.done:
            return True
        if kind == _READY:
            self.done = True
            row = b"".join(self._pieces)
            self.row = row[_SINGLE_VALUE_AT:] if len(row) > _SINGLE_VALUE_AT else None
        if kind == _ERROR and _FATAL in data[start:end]:
            self.fatal = True
            return True
        return kind in _ASYNCHRONOUS

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See a stretch of the answer's row."""
        if kind == _DATA_ROW and not self.done:
            self._pieces.append(data[start:end])
        return False
