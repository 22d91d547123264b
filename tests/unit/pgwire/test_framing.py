"""The buffer: complete messages, in order, whatever the chunks; no length believed before it is checked."""

import tracemalloc

import pytest

from services.shared.pgwire.errors import MessageTooLong, ProtocolViolation, Unencodable
from services.shared.pgwire.framing import (
    AUTH_MESSAGE_LIMIT,
    FRONTEND_LIMITS,
    LARGE_MESSAGE_LIMIT,
    SMALL_MESSAGE_LIMIT,
    Boundary,
    MessageBuffer,
    MessageLimits,
    backend_limits,
    frame,
    frontend_limits,
    open_frame,
)

TURN = b"P\0\0\0\x10\0SELECT 1\0\0\0" + b"B\0\0\0\x0c\0\0\0\0\0\0\0\0" + b"E\0\0\0\x09\0\0\0\0\0" + b"S\0\0\0\4"


def _buffer() -> MessageBuffer:
    return MessageBuffer(FRONTEND_LIMITS)


def test_a_chunk_of_whole_messages_is_given_out_as_it_came() -> None:
    buffer = _buffer()
    buffer.feed(TURN)
    batch = buffer.take()
    assert batch.data is TURN
    assert batch.boundaries == [(ord("P"), 0, 17), (ord("B"), 17, 30), (ord("E"), 30, 40), (ord("S"), 40, 45)]
    assert not buffer.take()


def test_chunks_fed_before_a_take_are_read_as_one() -> None:
    buffer = _buffer()
    for at in range(0, len(TURN), 7):
        buffer.feed(TURN[at : at + 7])
    assert b"".join(message.raw for message in buffer) == TURN


@pytest.mark.parametrize("cut", range(1, len(TURN)))
def test_any_cut_gives_the_same_messages(cut: int) -> None:
    whole, parted = _buffer(), _buffer()
    whole.feed(TURN)
    expected = list(whole)
    parted.feed(TURN[:cut])
    found = list(parted)
    parted.feed(TURN[cut:])
    assert found + list(parted) == expected


@pytest.mark.parametrize("length", [0, 3])
def test_a_length_below_four_is_refused(length: int) -> None:
    buffer = _buffer()
    buffer.feed(b"Q" + length.to_bytes(4, "big"))
    with pytest.raises(ProtocolViolation, match="invalid message length") as caught:
        buffer.take()
    assert not isinstance(caught.value, MessageTooLong)


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        *((code, LARGE_MESSAGE_LIMIT) for code in "QPBFd"),
        *((code, SMALL_MESSAGE_LIMIT) for code in "CDEHSXcf?"),
        ("p", AUTH_MESSAGE_LIMIT),
    ],
)
def test_each_type_has_the_limit_that_postgres_gives_it(code: str, limit: int) -> None:
    buffer = _buffer()
    buffer.feed(code.encode() + limit.to_bytes(4, "big"))
    assert not buffer.take()
    for length in (limit + 1, 2**31 - 1, 2**31, 2**32 - 1):
        buffer = _buffer()
        buffer.feed(code.encode() + length.to_bytes(4, "big"))
        with pytest.raises(MessageTooLong):
            buffer.take()


def test_limits_are_configurable() -> None:
    assert frontend_limits(large=100).table[ord("Q")] == 100
    assert backend_limits(large=100).table[ord("D")] == 100
    assert backend_limits().table[ord("Z")] == 5
    assert MessageLimits({1: 10}, other=20).table[:3] == (20, 10, 20)


def test_messages_before_a_bad_header_are_given_out_first() -> None:
    buffer = _buffer()
    buffer.feed(TURN + b"Q\x7f\xff\xff\xff" + b"x" * 100)
    assert buffer.take().data == TURN
    for _ in range(2):
        with pytest.raises(MessageTooLong):
            buffer.take()


class _CountingBuffer(MessageBuffer):
    """Counts the bytes that are looked at, which are also the bytes that are copied."""

    looked_at = 0

    def _scan(self, data: bytes) -> tuple[list[Boundary], int]:
        self.looked_at += len(data)
        return super()._scan(data)


def test_a_message_in_small_chunks_is_collected_in_linear_time_and_space() -> None:
    """A megabyte in chunks of 16 bytes: looking at all of it for each chunk would come to 32 GiB."""
    size = 1 << 20
    chunk = b"x" * 16
    buffer = _CountingBuffer(FRONTEND_LIMITS)
    tracemalloc.start()
    buffer.feed(b"d" + (size + 4).to_bytes(4, "big"))
    for _ in range(size // len(chunk)):
        assert not buffer.take()
        buffer.feed(chunk)
    assert buffer.pending == 5 + size
    [message] = buffer
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(message.raw) == 5 + size
    assert peak < 5 * size
    assert buffer.looked_at < 2 * size


def test_release_hands_over_what_is_held() -> None:
    buffer = _buffer()
    buffer.feed(TURN + b"d\0\0\0\x20abc")
    assert buffer.take()
    buffer.feed(b"def")
    assert buffer.release() == b"d\0\0\0\x20abcdef"
    assert buffer.pending == 0
    buffer.feed(TURN)
    assert buffer.take().data is TURN


def test_frame_and_open_frame() -> None:
    raw = frame(ord("Q"), b"x\0")
    code, reader = open_frame(b".." + raw + b"..", 2, 2 + len(raw))
    assert (code, reader.rest()) == (ord("Q"), b"x\0")
    with pytest.raises(ValueError, match="bounds"):
        open_frame(raw, 0, len(raw) + 1)


class _Endless(bytes):
    """Claims to be longer than any message may be, without the memory."""

    def __len__(self) -> int:
        return 2**31


def test_a_body_beyond_the_length_word_is_refused() -> None:
    with pytest.raises(Unencodable):
        frame(ord("d"), _Endless())
