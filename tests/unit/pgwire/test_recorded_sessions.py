"""Sessions between drivers and a real Postgres: everything is understood, and written back byte for byte.

`record_sessions.py` makes the recordings.
"""

from pathlib import Path

import pytest

from services.shared.pgwire.authentication import SaslInitialResponse
from services.shared.pgwire.backend import (
    BackendKeyData,
    BackendMessage,
    FunctionCallResponse,
    NegotiateProtocolVersion,
    decode_backend,
)
from services.shared.pgwire.framing import BACKEND_LIMITS, FRONTEND_LIMITS, MessageBuffer, UnknownMessage
from services.shared.pgwire.frontend import FrontendMessage, PasswordMessage, decode_frontend
from services.shared.pgwire.startup import (
    VERSION_3_0,
    VERSION_3_2,
    ProtocolVersion,
    StartupBuffer,
    StartupMessage,
    negotiate_protocol_version,
)

SESSIONS = Path(__file__).parent / "sessions"
NAMES = sorted(path.name.removesuffix(".frontend.bin") for path in SESSIONS.glob("*.frontend.bin"))
every_session = pytest.mark.parametrize("name", NAMES)


def _frontend(name: str) -> tuple[StartupMessage, bytes]:
    buffer = StartupBuffer()
    buffer.feed((SESSIONS / f"{name}.frontend.bin").read_bytes())
    startup = buffer.take()
    assert isinstance(startup, StartupMessage)
    return startup, buffer.release()


def _frontend_messages(name: str) -> list[FrontendMessage]:
    buffer = MessageBuffer(FRONTEND_LIMITS)
    buffer.feed(_frontend(name)[1])
    return [decode_frontend(message.raw) for message in buffer]


def _backend(name: str) -> bytes:
    return (SESSIONS / f"{name}.backend.bin").read_bytes()


def _backend_messages(name: str) -> list[BackendMessage]:
    buffer = MessageBuffer(BACKEND_LIMITS)
    buffer.feed(_backend(name))
    return [decode_backend(message.raw) for message in buffer]


def test_every_session_is_here() -> None:
    assert {name.partition("-")[0] for name in NAMES} == {"asyncpg", "future", "psycopg", "replication", "scram"}


@every_session
def test_both_directions_come_back_byte_for_byte(name: str) -> None:
    startup, rest = _frontend(name)
    sent, answered = _frontend_messages(name), _backend_messages(name)
    assert startup.encode() + rest == (SESSIONS / f"{name}.frontend.bin").read_bytes()
    assert b"".join(message.encode() for message in sent) == rest
    assert b"".join(message.encode() for message in answered) == _backend(name)
    assert not any(isinstance(message, UnknownMessage) for message in (*sent, *answered))


@pytest.mark.parametrize(("name", "newest"), [("future-15", VERSION_3_0), ("future-18", VERSION_3_2)])
def test_our_negotiation_is_the_servers(name: str, newest: ProtocolVersion) -> None:
    startup, _ = _frontend(name)
    [answer] = [message for message in _backend_messages(name) if isinstance(message, NegotiateProtocolVersion)]
    assert negotiate_protocol_version(startup, newest) == answer


@pytest.mark.parametrize(("name", "size"), [("scram-15", 4), ("scram-18", 32), ("psycopg-18", 4)])
def test_cancel_keys_are_long_only_in_protocol_3_2(name: str, size: int) -> None:
    [key] = [message.key for message in _backend_messages(name) if isinstance(message, BackendKeyData)]
    assert len(key) == size


def test_scram_is_read() -> None:
    first, second = (message for message in _frontend_messages("scram-18") if isinstance(message, PasswordMessage))
    assert SaslInitialResponse.read(first.data).mechanism == "SCRAM-SHA-256"
    assert second.data.startswith(b"c=")


def test_what_we_wrote_was_understood() -> None:
    """The session "future" was written by this codec; an abs(-7) came back as 7."""
    answers = _backend_messages("future-18")
    assert FunctionCallResponse(b"\0\0\0\7") in answers
    codes = "".join(chr(answer.encode()[0]) for answer in answers)
    assert codes.endswith("KZVZ1tT2TDC33Z")
