"""The decoder of pgoutput, four ways: whole messages, cut at every byte, with bytes too many, and recorded sessions."""

from struct import pack

import pytest

from services.cdc.pgoutput.decoder import Decoder
from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    ReplicaIdentity,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
)
from services.shared.lsn import Lsn
from tests.unit.cdc.samples import recorded_sessions


def text(value: str) -> bytes:
    return b"t" + pack("!I", len(value.encode())) + value.encode()


ROW = pack("!H", 5) + text("7") + b"n" + b"u" + text("") + b"b" + pack("!I", 2) + b"\x00\xff"
VALUES = ("7", None, UNCHANGED, "", b"\x00\xff")
KEY = pack("!H", 1) + text("ключ")

WHOLE: list[tuple[bytes, Message]] = [
    (b"B" + pack("!QqI", 0x1_0000_0010, -5, 4_000_000_000), Begin(Lsn(0x1_0000_0010), -5, 4_000_000_000)),
    (b"C" + pack("!BQQq", 0, 16, 64, 99), Commit(Lsn(16), Lsn(64), 99)),
    (b"O" + pack("!Q", 8) + b"there\0", Origin(Lsn(8), "there")),
    (
        b"R"
        + pack("!I", 16384)
        + b"public\0order lines\0f"
        + pack("!H", 2)
        + b"\x01id\0"
        + pack("!Ii", 23, -1)
        + b"\x00n\xc3\xa4me\0"
        + pack("!Ii", 1043, 14),
        Relation(
            16384,
            "public",
            "order lines",
            ReplicaIdentity.FULL,
            (Column("id", 23, -1, True), Column("näme", 1043, 14, False)),
        ),
    ),
    (b"R" + pack("!I", 1) + b"\0x\0n" + pack("!H", 0), Relation(1, "pg_catalog", "x", ReplicaIdentity.NOTHING, ())),
    (b"Y" + pack("!I", 600) + b"s\0mood\0", Type(600, "s", "mood")),
    (b"I" + pack("!I", 5) + b"N" + ROW, Insert(5, VALUES)),
    (b"U" + pack("!I", 5) + b"N" + ROW, Update(5, None, False, VALUES)),
    (b"U" + pack("!I", 5) + b"K" + KEY + b"N" + ROW, Update(5, ("ключ",), True, VALUES)),
    (b"U" + pack("!I", 5) + b"O" + KEY + b"N" + ROW, Update(5, ("ключ",), False, VALUES)),
    (b"D" + pack("!I", 5) + b"K" + KEY, Delete(5, ("ключ",), True)),
    (b"D" + pack("!I", 5) + b"O" + KEY, Delete(5, ("ключ",), False)),
    (b"T" + pack("!IBII", 2, 3, 5, 6), Truncate((5, 6), True, True)),
    (b"T" + pack("!IBI", 1, 0, 5), Truncate((5,), False, False)),
    (b"M" + pack("!BQ", 1, 8) + b"p\0" + pack("!I", 3) + b"a\0b", LogicalMessage(True, Lsn(8), "p", b"a\0b")),
    (b"M" + pack("!BQ", 0, 8) + b"\0" + pack("!I", 0), LogicalMessage(False, Lsn(8), "", b"")),
    (b"c" + pack("!IBQQq", 9, 0, 16, 64, 1), StreamCommit(9, Lsn(16), Lsn(64), 1)),
    (b"A" + pack("!II", 9, 10), StreamAbort(9, 10)),
    (b"A" + pack("!IIQq", 9, 10, 16, 1), StreamAbort(9, 10, Lsn(16), 1)),
    (b"S" + pack("!IB", 9, 1), StreamStart(9, True)),
]
"""Messages as they stand outside a piece of a transaction in progress."""

STREAMED: list[tuple[bytes, Message]] = [
    (b"R" + pack("!II", 9, 1) + b"s\0x\0d" + pack("!H", 0), Relation(1, "s", "x", ReplicaIdentity.DEFAULT, (), 9)),
    (b"Y" + pack("!II", 9, 600) + b"s\0mood\0", Type(600, "s", "mood", 9)),
    (b"I" + pack("!II", 9, 5) + b"N" + ROW, Insert(5, VALUES, 9)),
    (b"U" + pack("!II", 9, 5) + b"N" + ROW, Update(5, None, False, VALUES, 9)),
    (b"D" + pack("!II", 9, 5) + b"O" + KEY, Delete(5, ("ключ",), False, 9)),
    (b"T" + pack("!IIBI", 9, 1, 1, 5), Truncate((5,), True, False, 9)),
    (b"M" + pack("!IBQ", 9, 1, 8) + b"p\0" + pack("!I", 1) + b"a", LogicalMessage(True, Lsn(8), "p", b"a", 9)),
    (b"O" + pack("!Q", 8) + b"there\0", Origin(Lsn(8), "there")),
    (b"E", StreamStop()),
]
"""Messages as they stand within one."""

OPENING = b"S" + pack("!IB", 9, 1)


def decoder_within_piece() -> Decoder:
    decoder = Decoder()
    decoder.decode(OPENING)
    return decoder


@pytest.mark.parametrize(("data", "expected"), WHOLE, ids=lambda value: type(value).__name__)
def test_a_whole_message_is_read(data: bytes, expected: Message) -> None:
    assert Decoder().decode(data) == expected
    assert type(Decoder().decode(data)) is type(expected)


@pytest.mark.parametrize(("data", "expected"), STREAMED, ids=lambda value: type(value).__name__)
def test_a_message_within_a_piece_carries_its_transaction(data: bytes, expected: Message) -> None:
    assert decoder_within_piece().decode(data) == expected


@pytest.mark.parametrize("data", [data for data, _ in WHOLE])
def test_a_message_cut_anywhere_is_an_error(data: bytes) -> None:
    longest_whole_prefix = {b"A" + pack("!II", 9, 10)}  # the short form of Stream Abort is a prefix of the long one
    for length in range(len(data)):
        if data[:length] not in longest_whole_prefix:
            with pytest.raises(PgoutputError):
                Decoder().decode(data[:length])


@pytest.mark.parametrize("data", [data for data, _ in STREAMED])
def test_a_message_within_a_piece_cut_anywhere_is_an_error(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(PgoutputError):
            decoder_within_piece().decode(data[:length])


@pytest.mark.parametrize("data", [data for data, _ in WHOLE])
def test_bytes_too_many_are_an_error(data: bytes) -> None:
    with pytest.raises(PgoutputError):
        Decoder().decode(data + b"\0")


@pytest.mark.parametrize("data", [data for data, _ in STREAMED])
def test_bytes_too_many_within_a_piece_are_an_error(data: bytes) -> None:
    with pytest.raises(PgoutputError):
        decoder_within_piece().decode(data + b"\0")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        b"I" + pack("!I", 5) + b"X" + ROW,
        b"D" + pack("!I", 5) + b"N" + ROW,
        b"U" + pack("!I", 5) + b"K" + KEY + b"O" + ROW,
        b"I" + pack("!I", 5) + b"N" + pack("!H", 1) + b"x",
        b"I" + pack("!I", 5) + b"N" + pack("!H", 1) + b"t" + pack("!I", 0xFFFFFFFF),
        b"I" + pack("!I", 5) + b"N" + pack("!H", 1) + b"t" + pack("!I", 1) + b"\xff",
        b"R" + pack("!I", 1) + b"s\0x\0z" + pack("!H", 0),
        b"R" + pack("!I", 1) + b"\xff\0x\0d" + pack("!H", 0),
        b"T" + pack("!IB", 0xFFFFFFFF, 0),
        b"E",
    ],
)
def test_what_pgoutput_never_sends_is_an_error(data: bytes) -> None:
    with pytest.raises(PgoutputError):
        Decoder().decode(data)


@pytest.mark.parametrize("data", [b"B" + pack("!QqI", 1, 1, 1), OPENING, b"A" + pack("!II", 9, 10), b"?"])
def test_what_cannot_come_within_a_piece_is_an_error(data: bytes) -> None:
    with pytest.raises(PgoutputError):
        decoder_within_piece().decode(data)


def test_errors_quote_no_values() -> None:
    with pytest.raises(PgoutputError) as raised:
        Decoder().decode(b"I" + pack("!I", 5) + b"N" + pack("!H", 1) + text("secret") + b"more")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("name", "session"), recorded_sessions(), ids=[name for name, _ in recorded_sessions()])
def test_a_recorded_session_is_read_whole_and_not_in_part(name: str, session: list[bytes]) -> None:
    decoder = Decoder()
    kinds = []
    for data in session:
        in_piece = decoder._in_stream_block
        kinds.append(type(decoder.decode(data)))
        for length in range(len(data)):
            fresh = decoder_within_piece() if in_piece else Decoder()
            with pytest.raises(PgoutputError):
                fresh.decode(data[:length])
    expected = {StreamStart, StreamStop, StreamCommit, StreamAbort, Relation, Insert, Truncate, LogicalMessage}
    if name.endswith("plain"):
        expected = {Begin, Commit, Origin, Relation, Type, Insert, Update, Delete, Truncate, LogicalMessage}
    assert set(kinds) == expected


@pytest.mark.parametrize("version", [15, 18])
def test_a_recorded_session_says_what_was_done(version: int) -> None:
    session = dict(recorded_sessions())[f"postgres-{version} plain"]
    decoder = Decoder()
    messages = [decoder.decode(data) for data in session]
    rows = [message for message in messages if isinstance(message, Insert | Update | Delete)]
    assert rows[0].new == ("1", "naïve ☃", "1.50", "happy", "x" * 3000)  # type: ignore[union-attr]  # an Insert
    assert rows[2] == Update(rows[0].relation, None, False, ("1", "plain", "1.50", "happy", UNCHANGED))
    moved = ("2", None, None, None, None)
    assert rows[3] == Update(rows[0].relation, moved, True, ("3", None, None, None, None))
    assert rows[4] == Delete(rows[0].relation, ("3", None, None, None, None), True)
    full = rows[5].relation
    assert rows[7:9] == [Update(full, ("2", None), False, ("2", "zwei")), Delete(full, ("1", "one"), False)]
    truncate = next(message for message in messages if isinstance(message, Truncate))
    assert truncate == Truncate((rows[0].relation, full), True, True)
    assert [message for message in messages if isinstance(message, Origin)] == [Origin(Lsn(0x1_02345678), "elsewhere")]
