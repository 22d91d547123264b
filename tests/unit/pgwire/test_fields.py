"""Fields: every bound and every range is checked."""

from collections.abc import Callable

import pytest

from services.shared.pgwire import fields
from services.shared.pgwire.errors import ProtocolViolation, Unencodable
from services.shared.pgwire.fields import FieldReader

INTEGERS: list[tuple[Callable[[FieldReader], int], Callable[[int], bytes], int, int, int]] = [
    (FieldReader.uint8, fields.pack_uint8, 1, 0, 2**8 - 1),
    (FieldReader.int16, fields.pack_int16, 2, -(2**15), 2**15 - 1),
    (FieldReader.uint16, fields.pack_uint16, 2, 0, 2**16 - 1),
    (FieldReader.int32, fields.pack_int32, 4, -(2**31), 2**31 - 1),
    (FieldReader.uint32, fields.pack_uint32, 4, 0, 2**32 - 1),
    (FieldReader.int64, fields.pack_int64, 8, -(2**63), 2**63 - 1),
    (FieldReader.uint64, fields.pack_uint64, 8, 0, 2**64 - 1),
]


@pytest.mark.parametrize(("read", "pack", "size", "low", "high"), INTEGERS)
def test_integers_hold_their_range_and_no_more(
    read: Callable[[FieldReader], int], pack: Callable[[int], bytes], size: int, low: int, high: int
) -> None:
    for value in (low, high):
        raw = pack(value)
        assert len(raw) == size
        assert read(FieldReader(b"x" + raw + b"x", 1)) == value
        with pytest.raises(ProtocolViolation):
            read(FieldReader(raw, 0, size - 1))
    for value in (low - 1, high + 1):
        with pytest.raises(Unencodable):
            pack(value)


def test_strings_end_inside_the_bounds() -> None:
    reader = FieldReader(b"ab\0c\0", 0, 4)
    assert reader.cstring() == b"ab"
    with pytest.raises(ProtocolViolation, match="invalid string"):
        reader.cstring()  # its NUL lies beyond the end


@pytest.mark.parametrize("size", [-1, 4, 2**31])
def test_take_refuses_what_is_not_there(size: int) -> None:
    with pytest.raises(ProtocolViolation):
        FieldReader(b"abc").take(size)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xfe", b"\x80\0\0\0", b"\0\0\0\2", b"\x7f\xff\xff\xff", b"\0\0"])
def test_counted_values_refuse_lengths_that_lie(length: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        FieldReader(length + b"x").counted()
    with pytest.raises(ProtocolViolation):
        FieldReader(b"\0\1" + length + b"x").counted_values()


def test_a_count_that_the_bytes_do_not_bear_out_is_refused() -> None:
    for read in (FieldReader.int16_list, FieldReader.uint32_list):
        with pytest.raises(ProtocolViolation):
            read(FieldReader(b"\xff\xff\0\0"))


def test_expect_end() -> None:
    reader = FieldReader(b"a")
    with pytest.raises(ProtocolViolation, match="invalid message format"):
        reader.expect_end()
    assert reader.rest() == b"a"
    assert reader.rest() == b""
    reader.expect_end()
    assert (reader.offset, reader.remaining) == (1, 0)


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (2, 1), (0, 4)])
def test_bounds_outside_the_data_are_the_callers_mistake(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="bounds"):
        FieldReader(b"abc", start, end)


def test_text_is_lossless_for_any_bytes() -> None:
    every = bytes(range(256)) + "ÄÖ€".encode()
    assert fields.from_text(fields.to_text(every)) == every
    with pytest.raises(Unencodable):
        fields.from_text("\ud800")


def test_what_cannot_be_written_is_refused() -> None:
    refused: list[Callable[[], bytes]] = [
        lambda: fields.pack_cstring(b"a\0b"),
        lambda: fields.pack_counted_values([None] * 65_536),
        lambda: fields.pack_int16_list([0] * 65_536),
        lambda: fields.pack_int16_list([40_000]),
        lambda: fields.pack_pairs([("", "x")]),
        lambda: fields.pack_pairs([("a", "\0")]),
    ]
    for pack in refused:
        with pytest.raises(Unencodable):
            pack()
