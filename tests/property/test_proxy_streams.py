"""However a stream is split into chunks, the proxy cuts the same turns and shows the same messages."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.session.relay import BackendRelay
from services.proxy.session.turns import MAX_TURN_BYTES, Part, PartKind, TurnAssembler
from services.shared.pgwire.backend import (
    BIND_COMPLETE,
    PARSE_COMPLETE,
    READY_FOR_QUERY,
    CommandComplete,
    CopyData,
    DataRow,
    NoticeResponse,
)
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.frontend import (
    FLUSH,
    SYNC,
    TERMINATE,
    Bind,
    CopyDone,
    Describe,
    Execute,
    FunctionCall,
    Parse,
    Query,
    Target,
)
from services.shared.pgwire.frontend import CopyData as ClientCopyData
from tests.unit.proxy.sinks import KeepingSink

short = st.binary(max_size=30)
sql = short.map(lambda text: text.replace(b"\0", b" "))
client_messages = st.one_of(
    sql.map(lambda text: Query(text).encode()),
    sql.map(lambda text: Parse(b"", text, (23,)).encode()),
    short.map(lambda value: Bind(b"", b"", (), (value, None), ()).encode()),
    st.sampled_from(
        [
            Describe(Target.PORTAL, b"").encode(),
            Execute(b"").encode(),
            SYNC,
            SYNC,
            FLUSH,
            FunctionCall(1, (), (), 0).encode(),
            CopyDone().encode(),
        ]
    ),
    short.map(lambda value: ClientCopyData(value).encode()),
    st.integers(1, 3).map(lambda times: Bind(b"", b"", (), (bytes(times * MAX_TURN_BYTES // 2),), ()).encode()),
)
client_streams = st.tuples(st.lists(client_messages, max_size=25), st.sampled_from([b"", TERMINATE])).map(
    lambda drawn: b"".join(drawn[0]) + drawn[1]
)
cuts = st.lists(st.integers(0, 1 << 20), max_size=30)


def chunks(stream: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream at places, taken modulo its length."""
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


def parts_of(pieces: list[bytes]) -> list[Part]:
    assembler = TurnAssembler()
    parts: list[Part] = []
    for piece in pieces:
        assembler.feed(piece)
        while (part := assembler.next_part(within_turn=False, copying=False)) is not None:
            parts.append(part)
        assert assembler.buffered <= MAX_TURN_BYTES
    assembler.feed(b"")
    held = b"".join((assembler._data[assembler._start :], *assembler._late))
    parts.append(Part(PartKind.TURN, held, (), False, False))
    return parts


def turns(parts: list[Part]) -> list[tuple[bytes, bool]]:
    """Join parts into turns: how a long one is handed out depends on the chunks, where it ends does not."""
    joined: list[tuple[bytes, bool]] = [(b"", False)]
    for part in parts:
        raw, ended = joined[-1]
        if ended or part.first:
            joined.append((part.raw, part.last))
        else:
            joined[-1] = raw + part.raw, part.last
    return joined


@settings(max_examples=150, deadline=None)
@given(client_streams, cuts)
def test_every_split_of_a_clients_stream_gives_the_same_turns(stream: bytes, places: list[int]) -> None:
    whole, split = parts_of([stream]), parts_of(chunks(stream, places))
    assert b"".join(part.raw for part in split) == stream
    assert turns(split) == turns(whole)
    for part in split:
        assert all(0 <= start < end for _, start, end in part.messages)
        if part.whole and part.messages:
            assert [0, *(end for _, _, end in part.messages)] == [
                *(start for _, start, _ in part.messages),
                len(part.raw),
            ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([b"Q\0\0\0\x08a b\0", SYNC, FLUSH, Execute(b"").encode()]), max_size=12))
def test_byte_by_byte_gives_the_very_same_parts(messages: list[bytes]) -> None:
    stream = b"".join(messages)
    assert parts_of([stream[at : at + 1] for at in range(len(stream))]) == parts_of([stream] if stream else [])


@given(st.binary(max_size=200), cuts)
def test_any_bytes_give_parts_or_a_violation(stream: bytes, places: list[int]) -> None:
    try:
        parts = parts_of(chunks(stream, places))
    except ProtocolViolation:
        return
    assert b"".join(part.raw for part in parts) == stream


server_messages = st.one_of(
    st.lists(short | st.none(), max_size=3).map(lambda values: DataRow(tuple(values)).encode()),
    st.sampled_from([PARSE_COMPLETE, BIND_COMPLETE, READY_FOR_QUERY[TransactionStatus.IDLE]]),
    short.map(lambda data: CopyData(data).encode()),
    st.integers(0, 1_000).map(lambda rows: CommandComplete(f"SELECT {rows}").encode()),
    st.sampled_from([10, 5_000, 70_000]).map(lambda size: NoticeResponse((("M", "x" * size),)).encode()),
    st.sampled_from([100, 100_000]).map(lambda size: DataRow((bytes(size),)).encode()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(server_messages, max_size=25), cuts, st.sets(st.sampled_from(b"12ZD"), max_size=2))
def test_every_split_of_a_servers_stream_shows_the_same(
    messages: list[bytes], places: list[int], swallowed: set[int]
) -> None:
    stream = b"".join(messages)
    sink, relay = KeepingSink(frozenset(swallowed)), BackendRelay()
    passed = b""
    for piece in chunks(stream, places):
        passed += relay.feed(piece, sink)
        assert len(relay._held) <= 64 * 1024 + 5
    assert passed == b"".join(message for message in messages if message[0] not in swallowed)
    shown = b"".join(raw for _, _, raw in sink.joined)
    assert shown == stream
    short_ones = [message for message in messages if message[0] not in b"Dd" and len(message) < 64 * 1024]
    assert [message for message in sink.messages if len(message) < 64 * 1024] == short_ones


@given(st.binary(max_size=200), cuts)
def test_any_bytes_of_a_server_pass_in_order_or_are_a_violation(stream: bytes, places: list[int]) -> None:
    sink, relay = KeepingSink(), BackendRelay()
    passed = b""
    try:
        for piece in chunks(stream, places):
            passed += relay.feed(piece, sink)
    except ProtocolViolation:
        assert stream.startswith(passed)
        return
    assert passed + relay._held == stream
