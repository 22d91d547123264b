"""The client's stream, cut into turns; how it arrives in chunks changes nothing."""

import pytest

from services.proxy.session.turns import MAX_TURN_BYTES, Part, PartKind, TurnAssembler
from services.shared.pgwire.errors import MessageTooLong, ProtocolViolation
from services.shared.pgwire.frontend import (
    FLUSH,
    SYNC,
    TERMINATE,
    Bind,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    FrontendMessage,
    Parse,
    Query,
    Target,
    decode_frontend,
)

QUERY = Query(b"SELECT 1").encode()
PARSE = Parse(b"", b"SELECT $1").encode()
BIND = Bind(b"", b"", (), (b"7",), ()).encode()
DESCRIBE = Describe(Target.PORTAL, b"").encode()
EXECUTE = Execute(b"").encode()
EXTENDED = PARSE + BIND + DESCRIBE + EXECUTE + SYNC
COPY_DATA = CopyData(b"1\tone\n").encode()
COPY_DONE = CopyDone().encode()

Cut = tuple[str, bytes, bool, bool]


def cut(
    stream: bytes, *, chunk: int = 1 << 30, within_turn: bool = False, copying: bool = False
) -> tuple[list[Part], TurnAssembler]:
    """Feed a stream in chunks, and take every part that is handed out; turns are answered at once."""
    assembler = TurnAssembler()
    parts: list[Part] = []
    for start in range(0, len(stream), chunk):
        assembler.feed(stream[start : start + chunk])
        while (part := assembler.next_part(within_turn=within_turn, copying=copying)) is not None:
            parts.append(part)
    return parts, assembler


def shown(parts: list[Part]) -> list[Cut]:
    return [(part.kind.value, part.raw, part.first, part.last) for part in parts]


def messages(part: Part) -> list[FrontendMessage]:
    return [decode_frontend(part.raw, start, end) for _, start, end in part.messages]


TURNS: list[tuple[bytes, list[Cut]]] = [
    (QUERY, [("turn", QUERY, True, True)]),
    (EXTENDED, [("turn", EXTENDED, True, True)]),
    (QUERY + EXTENDED + QUERY, [("turn", turn, True, True) for turn in (QUERY, EXTENDED, QUERY)]),
    (EXTENDED * 3, [("turn", EXTENDED, True, True)] * 3),
    (SYNC, [("turn", SYNC, True, True)]),
    (
        PARSE + FLUSH + BIND + EXECUTE + SYNC + QUERY,
        [
            ("turn", PARSE + FLUSH, True, False),
            ("turn", BIND + EXECUTE + SYNC, False, True),
            ("turn", QUERY, True, True),
        ],
    ),
    (
        PARSE + BIND + EXECUTE + QUERY + QUERY,
        [("turn", PARSE + BIND + EXECUTE, True, False), ("turn", QUERY, False, True), ("turn", QUERY, True, True)],
    ),
    (QUERY + TERMINATE, [("turn", QUERY, True, True), ("terminate", TERMINATE, True, True)]),
    (PARSE + TERMINATE, [("turn", PARSE, True, False), ("terminate", TERMINATE, False, True)]),
    (
        PARSE + COPY_DONE + SYNC,
        [("turn", PARSE, True, False), ("copy", COPY_DONE, False, False), ("turn", SYNC, False, True)],
    ),
]
every_turn = pytest.mark.parametrize(("stream", "parts"), TURNS)


@every_turn
@pytest.mark.parametrize("chunk", [1 << 30, 1, 3, 7])
def test_how_it_arrives_changes_nothing(stream: bytes, parts: list[Cut], chunk: int) -> None:
    found, assembler = cut(stream, chunk=chunk)
    assert shown(found) == parts
    assert assembler.buffered == 0


@every_turn
def test_the_boundaries_are_those_of_the_messages(stream: bytes, parts: list[Cut]) -> None:
    for part in cut(stream)[0]:
        if part.kind is not PartKind.COPY:
            assert part.whole
            assert b"".join(message.encode() for message in messages(part)) == part.raw


def test_a_turn_is_held_until_it_is_complete() -> None:
    for length in range(len(EXTENDED)):
        parts, assembler = cut(EXTENDED[:length])
        assert parts == []
        assert assembler.buffered == length
        assert assembler.between_turns is (length == 0)


def test_a_turn_that_is_one_chunk_is_not_copied() -> None:
    [part] = cut(EXTENDED)[0]
    assert part.raw is EXTENDED


def test_the_next_turn_waits_for_the_one_under_way() -> None:
    for turn in (QUERY, EXTENDED, SYNC, FLUSH, TERMINATE):
        parts, assembler = cut(turn, within_turn=True)
        assert parts == []
        assert assembler.buffered == len(turn)


def test_the_rest_of_an_open_turn_does_not_wait() -> None:
    _, assembler = cut(PARSE + FLUSH)
    assert assembler.open
    assert not assembler.between_turns
    assembler.feed(BIND + SYNC + QUERY)
    part = assembler.next_part(within_turn=True, copying=False)
    assert part is not None
    assert (part.raw, part.first, part.last) == (BIND + SYNC, False, True)
    assert assembler.next_part(within_turn=True, copying=False) is None
    assert assembler.next_part(within_turn=False, copying=False) is not None
    assert assembler.between_turns


# -- COPY


def after(turn: bytes) -> TurnAssembler:
    """Return an assembler whose turn has been handed out to its end, and is under way."""
    return cut(turn)[1]


def next_copied(assembler: TurnAssembler, stream: bytes) -> list[bytes]:
    assembler.feed(stream)
    raws: list[bytes] = []
    while (part := assembler.next_part(within_turn=True, copying=True)) is not None:
        assert part.kind is PartKind.COPY
        raws.append(part.raw)
    return raws


def test_copy_data_belongs_to_the_turn_under_way() -> None:
    assembler = after(QUERY)
    assert next_copied(assembler, COPY_DATA * 3 + COPY_DONE + QUERY) == [COPY_DATA * 3, COPY_DONE]
    assert assembler.buffered == len(QUERY)


def test_a_sync_inside_a_copy_is_passed_on() -> None:
    """Libpq's extended COPY: one Sync in front of the data, which Postgres ignores, and one behind it."""
    assembler = after(EXTENDED)
    assert next_copied(assembler, COPY_DATA + SYNC + FLUSH + COPY_DATA) == [COPY_DATA, SYNC, FLUSH, COPY_DATA]
    assert next_copied(assembler, COPY_DONE + SYNC) == [COPY_DONE, SYNC]


@pytest.mark.parametrize("data", [b"", COPY_DATA, SYNC + COPY_DATA, COPY_DONE, FLUSH + COPY_DATA + COPY_DONE])
def test_behind_a_copy_that_failed_one_sync_ends_an_extended_turn(data: bytes) -> None:
    assembler = after(EXTENDED)
    next_copied(assembler, data)
    assembler.feed(SYNC + SYNC)
    ended = assembler.next_part(within_turn=True, copying=False, copied=True)
    assert ended is not None
    assert (ended.kind, ended.raw) == (PartKind.COPY, SYNC)
    assert assembler.next_part(within_turn=True, copying=False, copied=True) is None


@pytest.mark.parametrize(("turn", "copied"), [(EXTENDED, False), (QUERY, True)])
def test_elsewhere_it_is_a_turn_of_its_own(turn: bytes, copied: bool) -> None:
    """Postgres never asked for the data, or it was a simple query's, which needs no Sync."""
    assembler = after(turn)
    assembler.feed(COPY_DATA + COPY_DONE + SYNC)
    for raw in (COPY_DATA, COPY_DONE):
        part = assembler.next_part(within_turn=True, copying=False, copied=copied)
        assert part is not None
        assert part.raw == raw
    assert assembler.next_part(within_turn=True, copying=False, copied=copied) is None


def test_a_second_sync_behind_an_extended_copy_is_another_turn() -> None:
    assembler = after(EXTENDED)
    assert next_copied(assembler, COPY_DONE + SYNC + SYNC) == [COPY_DONE, SYNC]
    assert assembler.buffered == len(SYNC)


@pytest.mark.parametrize("end", [COPY_DONE, CopyFail("no more").encode()])
def test_a_sync_behind_a_simple_copy_is_another_turn(end: bytes) -> None:
    """It has a ReadyForQuery of its own, which must not be taken for the COPY's."""
    assembler = after(QUERY)
    assert next_copied(assembler, SYNC + end + SYNC) == [SYNC, end]
    part = assembler.next_part(within_turn=False, copying=False)
    assert part is not None
    assert (part.raw, part.first, part.last) == (SYNC, True, True)


def test_copy_data_that_comes_too_late_is_passed_on_outside_of_turns() -> None:
    assert shown(cut(COPY_DATA + COPY_DONE + QUERY)[0]) == [
        ("copy", COPY_DATA, False, False),
        ("copy", COPY_DONE, False, False),
        ("turn", QUERY, True, True),
    ]


def test_copy_data_of_a_flushed_turn() -> None:
    _, assembler = cut(PARSE + BIND + EXECUTE + FLUSH)
    assembler.feed(COPY_DATA + COPY_DONE + SYNC)
    found = []
    while (part := assembler.next_part(within_turn=True, copying=True)) is not None:
        found.append(part)
    assert shown(found) == [
        ("copy", COPY_DATA, False, False),
        ("copy", COPY_DONE, False, False),
        ("turn", SYNC, False, True),
    ]


# -- long messages


def stream_in_chunks(stream: bytes, chunk: int = 64 * 1024) -> tuple[list[Part], int]:
    """Return the parts, and the most bytes that were ever held back."""
    assembler = TurnAssembler()
    parts: list[Part] = []
    most = 0
    for start in range(0, len(stream), chunk):
        assembler.feed(stream[start : start + chunk])
        while (part := assembler.next_part(within_turn=bool(parts), copying=False)) is not None:
            parts.append(part)
        most = max(most, assembler.buffered)
    assert assembler.buffered == 0
    return parts, most


def test_a_part_knows_what_postgres_answers() -> None:
    parts, _ = cut(PARSE + BIND + FLUSH + DESCRIBE + EXECUTE + QUERY + EXTENDED)
    assert [(part.answers, part.alone) for part in parts] == [(2, False), (2, False), (0, True), (4, False)]


@pytest.mark.parametrize(
    ("message", "answers", "alone"),
    [(Query(b"x" * MAX_TURN_BYTES), 0, True), (Parse(b"", b"x" * MAX_TURN_BYTES), 1, False)],
)
def test_so_it_does_of_what_is_too_long_to_hold(message: FrontendMessage, answers: int, alone: bool) -> None:
    parts, _ = cut(message.encode(), chunk=MAX_TURN_BYTES)
    assert [(part.answers, part.alone, part.whole) for part in parts] == [(answers, alone, False), (0, False, False)]


def test_a_long_query_streams_and_ends_its_turn() -> None:
    stream = Query(b"x" * (3 * MAX_TURN_BYTES)).encode()
    parts, most = stream_in_chunks(stream)
    assert b"".join(part.raw for part in parts) == stream
    assert most <= MAX_TURN_BYTES
    assert [part.first for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert not any(part.whole for part in parts)


def test_a_long_value_streams_and_the_turn_goes_on() -> None:
    bind = Bind(b"", b"", (), (bytes(2 * MAX_TURN_BYTES),), ()).encode()
    stream = PARSE + bind + EXECUTE + SYNC
    parts, most = stream_in_chunks(stream)
    assert b"".join(part.raw for part in parts) == stream
    assert most <= MAX_TURN_BYTES
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert messages(parts[-1])[-1].encode() == SYNC
    assert parts[-1].whole


def test_a_turn_of_many_small_messages_is_handed_out_in_parts() -> None:
    pair = BIND + EXECUTE
    stream = pair * (3 * MAX_TURN_BYTES // len(pair)) + SYNC
    parts, assembler = cut(stream, chunk=64 * 1024)
    assert b"".join(part.raw for part in parts) == stream
    assert assembler.buffered == 0
    assert len(parts) == 3
    assert all(part.whole for part in parts)
    assert [part.first for part in parts].count(True) == 1
    assert [part.last for part in parts].index(True) == len(parts) - 1


def test_of_a_turn_that_is_under_way_upstream_everything_is_handed_out_at_once() -> None:
    _, assembler = cut(PARSE + FLUSH)
    for piece in (BIND, EXECUTE, BIND[:7]):
        assembler.feed(piece)
    part = assembler.next_part(within_turn=True, copying=False)
    assert part is not None
    assert (part.raw, part.first, part.last) == (BIND + EXECUTE, False, False)
    assert assembler.next_part(within_turn=True, copying=False) is None
    assembler.feed(BIND[7:] + SYNC)
    assert shown([assembler.next_part(within_turn=True, copying=False)]) == [("turn", BIND + SYNC, False, True)]  # type: ignore[list-item]


def test_what_is_there_of_a_turn_is_handed_out_when_nothing_more_comes() -> None:
    assembler = TurnAssembler()
    assembler.feed(PARSE + BIND + EXECUTE[:3])
    assert assembler.next_part(within_turn=False, copying=False) is None
    assembler.hurry()
    part = assembler.next_part(within_turn=False, copying=False)
    assert part is not None
    assert (part.raw, part.first, part.last) == (PARSE + BIND, True, False)
    assembler.hurry()
    assert assembler.next_part(within_turn=False, copying=False) is None  # half a message
    assembler.feed(EXECUTE[3:])
    assert assembler.next_part(within_turn=False, copying=False) is None  # it was hurried once, not for good
    assembler.feed(SYNC)
    assert shown([assembler.next_part(within_turn=False, copying=False)]) == [("turn", EXECUTE + SYNC, False, True)]  # type: ignore[list-item]


def test_long_copy_data_streams_as_copy_data() -> None:
    stream = CopyData(bytes(3 * MAX_TURN_BYTES)).encode() + COPY_DONE
    for assembler in (after(QUERY), cut(PARSE + BIND + EXECUTE + FLUSH)[1]):
        raws: list[bytes] = []
        for start in range(0, len(stream), 64 * 1024):
            raws += next_copied(assembler, stream[start : start + 64 * 1024])
            assert assembler.buffered <= MAX_TURN_BYTES
        assert b"".join(raws) == stream


def test_the_bytes_of_a_long_message_begin_no_turn() -> None:
    assembler = TurnAssembler()
    assembler.feed(CopyData(bytes(2 * MAX_TURN_BYTES)).encode()[: MAX_TURN_BYTES + 10])
    assert assembler.next_part(within_turn=False, copying=False) is not None
    assert assembler.buffered == 0
    assert not assembler.between_turns


# -- what is not the protocol


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n", b"\0\0\0\0\0\0", b"\x16\x03\x01\x02\x00\x01", b"zzzzzz"])
def test_an_unknown_type_is_a_violation(garbage: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        cut(garbage)


@pytest.mark.parametrize(
    "header", [b"Q\0\0\0\3", b"Q\xff\xff\xff\xff", b"Q\x40\0\0\0", b"d\0\0\0\0", b"S\0\0\x7f\xff", b"X\0\x01\0\0"]
)
def test_an_impossible_length_is_a_violation(header: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="invalid message length"):
        cut(header)
    with pytest.raises(ProtocolViolation, match="invalid message length"):
        cut(PARSE + header)


def test_a_length_of_a_gibibyte_is_believed_only_for_what_may_be_long() -> None:
    assert cut(b"P\x3f\xff\xff\xfe")[0][0].raw == b"P\x3f\xff\xff\xfe"
    with pytest.raises(MessageTooLong):
        cut(b"E\x3f\xff\xff\xfe")
