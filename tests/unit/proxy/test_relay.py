"""Postgres's stream: rows pass as they come, the messages that matter are shown whole, what is held is bounded."""

import struct

import pytest

from services.proxy.session.relay import BackendRelay
from services.shared.pgwire.backend import (
    READY_FOR_QUERY,
    BindComplete,
    CommandComplete,
    CopyData,
    DataRow,
    ErrorResponse,
    NoticeResponse,
    ParseComplete,
)
from services.shared.pgwire.codes import BackendCode, TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import frame
from tests.unit.proxy.sinks import KeepingSink

READY = READY_FOR_QUERY[TransactionStatus.IDLE]
ROW = DataRow((b"1", None, b"three")).encode()
PARSED, BOUND = ParseComplete().encode(), BindComplete().encode()
COMPLETE = CommandComplete("SELECT 2").encode()
ANSWER = PARSED + BOUND + ROW + ROW + COMPLETE + READY


def relayed(stream: bytes, sink: KeepingSink, chunk: int = 1 << 30) -> bytes:
    relay = BackendRelay()
    return b"".join(relay.feed(stream[start : start + chunk], sink) for start in range(0, len(stream), chunk))


@pytest.mark.parametrize("chunk", [1 << 30, 1, 4, 5, 6, 11])
def test_everything_passes_and_is_seen_once(chunk: int) -> None:
    sink = KeepingSink()
    assert relayed(ANSWER, sink, chunk) == ANSWER
    assert sink.messages == [PARSED, BOUND, COMPLETE, READY]
    assert sink.bulk_bytes == [(ord("D"), ROW + ROW)]


def test_a_chunk_of_whole_messages_passes_uncopied() -> None:
    assert BackendRelay().feed(ANSWER, KeepingSink()) is ANSWER


def test_a_run_of_rows_is_one_stretch_across_chunks() -> None:
    sink = KeepingSink()
    relay = BackendRelay()
    middle = len(ROW) * 3 + 7
    stream = ROW * 6 + COMPLETE
    assert relay.feed(stream[:middle], sink) == stream[:middle]
    assert relay.feed(stream[middle:], sink) == stream[middle:]
    # The run, the rest of the row that was split, the run behind it.
    assert [length for _, length in sink.stretches] == [middle, len(ROW) - 7, 2 * len(ROW)]
    assert sink.messages == [COMPLETE]


def test_rows_and_copied_data_are_stretches_of_their_own() -> None:
    sink = KeepingSink()
    copied = CopyData(b"1\tone\n").encode()
    assert relayed(ROW + copied + copied + ROW, sink) == ROW + copied + copied + ROW
    assert [kind for kind, _ in sink.stretches] == [ord("D"), ord("d"), ord("D")]


@pytest.mark.parametrize("chunk", [1 << 30, 1, 3, 7])
@pytest.mark.parametrize("swallowed", [PARSED, BOUND, READY, COMPLETE])
def test_what_the_sink_swallows_does_not_pass(swallowed: bytes, chunk: int) -> None:
    sink = KeepingSink(swallow=frozenset((swallowed[0],)))
    assert relayed(ANSWER, sink, chunk) == ANSWER.replace(swallowed, b"")
    assert swallowed in sink.messages


@pytest.mark.parametrize("chunk", [1 << 30, 1, 9])
def test_rows_may_be_swallowed_too(chunk: int) -> None:
    sink = KeepingSink(swallow=frozenset((BackendCode.DATA_ROW, BackendCode.PARSE_COMPLETE)))
    assert relayed(ANSWER, sink, chunk) == BOUND + COMPLETE + READY


def test_everything_swallowed_leaves_nothing() -> None:
    sink = KeepingSink(swallow=frozenset(range(256)))
    assert relayed(ANSWER, sink, 10) == b""


def test_a_split_message_is_held_back_until_it_is_whole() -> None:
    relay, sink = BackendRelay(), KeepingSink()
    assert relay.feed(ROW + READY[:3], sink) == ROW
    assert relay.feed(READY[3:5], sink) == b""
    assert sink.messages == []
    assert relay.feed(READY[5:], sink) == READY
    assert sink.messages == [READY]


def test_a_long_row_is_never_held() -> None:
    relay, sink = BackendRelay(), KeepingSink()
    row = DataRow((bytes(1_000_000),)).encode()
    for start in range(0, len(row), 10_000):
        chunk = row[start : start + 10_000]
        assert relay.feed(chunk, sink) == chunk
    assert sink.bulk_bytes == [(ord("D"), row)]


def test_a_long_control_message_streams_unseen() -> None:
    relay, sink = BackendRelay(), KeepingSink()
    notice = NoticeResponse((("S", "NOTICE"), ("M", "x" * 100_000))).encode()
    for start in range(0, len(notice), 10_000):
        chunk = notice[start : start + 10_000]
        assert relay.feed(chunk, sink) == chunk
    assert sink.messages == []
    assert relay.feed(READY, sink) == READY
    assert sink.messages == [READY]


def test_what_is_held_is_bounded() -> None:
    """A message that is announced with just less than the limit is held, and no byte more."""
    relay, sink = BackendRelay(), KeepingSink()
    error = ErrorResponse((("S", "ERROR"), ("M", "x" * 65_000))).encode()
    passed = b""
    for start in range(0, len(error), 1_000):
        passed += relay.feed(error[start : start + 1_000], sink)
        assert len(relay._held) <= 64 * 1024 + 5
    assert passed == error
    assert sink.messages == [error]


@pytest.mark.parametrize("length", [0, 3])
@pytest.mark.parametrize("before", [b"", ROW, READY])
@pytest.mark.parametrize("kind", [b"D", b"Z"])
def test_an_impossible_length_is_a_violation(kind: bytes, before: bytes, length: int) -> None:
    with pytest.raises(ProtocolViolation):
        BackendRelay().feed(before + kind + struct.pack(">I", length), KeepingSink())


def test_a_message_without_a_body_is_a_message() -> None:
    sink = KeepingSink()
    empty = frame(BackendCode.EMPTY_QUERY_RESPONSE)
    assert relayed(empty + empty, sink, 2) == empty + empty
    assert sink.messages == [empty, empty]
