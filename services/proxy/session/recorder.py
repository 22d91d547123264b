"""Captures the answer to a forwarded read, up to a cap, while it streams to the client. Pure."""

from collections.abc import Callable

from services.proxy.cache.entry import Answer
from services.proxy.session.whole_answer import WholeAnswer
from services.shared.pgwire.codes import BackendCode

_ROW_DESCRIPTION, _DATA_ROW = int(BackendCode.ROW_DESCRIPTION), int(BackendCode.DATA_ROW)
_COMMAND_COMPLETE, _PORTAL_SUSPENDED = int(BackendCode.COMMAND_COMPLETE), int(BackendCode.PORTAL_SUSPENDED)
_COMPLETIONS = (_COMMAND_COMPLETE, _PORTAL_SUSPENDED)  # the latter where the client set a row limit
# What may stand around an answer without being part of it. Anything else (an error, a notice that the client would miss
# on a hit, a suspended portal, a changed setting) means that the answer is not kept.
_AROUND = frozenset(
    (
        int(BackendCode.PARSE_COMPLETE),
        int(BackendCode.BIND_COMPLETE),
        int(BackendCode.READY_FOR_QUERY),
        int(BackendCode.NOTIFICATION_RESPONSE),
    )
)

ANSWER_TOO_LARGE = "answer_too_large"


class Recorder:
    """The answer as far as it has come.

    Attributes:
        spoiled: Why it will not be kept; empty while it may be.
    """

    __slots__ = ("_complete", "_description", "_limit", "_outgrown", "_rows", "_size", "spoiled")

    def __init__(self, limit: int, outgrown: Callable[[], None] | None = None) -> None:
        """Record.

        Args:
            limit: So many bytes.
            outgrown: Called as soon as there are more.
        """
        self._limit = limit
        self._outgrown = outgrown
        self._size = 0
        self._description = b""
        self._rows: list[bytes] = []
        self._complete = b""
        self.spoiled = ""

    def take(self, answer: WholeAnswer) -> None:
        """See all of the answer at once."""
        if answer.without_columns:
            self._spoil("unexpected_message")
            return
        self._description, self._complete = answer.described, answer.complete
        self._rows.append(answer.rows)
        self._grow(len(answer.described) + len(answer.rows) + len(answer.complete))

    def message(self, kind: int, data: bytes, start: int, end: int) -> None:
        """See one whole message."""
        if kind in _AROUND or self.spoiled:
            return
        if kind == _ROW_DESCRIPTION:
            self._description = data[start:end]
        elif kind in _COMPLETIONS and not self._complete:
            self._complete = data[start:end]
        else:
            self._spoil("unexpected_message")
            return
        self._grow(end - start)

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> None:
        """See a stretch of rows."""
        if self.spoiled:
            return
        if kind != _DATA_ROW:
            self._spoil("unexpected_message")
            return
        self._rows.append(data[start:end])
        self._grow(end - start)

    def answer(self, *, described: bool) -> Answer | None:
        """Return the whole answer.

        Args:
            described: The client asked for the description, so there has to be one.
        """
        if self.spoiled or not self._complete:
            return None
        # Only a SELECT's answer is one: a rule or a procedure may turn another command up.
        if self._complete[0] == _COMMAND_COMPLETE and not self._complete.startswith(b"SELECT", 5):
            return None
        if described and not self._description:
            return None
        return Answer(self._description, b"".join(self._rows), self._complete)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            self._spoil(ANSWER_TOO_LARGE)
            if self._outgrown is not None:
                self._outgrown()

    def _spoil(self, reason: str) -> None:
        self.spoiled = reason
        self._rows.clear()
