"""Hostile bytes: the decoder and the frames raise nothing but what they document, whatever comes."""

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from services.cdc.pgoutput.decoder import Decoder
from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import UNCHANGED, ColumnValue, Delete, Insert, Update
from tests.unit.cdc.samples import recorded_sessions

_MESSAGES = [message for _, session in recorded_sessions() for message in session]
_KINDS = st.sampled_from(b"BCORYIUDTMSEcA")

column_values = st.one_of(st.none(), st.just(UNCHANGED), st.text(), st.binary())
rows = st.lists(column_values, max_size=8).map(tuple)
oids = st.integers(0, 2**32 - 1)


def write_row(row: tuple[ColumnValue, ...]) -> bytes:
    """Write a row version as pgoutput does."""
    parts = [pack("!H", len(row))]
    for value in row:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            data = value.encode() if isinstance(value, str) else value
            parts.append((b"t" if isinstance(value, str) else b"b") + pack("!I", len(data)) + data)
    return b"".join(parts)


def decode_hostile(decoder: Decoder, data: bytes) -> None:
    try:
        decoder.decode(data)
    except PgoutputError:
        return


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes(messages: list[bytes]) -> None:
    decoder = Decoder()
    for data in messages:
        decode_hostile(decoder, data)


@given(st.lists(st.tuples(_KINDS, st.binary(max_size=100)), max_size=5))
def test_any_bytes_behind_a_known_kind(messages: list[tuple[int, bytes]]) -> None:
    decoder = Decoder()
    for kind, data in messages:
        decode_hostile(decoder, bytes([kind]) + data)


@given(st.sampled_from(_MESSAGES), st.data())
def test_a_recorded_message_with_altered_bytes(message: bytes, data: st.DataObject) -> None:
    altered = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    decode_hostile(Decoder(), bytes(altered))
    within_piece = Decoder()
    within_piece.decode(b"S" + pack("!IB", 9, 1))
    decode_hostile(within_piece, bytes(altered))


@given(oids, rows, rows, st.booleans())
def test_rows_come_back_as_they_were_written(
    relation: int, old: tuple[ColumnValue, ...], new: tuple[ColumnValue, ...], is_key: bool
) -> None:
    head, marker = pack("!I", relation), b"K" if is_key else b"O"
    decoder = Decoder()
    assert decoder.decode(b"I" + head + b"N" + write_row(new)) == Insert(relation, new)
    assert decoder.decode(b"D" + head + marker + write_row(old)) == Delete(relation, old, is_key)
    both = b"U" + head + marker + write_row(old) + b"N" + write_row(new)
    assert decoder.decode(both) == Update(relation, old, is_key, new)
