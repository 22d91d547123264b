"""What stands for Postgres where a session is tested without servers: it answers by the words that it is sent.

It knows prepared statements, skips to the Sync behind an error, and keeps the status of a transaction. What a statement
is to do beside that stands in it, or in a value: `parse_fails`, `bind_fails`, `fails` (behind its first row),
`says_so` (a notice), `reports` (a changed setting), `notifies`, `twice` (a further CommandComplete, as a rule brings);
a BEGIN that is to fail is `NOT DEFERRABLE`.
"""

import json
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from services.shared.pgwire.backend import (
    EMPTY_QUERY_RESPONSE,
    NO_DATA,
    PORTAL_SUSPENDED,
    READY_FOR_QUERY,
    BindComplete,
    CloseComplete,
    Column,
    CommandComplete,
    DataRow,
    ErrorResponse,
    NoticeResponse,
    NotificationResponse,
    ParameterStatus,
    ParseComplete,
    RowDescription,
)
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import FRONTEND_LIMITS, MessageBuffer
from services.shared.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    Parse,
    Query,
    Sync,
    Target,
    decode_frontend,
)
from tests.unit.proxy.test_session_state import found

_ERROR = ErrorResponse((("S", "ERROR"), ("V", "ERROR"), ("C", "22012"), ("M", "as asked"))).encode()
_NOTICE = NoticeResponse((("S", "NOTICE"), ("V", "NOTICE"), ("C", "00000"), ("M", "as asked"))).encode()
_COLUMNS = RowDescription((Column("name", 0, 0, 25, -1, -1, 0),)).encode()
_IN_BLOCK, _IDLE = TransactionStatus.IN_BLOCK, TransactionStatus.IDLE
_TAGS = {b"START": "START TRANSACTION", b"INSERT": "INSERT 0 1", b"UPDATE": "UPDATE 1"}
_STATUS = {b"BEGIN": _IN_BLOCK, b"START": _IN_BLOCK, b"COMMIT": _IDLE, b"ROLLBACK": _IDLE}


class _Failed(Exception):
    """A message cannot be carried out."""


class ScriptedPostgres:
    """One backend."""

    def __init__(self, **state: Any) -> None:
        """Begin outside of a block; `state` is what is special in the session's state."""
        self._state = state
        self._incoming = MessageBuffer(FRONTEND_LIMITS)
        self._texts: dict[bytes, bytes] = {}
        self._portals: dict[bytes, tuple[bytes, tuple[bytes | None, ...]]] = {}
        self._status = TransactionStatus.IDLE
        self._skipping = False
        self._out: list[bytes] = []
        self._queried = False

    def answer(self, data: bytes) -> bytes:
        """Return what is sent once these bytes are there."""
        self._incoming.feed(data)
        shown = 0
        for code, raw in self._incoming:
            if not self._skipping or code == ord("S"):
                self._carry_out(raw)
            if code in b"SQH":
                shown = len(self._out)
        sent, self._out = b"".join(self._out[:shown]), self._out[shown:]
        return sent

    def _carry_out(self, raw: bytes) -> None:
        try:
            message = decode_frontend(raw)
        except ProtocolViolation:
            self._fail(simple=False)
            return
        try:
            self._message(message)
        except _Failed:
            self._fail(simple=isinstance(message, Query))

    def _fail(self, *, simple: bool) -> None:
        self._out.append(_ERROR)
        self._skipping = not simple
        if self._status is TransactionStatus.IN_BLOCK:
            self._status = TransactionStatus.FAILED
        if simple:
            self._out.append(READY_FOR_QUERY[self._status])

    def _message(self, message: object) -> None:
        match message:
            case Query(sql):
                self._queried = True
                self._texts.pop(b"", None)
                self._run(sql, (), 0, described=True)
                self._out.append(READY_FOR_QUERY[self._status])
            case Parse(name, sql):
                self._texts.pop(b"", None) if not name else None
                if b"parse_fails" in sql or (name and name in self._texts):
                    raise _Failed
                self._texts[name] = sql
                self._out.append(ParseComplete().encode())
            case Bind(portal, name, _, values):
                if name not in self._texts or b"bind_fails" in values:
                    raise _Failed
                self._portals[portal] = self._texts[name], values
                self._out.append(BindComplete().encode())
            case Describe(Target.PORTAL, name):
                if name not in self._portals:
                    raise _Failed
                self._out.append(_COLUMNS if self._gives_rows(self._portals[name][0]) else NO_DATA)
            case Execute(name, limit):
                if name not in self._portals:
                    raise _Failed
                self._run(*self._portals[name], limit, described=False)
            case Close(target, name):
                (self._texts if target is Target.STATEMENT else self._portals).pop(name, None)
                self._out.append(CloseComplete().encode())
            case Sync():
                self._skipping = False
                if self._status is TransactionStatus.IDLE:
                    self._portals.clear()
                self._out.append(READY_FOR_QUERY[self._status])
            case Flush():
                pass
            case _:
                raise _Failed

    def _gives_rows(self, sql: bytes) -> bool:
        return b"SELECT" in sql or b"RETURNING" in sql

    def _run(self, sql: bytes, values: Sequence[bytes | None], limit: int, *, described: bool) -> None:
        word = sql.strip().partition(b" ")[0]
        if not word:
            self._out.append(EMPTY_QUERY_RESPONSE)
            return
        if word in _STATUS and b" TO " not in sql:
            if b"NOT DEFERRABLE" in sql:
                raise _Failed
            self._status = _STATUS[word]
            self._out.append(CommandComplete(_TAGS.get(word, word.decode())).encode())
            return
        if self._status is TransactionStatus.FAILED or b"parse_fails" in sql:
            raise _Failed
        if word == b"SET":
            self._state["schemas"] = ["pg_catalog", *sql.split()[-1].decode().split(",")]
        rows = self._rows(sql, values)
        if described and self._gives_rows(sql):
            self._out.append(_COLUMNS)
        asked = b" ".join((sql, *filter(None, values)))
        self._say(asked, rows)
        self._out += rows[:limit] if limit else rows
        if limit and len(rows) >= limit:
            self._out.append(PORTAL_SUSPENDED)
            return
        tag = f"SELECT {len(rows)}" if word == b"SELECT" else _TAGS.get(word, word.decode())
        complete = CommandComplete(tag).encode()
        self._out += [complete] * (2 if b"twice" in asked else 1)

    def _say(self, asked: bytes, rows: Sequence[bytes]) -> None:
        """Do what the words say beside the statement."""
        if b"says_so" in asked:
            self._out.append(_NOTICE)
        if b"reports" in asked:
            self._out.append(ParameterStatus("TimeZone", "UTC").encode())
        if b"notifies" in asked:
            self._out.append(NotificationResponse(7, "news", "").encode())
        if b"fails" in asked:
            self._out += rows[:1]
            raise _Failed

    def _rows(self, sql: bytes, values: Sequence[bytes | None]) -> list[bytes]:
        if b"json_build_object" in sql:
            prepared = [name.decode() for name in self._texts if name and not name.startswith(b"tidegate")]
            row = found(**self._state) | {"prepared": prepared}
            return [DataRow((json.dumps(row).encode(),)).encode()]
        if not self._gives_rows(sql):
            return []
        sum_ = crc32(repr((sql, values)).encode())
        return [DataRow((b"%d.%d" % (sum_, number),)).encode() for number in range(sum_ % 3)]
