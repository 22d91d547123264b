"""What is kept of an answer, and which answers are not kept at all."""

import pytest

from services.proxy.session.recorder import Recorder
from services.proxy.session.relay import BackendRelay
from services.shared.pgwire.backend import (
    EMPTY_QUERY_RESPONSE,
    NO_DATA,
    PORTAL_SUSPENDED,
    READY_FOR_QUERY,
    BindComplete,
    Column,
    CommandComplete,
    CopyData,
    CopyOutResponse,
    DataRow,
    ErrorResponse,
    NoticeResponse,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    RowDescription,
)
from services.shared.pgwire.codes import TransactionStatus
from tests.unit.proxy.recording_sink import RecordingSink

READY = READY_FOR_QUERY[TransactionStatus.IDLE]
AROUND = ParseComplete().encode() + BindComplete().encode()
DESCRIPTION = RowDescription((Column("a", 0, 0, 23, 4, -1, 0),)).encode()
ROW = DataRow((b"1",)).encode()
COMPLETE = CommandComplete("SELECT 2").encode()
WHOLE = DESCRIPTION + ROW + ROW + COMPLETE


def recorded(stream: bytes, *, limit: int = 10_000, chunk: int = 1 << 30) -> Recorder:
    recorder, relay = Recorder(limit), BackendRelay()
    sink = RecordingSink(recorder)
    for start in range(0, len(stream), chunk):
        relay.feed(stream[start : start + chunk], sink)
    return recorder


@pytest.mark.parametrize("chunk", [1 << 30, 1, 5, 13])
def test_an_answer_is_kept_without_what_belongs_to_the_turn(chunk: int) -> None:
    answer = recorded(AROUND + WHOLE + READY, chunk=chunk).answer(described=True)
    assert answer is not None
    assert (answer.description, answer.rows, answer.complete) == (DESCRIPTION, ROW + ROW, COMPLETE)


def test_an_answer_without_rows_or_description_is_one() -> None:
    answer = recorded(AROUND + CommandComplete("SELECT 0").encode() + READY).answer(described=False)
    assert answer is not None
    assert (answer.description, answer.rows) == (b"", b"")


def test_a_description_that_was_asked_for_has_to_be_there() -> None:
    assert recorded(AROUND + ROW + COMPLETE + READY).answer(described=True) is None


def test_an_answer_that_did_not_come_to_its_end_is_not_kept() -> None:
    assert recorded(DESCRIPTION + ROW).answer(described=True) is None


@pytest.mark.parametrize("tag", ["INSERT 0 1", "UPDATE 1", "FETCH 1", "SET", "COPY 1", "CALL"])
def test_only_the_answer_to_a_select_is_kept(tag: str) -> None:
    assert recorded(DESCRIPTION + ROW + CommandComplete(tag).encode() + READY).answer(described=True) is None


@pytest.mark.parametrize(
    "strange",
    [
        ErrorResponse((("S", "ERROR"), ("M", "division by zero"))).encode(),
        NoticeResponse((("S", "NOTICE"), ("M", "text"))).encode(),
        ParameterStatus("TimeZone", "UTC").encode(),
        PORTAL_SUSPENDED,
        EMPTY_QUERY_RESPONSE,
        NO_DATA,
        ParameterDescription((23,)).encode(),
        CopyOutResponse(0, (0,)).encode(),
        CopyData(b"1\n").encode(),
        COMPLETE,
        WHOLE,
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_is_not_one_plain_answer_is_not_kept(strange: bytes, first: bool) -> None:
    recorder = recorded((strange + WHOLE if first else WHOLE + strange) + READY)
    assert recorder.answer(described=True) is None
    assert recorder.spoiled == "unexpected_message"


def test_a_row_limit_ends_an_answer_with_a_suspended_portal() -> None:
    answer = recorded(DESCRIPTION + ROW + PORTAL_SUSPENDED + READY).answer(described=True)
    assert answer is not None
    assert (answer.rows, answer.complete) == (ROW, PORTAL_SUSPENDED)


def test_a_notification_is_no_part_of_an_answer() -> None:
    told = NotificationResponse(7, "channel", "payload").encode()
    answer = recorded(told + WHOLE + told + READY).answer(described=True)
    assert answer is not None
    assert answer.rows == ROW + ROW


@pytest.mark.parametrize(("limit", "kept"), [(len(WHOLE), True), (len(WHOLE) - 1, False)])
def test_an_answer_beyond_the_limit_is_not_kept(limit: int, kept: bool) -> None:
    recorder = recorded(WHOLE + READY, limit=limit)
    assert (recorder.answer(described=True) is not None) is kept
    assert recorder.spoiled == ("" if kept else "answer_too_large")


def test_a_spoiled_answer_takes_no_more_memory() -> None:
    recorder = recorded(DESCRIPTION + ROW * 1_000, limit=500, chunk=100)
    assert recorder._rows == []
    assert recorder.answer(described=True) is None
