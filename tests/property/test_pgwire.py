"""The wire codec, for all messages: what is written is read back, whatever the chunks; only our own errors come up."""

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.pgwire import backend as b
from services.shared.pgwire import frontend as f
from services.shared.pgwire import startup as s
from services.shared.pgwire.authentication import AuthenticationCode, AuthenticationOther, SaslInitialResponse
from services.shared.pgwire.backend import decode_backend
from services.shared.pgwire.codes import BackendCode, FrontendCode, TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.fields import FieldReader, from_text, to_text
from services.shared.pgwire.framing import BACKEND_LIMITS, FRONTEND_LIMITS, MessageBuffer, UnknownMessage, frame
from services.shared.pgwire.frontend import decode_frontend


class Encodable(Protocol):
    def encode(self) -> bytes: ...


INT16 = st.integers(-(2**15), 2**15 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
OID = st.integers(0, 2**32 - 1)
NAME = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"-"))
TEXT = NAME.map(to_text)
DATA = st.binary(max_size=200)
VALUES = st.lists(st.none() | DATA, max_size=8).map(tuple)
OIDS = st.lists(OID, max_size=8).map(tuple)
FORMATS = st.lists(INT16, max_size=8).map(tuple)
TARGET = st.sampled_from(f.Target)
KEY = st.binary(min_size=4, max_size=256)
PAIRS = st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=6).map(tuple)
FIELDS = st.lists(st.tuples(st.characters(min_codepoint=1, max_codepoint=255), TEXT), max_size=6).map(tuple)


@st.composite
def _values_and_formats(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[bytes | None, ...]]:
    values = draw(VALUES)
    count = draw(st.sampled_from((0, 1, len(values))))
    return draw(st.tuples(*[INT16] * count)), values


BINDS = st.builds(
    lambda portal, statement, both, results: f.Bind(portal, statement, both[0], both[1], results),
    NAME,
    NAME,
    _values_and_formats(),
    FORMATS,
)
CALLS = st.builds(
    lambda oid, both, result: f.FunctionCall(oid, both[0], both[1], result), OID, _values_and_formats(), INT16
)
FRONTEND: st.SearchStrategy[f.FrontendMessage] = st.one_of(
    BINDS,
    CALLS,
    st.builds(f.Query, NAME),
    st.builds(f.Parse, NAME, NAME, OIDS),
    st.builds(f.Describe, TARGET, NAME),
    st.builds(f.Close, TARGET, NAME),
    st.builds(f.Execute, NAME, INT32),
    st.sampled_from((f.Sync(), f.Flush(), f.Terminate(), f.CopyDone())),
    st.builds(f.PasswordMessage, DATA),
    st.builds(f.CopyData, DATA),
    st.builds(f.CopyFail, TEXT),
    st.builds(UnknownMessage, st.sampled_from(sorted(set(range(256)) - set(FrontendCode))), DATA),
)
BACKEND: st.SearchStrategy[b.BackendMessage] = st.one_of(
    st.builds(b.AuthenticationMd5Password, st.binary(min_size=4, max_size=4)),
    st.builds(b.AuthenticationSasl, st.lists(TEXT.filter(bool), max_size=3).map(tuple)),
    st.builds(b.AuthenticationSaslContinue, DATA),
    st.builds(b.AuthenticationSaslFinal, DATA),
    st.builds(AuthenticationOther, INT32.filter(lambda code: code not in set(AuthenticationCode)), DATA),
    st.builds(b.BackendKeyData, INT32, KEY),
    st.builds(b.ParameterStatus, TEXT, TEXT),
    st.builds(b.ReadyForQuery, st.sampled_from(TransactionStatus)),
    st.builds(b.RowDescription, st.lists(st.builds(b.Column, TEXT, OID, INT16, OID, INT16, INT32, INT16)).map(tuple)),
    st.builds(b.ParameterDescription, OIDS),
    st.builds(b.DataRow, VALUES),
    st.builds(b.CommandComplete, TEXT),
    st.builds(b.ErrorResponse, FIELDS),
    st.builds(b.NoticeResponse, FIELDS),
    st.builds(b.NotificationResponse, INT32, TEXT, TEXT),
    st.builds(b.CopyInResponse, st.integers(0, 255), FORMATS),
    st.builds(b.CopyOutResponse, st.integers(0, 255), FORMATS),
    st.builds(b.CopyBothResponse, st.integers(0, 255), FORMATS),
    st.builds(b.CopyData, DATA),
    st.builds(b.FunctionCallResponse, st.none() | DATA),
    st.builds(b.NegotiateProtocolVersion, OID, st.lists(TEXT, max_size=4).map(tuple)),
    st.sampled_from((b.AuthenticationOk(), b.AuthenticationCleartextPassword(), b.ParseComplete(), b.BindComplete())),
    st.sampled_from((b.CloseComplete(), b.NoData(), b.EmptyQueryResponse(), b.PortalSuspended(), b.CopyDone())),
    st.builds(UnknownMessage, st.sampled_from(sorted(set(range(256)) - set(BackendCode))), DATA),
)
VERSION = st.builds(s.ProtocolVersion, st.just(3), st.integers(0, 2**16 - 1))
PACKETS: st.SearchStrategy[s.StartupPacket] = st.one_of(
    st.builds(s.StartupMessage, VERSION, PAIRS),
    st.sampled_from((s.SSLRequest(), s.GSSENCRequest())),
    st.builds(s.CancelRequest, INT32, KEY),
)


def _chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(FRONTEND)
def test_frontend_round_trip(message: f.FrontendMessage) -> None:
    assert decode_frontend(message.encode()) == message


@given(BACKEND)
def test_backend_round_trip(message: b.BackendMessage) -> None:
    assert decode_backend(message.encode()) == message


@given(PACKETS)
def test_startup_round_trip(packet: s.StartupPacket) -> None:
    assert s.decode_startup(packet.encode()) == packet


@given(TEXT, st.none() | DATA)
def test_sasl_initial_response_round_trip(mechanism: str, data: bytes | None) -> None:
    response = SaslInitialResponse(mechanism, data)
    assert SaslInitialResponse.read(response.encode()[5:]) == response


@given(st.lists(FRONTEND, max_size=6), CUTS)
def test_a_clients_stream_is_read_whatever_the_chunks(messages: list[f.FrontendMessage], cuts: list[int]) -> None:
    buffer = MessageBuffer(FRONTEND_LIMITS)
    found: list[f.FrontendMessage] = []
    for chunk in _chunks(b"".join([message.encode() for message in messages]), cuts):
        buffer.feed(chunk)
        found += [decode_frontend(message.raw) for message in buffer]
    assert found == messages
    assert buffer.pending == 0


@given(st.lists(BACKEND, max_size=6), CUTS)
def test_a_servers_stream_is_read_whatever_the_chunks(messages: list[b.BackendMessage], cuts: list[int]) -> None:
    buffer = MessageBuffer(BACKEND_LIMITS)
    found: list[b.BackendMessage] = []
    for chunk in _chunks(b"".join([message.encode() for message in messages]), cuts):
        buffer.feed(chunk)
        found += [decode_backend(message.raw) for message in buffer]
    assert found == messages
    assert buffer.pending == 0


def _assert_lossless(decode: Callable[[bytes], Encodable], raw: bytes) -> None:
    try:
        message = decode(raw)
    except ProtocolViolation:
        return
    assert message.encode() == raw


@settings(max_examples=300)
@given(st.sampled_from(FrontendCode), st.binary(max_size=60))
def test_hostile_frontend_bodies(code: int, body: bytes) -> None:
    _assert_lossless(decode_frontend, frame(code, body))


@settings(max_examples=300)
@given(st.sampled_from(BackendCode), st.binary(max_size=60))
def test_hostile_backend_bodies(code: int, body: bytes) -> None:
    _assert_lossless(decode_backend, frame(code, body))


@given(st.sampled_from((196608, 196610, 80877102, 80877103, 80877104, 131072)) | OID, st.binary(max_size=60))
def test_hostile_startup_bodies(code: int, body: bytes) -> None:
    _assert_lossless(s.decode_startup, (8 + len(body)).to_bytes(4, "big") + code.to_bytes(4, "big") + body)


@given(st.binary(max_size=40))
def test_hostile_headers_in_both_directions(data: bytes) -> None:
    for limits in (FRONTEND_LIMITS, BACKEND_LIMITS):
        buffer = MessageBuffer(limits)
        buffer.feed(data)
        try:
            raws = [message.raw for message in buffer]
        except ProtocolViolation:
            continue
        assert b"".join(raws) + buffer.release() == data


@given(st.binary(max_size=60))
def test_text_is_lossless(raw: bytes) -> None:
    assert from_text(to_text(raw)) == raw


@given(st.binary(max_size=30), st.lists(st.sampled_from(("uint8", "int32", "int64", "cstring", "counted")), max_size=8))
def test_a_reader_never_leaves_its_bounds(data: bytes, methods: list[str]) -> None:
    reader = FieldReader(b"##" + data + b"##", 2, 2 + len(data))
    for method in methods:
        before = reader.offset
        try:
            getattr(reader, method)()
        except ProtocolViolation:
            assert reader.remaining >= 0
        assert before <= reader.offset <= 2 + len(data)
