"""What a session without a connection to Postgres says by itself, as Postgres would."""

import pytest

from services.proxy.session.names import no_names
from services.proxy.session.orphan import Loner, answer_alone
from services.proxy.session.statements import SessionStatements
from services.shared.pgwire.backend import BindComplete, CloseComplete, EmptyQueryResponse, NoData, ParseComplete
from services.shared.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    Parse,
    Query,
    Sync,
    Target,
)
from services.shared.pgwire.rows import Column, CommandComplete, DataRow, ParameterDescription, RowDescription

_READ, _WRITE = b"SELECT v FROM t WHERE id = $1", b"DELETE FROM t"
_EMPTY = EmptyQueryResponse().encode()
_PARSED, _BOUND, _CLOSED = ParseComplete().encode(), BindComplete().encode(), CloseComplete().encode()
_TIDYING = b"SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"


def _one(result_format: int) -> bytes:
    column = Column("?column?", 0, 0, 23, 4, -1, result_format)
    return RowDescription((column,)).encode()


def _row(value: bytes) -> bytes:
    return DataRow((value,)).encode() + CommandComplete("SELECT 1").encode()


def _loner(*, untouched: bool = True) -> Loner:
    return Loner(SessionStatements(no_names()), lambda _text: (1,), lambda text: text == _READ, untouched)


def _bind(name: bytes = b"", formats: tuple[int, ...] = ()) -> Bind:
    return Bind(b"", name, (), (), formats)


@pytest.mark.parametrize(
    ("messages", "reply"),
    [
        ([Query(b" ; ")], _EMPTY),
        ([Query(b"select 1;")], _one(0) + _row(b"1")),
        ([Sync()], b""),
        ([Flush()], b""),
        ([Close(Target.PORTAL, b"p"), Close(Target.STATEMENT, b"s"), Sync()], _CLOSED * 2),
        ([Parse(b"s", _READ), Sync()], _PARSED),
        (
            [Parse(b"", b""), _bind(), Describe(Target.PORTAL, b""), Execute(b""), Sync()],
            _PARSED + _BOUND + NoData().encode() + _EMPTY,
        ),
        (
            [Parse(b"", b";"), Describe(Target.STATEMENT, b""), Flush()],
            _PARSED + ParameterDescription(()).encode() + NoData().encode(),
        ),
        (
            [Parse(b"", b"SELECT 1"), _bind(formats=(1,)), Describe(Target.PORTAL, b""), Execute(b""), Sync()],
            _PARSED + _BOUND + _one(1) + _row(b"\0\0\0\1"),
        ),
        ([Query(b"DISCARD TEMP")], CommandComplete("DISCARD TEMP").encode()),
    ],
    ids=str,
)
def test_what_needs_nobody_is_answered(messages: list[FrontendMessage], reply: bytes) -> None:
    assert answer_alone(messages, _loner()) == (reply, len(messages))


@pytest.mark.parametrize(
    ("messages", "reply", "count"),
    [
        ([Query(_WRITE)], b"", 0),
        ([Query(b"SELECT 1; DELETE FROM t")], b"", 0),
        ([Query(b"RESET ALL; DELETE FROM t")], b"", 0),
        ([Query(b"RESET ALL; SET datestyle = german")], b"", 0),
        ([Parse(b"s", _WRITE), Sync()], b"", 0),
        ([Parse(b"s", _READ), Bind(b"", b"s", (), (b"1",), ()), Execute(b""), Sync()], _PARSED, 1),
        ([Parse(b"s", _READ), Describe(Target.STATEMENT, b"s"), Sync()], _PARSED, 1),
        ([_bind(b"unknown"), Execute(b""), Sync()], b"", 0),
        ([Execute(b""), Sync()], b"", 0),
        ([Bind(b"named", b"", (), (), ())], b"", 0),
    ],
    ids=str,
)
def test_what_does_is_left(messages: list[FrontendMessage], reply: bytes, count: int) -> None:
    assert answer_alone(messages, _loner()) == (reply, count)


def test_a_name_that_is_taken_is_not_given_another_meaning() -> None:
    loner = _loner()
    answer_alone([Parse(b"s", _READ), Sync()], loner)
    assert answer_alone([Parse(b"s", _READ), Sync()], loner) == (b"", 0)
    answer_alone([Close(Target.STATEMENT, b"s"), Sync()], loner)
    assert answer_alone([Parse(b"s", _READ), Sync()], loner) == (_PARSED, 2)


def test_settings_that_were_changed_are_not_reset() -> None:
    _, count = answer_alone([Query(_TIDYING)], _loner())
    assert count == 1
    assert answer_alone([Query(_TIDYING)], _loner(untouched=False)) == (b"", 0)
