"""What is expected of Postgres, what the client does not see of it, what is learned from it."""

import pytest

from services.proxy.session.exchange import Ack, CloseAck, Exchange, ParseAck, Question, Segment, Unasked
from services.proxy.session.prepared import Prepared
from services.proxy.session.recorder import Recorder
from services.proxy.session.relay import BackendRelay
from services.shared.pgwire.backend import (
    READY_FOR_QUERY,
    BindComplete,
    CloseComplete,
    Column,
    CommandComplete,
    CopyInResponse,
    CopyOutResponse,
    DataRow,
    ErrorResponse,
    NoticeResponse,
    NotificationResponse,
    ParameterStatus,
    ParseComplete,
    RowDescription,
)
from services.shared.pgwire.codes import TransactionStatus

READY = READY_FOR_QUERY[TransactionStatus.IDLE]
PARSED, BOUND, CLOSED = ParseComplete().encode(), BindComplete().encode(), CloseComplete().encode()
ERROR = ErrorResponse((("S", "ERREUR"), ("V", "ERROR"), ("C", "42P01"), ("M", "no such relation"))).encode()
FATAL = ErrorResponse((("S", "FATAL"), ("V", "FATAL"), ("C", "57P01"), ("M", "going down"))).encode()
DESCRIPTION = RowDescription((Column("a", 0, 0, 23, 4, -1, 0),)).encode()
ROW = DataRow((b"1",)).encode()
COMPLETE = CommandComplete("SELECT 1").encode()


def parse(name: bytes, *, swallowed: bool = False) -> ParseAck:
    return ParseAck(name, Prepared(b"SELECT " + name, (), b"raw"), swallowed)


def seen(exchange: Exchange | Question | Unasked, *stream: bytes) -> bytes:
    """Show a stream to the exchange; return what the client sees."""
    return BackendRelay().feed(b"".join(stream), exchange)


def test_a_turn_ends_with_ready_for_query() -> None:
    exchange = Exchange([Segment(())])
    assert seen(exchange, DESCRIPTION, ROW, COMPLETE) == DESCRIPTION + ROW + COMPLETE
    assert (exchange.done, exchange.failed) == (False, False)
    assert seen(exchange, READY_FOR_QUERY[TransactionStatus.IN_BLOCK]) != b""
    assert (exchange.done, exchange.failed, exchange.status) == (True, False, TransactionStatus.IN_BLOCK)


def test_the_answers_to_the_clients_own_messages_are_counted() -> None:
    exchange = Exchange([Segment([parse(b"", swallowed=True), parse(b"a")])], closes=1)
    seen(exchange, BOUND, CLOSED, PARSED)
    assert exchange.answers == 0
    seen(exchange, PARSED, BOUND, DESCRIPTION, ROW, COMPLETE)
    assert exchange.answers == 4


def test_acks_come_in_the_order_of_their_messages() -> None:
    acks: list[Ack] = [parse(b"a"), CloseAck(b"b"), parse(b"c"), CloseAck(None)]
    exchange = Exchange([Segment(acks)])
    stream = PARSED + CLOSED + PARSED + CLOSED + READY
    assert seen(exchange, stream) == stream
    assert exchange.segments[0].settled == acks


def test_only_the_proxys_own_parse_is_kept_from_the_client() -> None:
    exchange = Exchange([Segment([parse(b"", swallowed=True), parse(b"a")])])
    assert seen(exchange, PARSED, PARSED, BOUND, READY) == PARSED + BOUND + READY
    assert len(exchange.segments[0].settled) == 2


def test_a_parse_of_the_proxys_own_in_a_later_part() -> None:
    exchange = Exchange([Segment([parse(b"a")])])
    exchange.segments[0].expect([parse(b"", swallowed=True)])
    assert seen(exchange, PARSED, PARSED, BOUND, READY) == PARSED + BOUND + READY


def test_what_follows_an_error_is_not_acknowledged() -> None:
    first, second, third = parse(b"a"), parse(b"b"), CloseAck(b"a")
    exchange = Exchange([Segment([first, second, third])])
    assert seen(exchange, PARSED, ERROR, READY) == PARSED + ERROR + READY
    assert exchange.segments[0].settled == [first]
    assert exchange.failed
    assert not exchange.fatal


def test_an_ack_that_nobody_expects_passes() -> None:
    exchange = Exchange([Segment(())])
    assert seen(exchange, PARSED, CLOSED) == PARSED + CLOSED
    assert exchange.segments[0].settled == []


def test_a_fatal_error_is_told_by_the_severity_that_is_not_translated() -> None:
    exchange = Exchange([Segment(())])
    seen(exchange, FATAL)
    assert exchange.fatal


def test_copy_in_is_noticed_and_copy_out_is_not() -> None:
    exchange = Exchange([Segment(())])
    seen(exchange, CopyOutResponse(0, (0,)).encode())
    assert not exchange.copying
    seen(exchange, CopyInResponse(0, (0,)).encode())
    assert exchange.copying


def test_a_changed_setting_is_noticed() -> None:
    exchange = Exchange([Segment(())])
    seen(exchange, NoticeResponse((("S", "NOTICE"), ("M", "text"))).encode())
    assert not exchange.setting_changed
    seen(exchange, ParameterStatus("TimeZone", "UTC").encode())
    assert exchange.setting_changed


@pytest.mark.parametrize("chunk", [1 << 30, 1, 6])
def test_the_recorder_sees_everything(chunk: int) -> None:
    recorder = Recorder(1_000)
    exchange, relay = Exchange([Segment([parse(b"")], recorder)]), BackendRelay()
    stream = PARSED + BOUND + DESCRIPTION + ROW + ROW + COMPLETE + READY
    for start in range(0, len(stream), chunk):
        relay.feed(stream[start : start + chunk], exchange)
    answer = recorder.answer(described=True)
    assert answer is not None
    assert (answer.description, answer.rows, answer.complete) == (DESCRIPTION, ROW + ROW, COMPLETE)


# -- the proxy's own question

STATE_ROW = DataRow((b'{"user": "alice"}',)).encode()


@pytest.mark.parametrize("chunk", [1 << 30, 1, 6])
def test_the_client_sees_nothing_of_the_question_for_the_state(chunk: int) -> None:
    question, relay = Question(), BackendRelay()
    stream = CLOSED + PARSED + BOUND + STATE_ROW + CommandComplete("SELECT 1").encode() + CLOSED + READY
    passed = b"".join(relay.feed(stream[at : at + chunk], question) for at in range(0, len(stream), chunk))
    assert passed == b""
    assert question.done
    assert question.row == b'{"user": "alice"}'


def test_a_question_that_postgres_refuses_has_no_row() -> None:
    question = Question()
    assert seen(question, CLOSED, ERROR, READY) == b""
    assert question.done
    assert question.row is None


def test_what_postgres_says_of_its_own_accord_passes_a_question() -> None:
    question = Question()
    told = NotificationResponse(7, "channel", "payload").encode()
    assert seen(question, told, DESCRIPTION, STATE_ROW, told, COMPLETE, READY, told) == told * 3


def test_why_postgres_ends_a_connection_is_held_back_where_the_session_may_go_on() -> None:
    warning = NoticeResponse((("S", "WARNING"), ("V", "WARNING"), ("C", "57P01"), ("M", "immediate shutdown"))).encode()
    notice = NoticeResponse((("S", "NOTICE"), ("V", "NOTICE"), ("C", "00000"), ("M", "something else"))).encode()
    plain = Unasked()
    assert seen(plain, notice, warning, FATAL) == notice + warning + FATAL
    assert plain.fatal

    holding = Unasked(holds_farewell=True)
    assert seen(holding, notice, warning) == notice
    assert seen(holding, FATAL) == b""
    assert holding.release_farewell() == warning + FATAL
    assert holding.fatal
    assert holding.release_farewell() == b""


def test_a_farewell_without_an_error_leaves_it_to_the_proxy_to_say_one() -> None:
    warning = NoticeResponse((("S", "WARNING"), ("V", "WARNING"), ("C", "57P02"), ("M", "crash"))).encode()
    holding = Unasked(holds_farewell=True)
    seen(holding, warning)
    assert holding.release_farewell() == warning
    assert not holding.fatal


def test_a_question_in_front_of_a_turn_is_hidden_and_its_failure_is_not_that_of_the_turn() -> None:
    for answer, row in (((PARSED, BOUND, ROW, COMPLETE, CLOSED), b"1"), ((ERROR,), None)):
        question = Question()
        exchange = Exchange([Segment([parse(b"")])], closes=1, question=question)
        turn = DESCRIPTION + ROW + COMPLETE
        assert seen(exchange, *answer, READY, PARSED, BOUND, CLOSED, PARSED, turn, READY) == PARSED + turn + READY
        assert (question.row, exchange.failed, exchange.done) == (row, False, True)


def test_what_ends_the_connection_in_a_question_is_shown() -> None:
    exchange = Exchange([Segment(())], question=Question())
    assert seen(exchange, FATAL) == FATAL
    assert exchange.fatal


def test_a_setting_that_changes_with_a_question_is_noted() -> None:
    exchange = Exchange([Segment(())], question=Question())
    seen(exchange, ParameterStatus("in_hot_standby", "off").encode())
    assert exchange.setting_changed
