"""The scanner: the same marks whatever the chunks, bodies only of what is small, no copies of what is not."""

import tracemalloc

import pytest

from services.shared.pgwire.backend import CommandComplete, DataRow, ParameterStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import HEADER_BYTES, frame
from services.shared.pgwire.scanner import (
    BACKEND_BULKY,
    HELD_BYTES,
    BackendScanner,
    FrontendScanner,
    Mark,
    Scanner,
)
from tests.unit.pgwire.examples import BACKEND

STREAM = b"".join(raw for _, raw in BACKEND if raw[0] != 0) + DataRow((b"x" * 300,)).encode() * 3


def _seen(scanner: Scanner, stream: bytes, size: int) -> list[tuple[int, int, int, bytes]]:
    """Scan in chunks of a size; return code, start and end in the stream, and bytes of each mark, with runs joined."""
    seen: list[tuple[int, int, int, bytes]] = []
    for at in range(0, len(stream), size):
        chunk = stream[at : at + size]
        for mark in scanner.scan(chunk):
            assert 0 < mark.end <= len(chunk)
            entry = (mark.code, at + mark.start, at + mark.end, mark.raw)
            if seen and mark.code in BACKEND_BULKY and seen[-1][0] == mark.code:
                assert seen[-1][2] == entry[1]
                entry = (mark.code, seen[-1][1], entry[2], b"")
                seen.pop()
            seen.append(entry)
        assert scanner.position == at + len(chunk)
    return seen


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 11, 64, 301, 4096])
def test_marks_do_not_depend_on_the_chunks(size: int) -> None:
    whole, scanner = BackendScanner(), BackendScanner()
    expected = _seen(whole, STREAM, len(STREAM))
    assert _seen(scanner, STREAM, size) == expected
    assert scanner.between_messages


def test_marks_tile_the_stream_and_small_messages_come_whole() -> None:
    at = 0
    for code, start, end, raw in _seen(BackendScanner(), STREAM, 10):
        assert start == at
        assert raw == (b"" if code in BACKEND_BULKY else STREAM[start:end])
        at = end
    assert at == len(STREAM)


def test_rows_are_one_mark() -> None:
    row = DataRow((b"1",)).encode()
    done = CommandComplete("SELECT 3").encode()
    marks = BackendScanner().scan(row * 3 + done)
    assert marks == [
        Mark(ord("D"), 0, 3 * len(row), 3, b""),
        Mark(ord("C"), 3 * len(row), 3 * len(row) + len(done), 1, done),
    ]


def test_a_message_that_began_earlier_starts_below_zero() -> None:
    scanner = BackendScanner()
    ready = b"Z\0\0\0\5T"
    assert scanner.scan(ready[:2]) == []
    assert not scanner.between_messages
    assert scanner.scan(ready[2:4]) == []
    assert scanner.scan(ready[4:]) == [Mark(ord("Z"), -4, 2, 1, ready)]


@pytest.mark.parametrize(
    "header", [b"D\0\0\0\3", b"Z\0\0\0\6", b"1\0\0\0\5", b"D\x7f\xff\xff\xff", b"D\xff\xff\xff\xff"]
)
def test_lengths_that_cannot_be_are_refused_wherever_the_chunks_are_cut(header: bytes) -> None:
    for cut in range(len(header) + 1):
        scanner = BackendScanner()
        chunks = iter((b"1\0\0\0\4" + header[:cut], header[cut:]))
        with pytest.raises(ProtocolViolation):
            list(map(scanner.scan, chunks))


def test_a_bulky_message_is_not_kept() -> None:
    """64 MiB in one row: neither what is held nor the peak grows with it."""
    chunk = bytes(1 << 16)
    count = 1024
    scanner = BackendScanner()
    tracemalloc.start()
    scanner.scan(b"D" + (4 + count * len(chunk)).to_bytes(4, "big"))
    marks = [scanner.scan(chunk) for _ in range(count)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert marks[-1] == [Mark(ord("D"), -(HEADER_BYTES + (count - 1) * len(chunk)), len(chunk), 1, b"")]
    assert not any(marks[:-1])
    assert peak < 1 << 20


@pytest.mark.parametrize("split", [False, True])
def test_an_error_too_long_to_hold_is_marked_without_its_bytes(split: bool) -> None:
    for size, held in ((HELD_BYTES, True), (HELD_BYTES + 1, False)):
        raw = frame(ord("E"), b"Mx" + b"y" * (size - HEADER_BYTES - 4) + b"\0\0")
        assert len(raw) == size
        scanner = BackendScanner()
        marks = [mark for chunk in ((raw[:99], raw[99:]) if split else (raw,)) for mark in scanner.scan(chunk)]
        assert [mark.raw for mark in marks] == [raw if held else b""]


def test_what_is_bulky_is_configurable() -> None:
    status = ParameterStatus("TimeZone", "UTC").encode()
    [mark] = BackendScanner(bulky=frozenset((ord("S"),))).scan(status)
    assert mark.raw == b""


def test_the_frontend_direction_finds_the_end_of_a_copy() -> None:
    scanner = FrontendScanner()
    data = frame(ord("d"), b"1\tx\n")
    assert scanner.scan(data + data + data[:7]) == [Mark(ord("d"), 0, 2 * len(data), 2, b"")]
    assert scanner.scan(data[7:] + b"c\0\0\0\4") == [
        Mark(ord("d"), -7, len(data) - 7, 1, b""),
        Mark(ord("c"), len(data) - 7, len(data) - 2, 1, b"c\0\0\0\4"),
    ]
