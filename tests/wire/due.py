"""How much has Postgres still to say? Pure.

A client that sends messages in any order, legal or not, cannot count ReadyForQuery by what it sent: a Query behind an
error is skipped, a Sync inside a COPY is ignored. So this follows what the server does with each message, by what it
answers. What stands before a Sync, a Flush, a Query or a function call is due; anything else may wait in Postgres's
buffer for as long as it likes.

That the model is right is shown by every stream that is played to Postgres directly: an answer that the model waits for
in vain is an error of the model, not of the proxy.
"""

from collections import deque
from dataclasses import dataclass

from services.shared.pgwire.framing import FRONTEND_LIMITS, MIN_LENGTH

_HEADER_BYTES = 5
_ASYNCHRONOUS = "NAS"  # NoticeResponse, NotificationResponse, ParameterStatus
_LAST_ANSWERS = {"P": "1", "B": "2", "C": "3", "D": "Tn", "E": "CIs", "Q": "Z", "F": "Z", "S": "Z"}
_EXTENDED = "PBCDE"
_COPYING = "dHS"  # what a COPY from the client takes or ignores
_PUSHING = "QSFHX"  # what has Postgres send all that it has to say so far

SPOILT = b"!"
"""A row of COPY data with this in it fails at once, and no message behind it is read as part of the COPY."""


@dataclass(slots=True)
class _Sent:
    kind: str
    spoilt: bool = False


class Due:
    """What one connection waits for.

    Attributes:
        ended: The server has closed the connection.
        copying: The server waits for COPY data.
    """

    def __init__(self) -> None:
        self.ended = False
        self.copying = False
        self._sent: deque[_Sent] = deque()
        self._skipping = False
        self._closing = False  # the server ends the connection when it comes to the message at the front

    @property
    def settled(self) -> bool:
        """Whether everything has come that was asked for so far."""
        if self.ended or self.copying:
            return True
        return not self._closing and not any(sent.kind in _PUSHING for sent in self._sent)

    def send(self, data: bytes) -> None:
        """Note one message that is sent."""
        kind = chr(data[0])
        if _breaks_the_stream(data):
            kind = "!"
        self._sent.append(_Sent(kind, kind == "d" and SPOILT in data[_HEADER_BYTES:]))
        self._consume()

    def hear(self, kind: str) -> None:
        """Note one message that the server sent."""
        front = self._sent[0].kind if self._sent else ""
        if kind in _ASYNCHRONOUS:
            return
        if kind == "E":
            self.copying = False
            if front in _EXTENDED:
                self._sent.popleft()
                self._skipping = True
        elif kind == "G":
            self.copying = True
        elif kind in _LAST_ANSWERS.get(front, ""):
            self._sent.popleft()
        self._consume()

    def _consume(self) -> None:
        """Pass over what the server takes without a word."""
        while self.copying and len(self._sent) > 1:
            self._copy()
        while self._sent and not self.copying:
            kind = self._sent[0].kind
            if kind in "X!":
                self._closing = True
                return
            if (self._skipping and kind != "S") or kind in "dcfH":
                self._sent.popleft()
            else:
                self._skipping = False
                return

    def _copy(self) -> None:
        """Take the message behind the one that copies."""
        sent = self._sent[1]
        if sent.kind in "cf" or sent.spoilt:
            self.copying = False
        elif sent.kind not in _COPYING:
            self.copying = False
            self._closing = True
            return
        del self._sent[1]


def _breaks_the_stream(data: bytes) -> bool:
    """Whether the server cannot read on behind this message."""
    length = int.from_bytes(data[1:_HEADER_BYTES], "big", signed=True)
    limit = FRONTEND_LIMITS.table[data[0]]
    return chr(data[0]) not in "QPBCDEFSHXdcf" or not MIN_LENGTH <= length <= limit
