"""An answer that is taken in one look is what its messages say one by one; whatever is not quite usual is not taken."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.proxy.session.exchange import Exchange, ParseAck, Segment
from services.proxy.session.prepared import Prepared
from services.proxy.session.recorder import Recorder
from services.proxy.session.relay import BackendRelay
from services.proxy.session.whole_answer import whole_answer
from services.shared.pgwire.backend import (
    EMPTY_QUERY_RESPONSE,
    NO_DATA,
    PORTAL_SUSPENDED,
    READY_FOR_QUERY,
    BindComplete,
    CloseComplete,
    Column,
    CommandComplete,
    CopyInResponse,
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
PARSED, BOUND = ParseComplete().encode(), BindComplete().encode()
DESCRIPTION = RowDescription((Column("a", 0, 0, 23, 4, -1, 0),)).encode()
ROW = DataRow((b"1", None)).encode()
COMPLETE, UPDATED = CommandComplete("SELECT 1").encode(), CommandComplete("UPDATE 1").encode()
NOTICE = NoticeResponse((("S", "NOTICE"), ("V", "NOTICE"), ("C", "00000"), ("M", "m"))).encode()
ERROR = ErrorResponse((("S", "ERROR"), ("V", "ERROR"), ("C", "42P01"), ("M", "m"))).encode()
UNUSUAL = (
    NOTICE,
    ERROR,
    NotificationResponse(7, "news", "").encode(),
    ParameterStatus("TimeZone", "UTC").encode(),
    EMPTY_QUERY_RESPONSE,
    CloseComplete().encode(),
    CopyInResponse(0, (0,)).encode(),
    CommandComplete("COMMIT").encode(),
    READY,
    READY_FOR_QUERY[TransactionStatus.IN_BLOCK],
    READY_FOR_QUERY[TransactionStatus.FAILED],
    DataRow((READY,)).encode(),
    COMPLETE,
)
PREPARED = Prepared(b"SELECT 1", (), b"raw")
ROOM = 120


def usual() -> st.SearchStrategy[list[bytes]]:
    """The messages of an answer to one statement that succeeded."""
    return st.tuples(
        st.sampled_from([[], [PARSED]]),
        st.sampled_from([[], [BOUND]]),
        st.sampled_from([[], [DESCRIPTION], [NO_DATA]]),
        st.lists(st.sampled_from([ROW, DataRow(()).encode(), DataRow((b"x" * 50,)).encode()]), max_size=4),
        st.sampled_from([[COMPLETE], [UPDATED], [PORTAL_SUSPENDED]]),
        st.just([READY]),
    ).map(lambda parts: [message for part in parts for message in part])


def spoilt(messages: list[bytes], at: int, more: list[bytes]) -> bytes:
    at %= len(messages) + 1
    return b"".join((*messages[:at], *more, *messages[at:]))


SENT = st.one_of(
    usual().map(b"".join),
    st.builds(
        spoilt, usual(), st.integers(0, 9), st.lists(st.sampled_from((*UNUSUAL, PARSED, BOUND, ROW)), max_size=2)
    ),
)


def taken(exchange: Exchange) -> dict[str, object]:
    """What is known once all of an answer has come."""
    segment = exchange.segments[0]
    recorder = segment.recorder
    assert recorder is not None
    return {
        "answers": [recorder.answer(described=described) for described in (True, False)],
        "too large": recorder.spoiled == "answer_too_large",
        "settled": segment.settled,
        "ended": (exchange.ended, exchange.done, exchange.failed, exchange.status),
        "noticed": (exchange.committed, exchange.setting_changed, exchange.fatal, exchange.copied),
    }


def expecting(*, parsed: bool) -> Exchange:
    return Exchange([Segment([ParseAck(b"", PREPARED)] if parsed else [], Recorder(ROOM))])


@settings(max_examples=60)
@given(data=SENT, parse_due=st.booleans())
@example(data=b"".join((PARSED, BOUND, DESCRIPTION, ROW, COMPLETE, READY)), parse_due=True)
@example(data=b"".join((PARSED, BOUND, DESCRIPTION, ROW, COMPLETE, READY)), parse_due=False)
@example(data=b"".join((BOUND, DESCRIPTION, ROW, COMPLETE, READY)), parse_due=True)
def test_an_answer_taken_in_one_look_is_what_its_messages_say(data: bytes, *, parse_due: bool) -> None:
    """Whether its ParseComplete is due or not: so nobody has to compare the two."""
    answer = whole_answer(data)
    if answer is None:
        return
    at_once, one_by_one = expecting(parsed=parse_due), expecting(parsed=parse_due)
    at_once.take_whole(answer, TransactionStatus.IDLE)
    assert BackendRelay().feed(data, one_by_one) == data
    assert taken(at_once) == taken(one_by_one)
    assert at_once.done


@settings(max_examples=20)
@given(usual())
def test_a_usual_answer_is_taken_when_it_is_there_to_its_end(messages: list[bytes]) -> None:
    data = b"".join(messages)
    assert whole_answer(data) is not None
    assert not any(whole_answer(data[:end]) for end in range(len(data)))


NOT_TAKEN = {
    "nothing": (),
    "ReadyForQuery alone": (READY,),
    "an error": (PARSED, BOUND, ERROR, READY),
    "an error behind rows": (PARSED, BOUND, DESCRIPTION, ROW, ERROR, READY),
    "a notice in front": (NOTICE, DESCRIPTION, ROW, COMPLETE, READY),
    "a notice among the rows": (DESCRIPTION, ROW, NOTICE, ROW, COMPLETE, READY),
    "a notice behind": (DESCRIPTION, ROW, COMPLETE, NOTICE, READY),
    "a changed setting": (DESCRIPTION, ROW, UNUSUAL[3], COMPLETE, READY),
    "a notification": (DESCRIPTION, ROW, COMPLETE, UNUSUAL[2], READY),
    "two completions": (DESCRIPTION, ROW, COMPLETE, COMPLETE, READY),
    "two answers": (DESCRIPTION, COMPLETE, DESCRIPTION, COMPLETE, READY),
    "two turns": (DESCRIPTION, COMPLETE, READY, DESCRIPTION, COMPLETE, READY),
    "an empty query": (EMPTY_QUERY_RESPONSE, READY),
    "a COPY": (UNUSUAL[6], COMPLETE, READY),
    "a block that goes on": (COMPLETE, READY_FOR_QUERY[TransactionStatus.IN_BLOCK]),
    "a block that failed": (COMPLETE, READY_FOR_QUERY[TransactionStatus.FAILED]),
    "no completion": (DESCRIPTION, ROW, READY),
    "a ReadyForQuery that is a value": (DESCRIPTION, DataRow((READY,)).encode()),
    "Postgres's last words": (COMPLETE, READY, ERROR),
    "a length below that of a length": (DESCRIPTION, b"D\0\0\0\3", COMPLETE, READY),
    "a length beyond the end": (DESCRIPTION, b"D\xff\xff\xff\xff", COMPLETE, READY),
    "the beginning of a message": (DESCRIPTION, b"D\0\0", READY),
}


@pytest.mark.parametrize("messages", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_what_is_not_quite_usual_is_not_taken(messages: tuple[bytes, ...]) -> None:
    assert whole_answer(b"".join(messages)) is None
