"""Every message four ways: written, read whole, read byte by byte, and read with more bytes behind it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import pytest

from services.shared.pgwire import backend, frontend
from services.shared.pgwire.backend import decode_backend
from services.shared.pgwire.codes import BackendCode, FrontendCode
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import BACKEND_LIMITS, FRONTEND_LIMITS, MessageBuffer, MessageLimits, UnknownMessage
from services.shared.pgwire.frontend import decode_frontend
from services.shared.pgwire.startup import StartupBuffer, decode_startup
from tests.unit.pgwire.examples import BACKEND, FRONTEND, STARTUP


class Encodable(Protocol):
    def encode(self) -> bytes: ...


Decode = Callable[[bytes], Encodable]

FRAMED: list[tuple[Encodable, bytes, Decode, MessageLimits]] = [
    *((message, raw, decode_frontend, FRONTEND_LIMITS) for message, raw in FRONTEND),
    *((message, raw, decode_backend, BACKEND_LIMITS) for message, raw in BACKEND),
]
framed = pytest.mark.parametrize(
    ("message", "raw", "decode", "limits"),
    FRAMED,
    ids=[f"{decode.__name__[7:]}-{type(message).__name__}" for message, _, decode, _ in FRAMED],
)
packets = pytest.mark.parametrize(("packet", "raw"), STARTUP, ids=[type(packet).__name__ for packet, _ in STARTUP])


def _names(examples: Sequence[tuple[Encodable, bytes]]) -> set[int]:
    return {raw[0] for _, raw in examples}


def test_every_type_byte_has_an_example_and_a_decoder() -> None:
    assert _names(FRONTEND) >= set(FrontendCode) == set(frontend.DECODERS)
    assert _names(BACKEND) >= set(BackendCode) == set(backend.DECODERS)


@framed
def test_encode(message: Encodable, raw: bytes, decode: Decode, limits: MessageLimits) -> None:
    assert message.encode() == raw


@framed
def test_decode_whole(message: Encodable, raw: bytes, decode: Decode, limits: MessageLimits) -> None:
    assert decode(raw) == message


@framed
def test_decode_byte_by_byte(message: Encodable, raw: bytes, decode: Decode, limits: MessageLimits) -> None:
    buffer = MessageBuffer(limits)
    for at in range(len(raw) - 1):
        buffer.feed(raw[at : at + 1])
        assert not buffer.take()
    buffer.feed(raw[-1:])
    assert [decode(found.raw) for found in buffer] == [message]
    assert buffer.pending == 0


@framed
def test_decode_with_trailing_bytes(message: Encodable, raw: bytes, decode: Decode, limits: MessageLimits) -> None:
    buffer = MessageBuffer(limits)
    buffer.feed(raw + raw + b"Q\0")
    assert [decode(found.raw) for found in buffer] == [message, message]
    assert buffer.release() == b"Q\0"


@framed
def test_cut_and_extended_bodies_are_refused_or_another_message(
    message: Encodable, raw: bytes, decode: Decode, limits: MessageLimits
) -> None:
    bodies = [raw[5:end] for end in range(5, len(raw))] + [raw[5:] + b"\0", raw[5:] + b"x"]
    for body in bodies:
        changed = raw[:1] + (len(body) + 4).to_bytes(4, "big") + body
        try:
            decoded = decode(changed)
        except ProtocolViolation:
            continue
        assert decoded != message
        assert decoded.encode() == changed


@framed
def test_a_length_word_that_lies_is_refused(
    message: Encodable, raw: bytes, decode: Decode, limits: MessageLimits
) -> None:
    for lie in (raw + b"\0", raw[:-1], raw[:4], b""):
        with pytest.raises(ProtocolViolation):
            decode(lie)


@packets
def test_startup_encode(packet: Encodable, raw: bytes) -> None:
    assert packet.encode() == raw


@packets
def test_startup_decode_whole(packet: Encodable, raw: bytes) -> None:
    assert decode_startup(raw) == packet


@packets
def test_startup_byte_by_byte(packet: Encodable, raw: bytes) -> None:
    buffer = StartupBuffer()
    for at in range(len(raw) - 1):
        buffer.feed(raw[at : at + 1])
        assert buffer.take() is None
    buffer.feed(raw[-1:])
    assert buffer.take() == packet


@packets
def test_startup_with_trailing_bytes(packet: Encodable, raw: bytes) -> None:
    buffer = StartupBuffer()
    buffer.feed(raw + b"Q\0\0")
    assert buffer.take() == packet
    assert buffer.release() == b"Q\0\0"


def test_no_repr_shows_what_is_secret() -> None:
    """Passwords, keys, values, SQL and copied data never reach a log by way of repr."""
    secret = b"hunter2"
    messages: list[Encodable] = [
        frontend.Query(secret),
        frontend.Parse(b"", secret),
        frontend.Bind(b"", b"", (), (secret,), ()),
        frontend.FunctionCall(1, (), (secret,), 0),
        frontend.PasswordMessage(secret),
        frontend.CopyData(secret),
        UnknownMessage(1, secret),
        backend.AuthenticationSaslContinue(secret),
        backend.AuthenticationSaslFinal(secret),
        backend.AuthenticationMd5Password(secret),
        backend.BackendKeyData(1, secret),
        backend.DataRow((secret,)),
        backend.FunctionCallResponse(secret),
        backend.NotificationResponse(1, "c", secret.decode()),
        backend.error_response("ERROR", "23505", "duplicate", detail=secret.decode()),
        decode_startup(b"\0\0\0\x13\x04\xd2\x16\x2e\0\0\0\1" + secret),
    ]
    for message in messages:
        assert "hunter2" not in repr(message)
