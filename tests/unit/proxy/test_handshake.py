"""The proxy watches how Postgres lets a client in (hazard H46)."""

from pathlib import Path

import pytest

from services.proxy.arrival.handshake import Handshake
from services.proxy.session.relay import BackendRelay
from services.shared.pgwire.backend import READY_FOR_QUERY, BackendKeyData, ErrorResponse, ParameterStatus
from services.shared.pgwire.codes import BackendCode, TransactionStatus
from services.shared.pgwire.framing import frame

SESSIONS = Path(__file__).parent.parent / "pgwire" / "sessions"
READY = READY_FOR_QUERY[TransactionStatus.IDLE]
SETTINGS = ParameterStatus("TimeZone", "UTC").encode() + BackendKeyData(7, b"1234").encode()


def authentication(code: int, more: bytes = b"") -> bytes:
    return frame(BackendCode.AUTHENTICATION, code.to_bytes(4, "big") + more)


OK, PASSWORD, MD5 = authentication(0), authentication(3), authentication(5, b"salt")
SASL, SASL_CONTINUE, SASL_FINAL = authentication(10, b"SCRAM-SHA-256\0\0"), authentication(11), authentication(12)


def shaken(stream: bytes, *, allow_unchallenged: bool = False, chunk: int = 1 << 30) -> tuple[Handshake, bytes]:
    handshake, relay = Handshake(allow_unchallenged=allow_unchallenged), BackendRelay()
    passed = b"".join(relay.feed(stream[at : at + chunk], handshake) for at in range(0, len(stream), chunk))
    return handshake, passed


@pytest.mark.parametrize("chunk", [1 << 30, 1, 7])
@pytest.mark.parametrize("challenge", [PASSWORD, MD5, SASL + SASL_CONTINUE + SASL_FINAL])
def test_a_challenged_client_comes_in_and_its_first_ready_is_held_back(challenge: bytes, chunk: int) -> None:
    handshake, passed = shaken(challenge + OK + SETTINGS + READY, chunk=chunk)
    assert passed == challenge + OK + SETTINGS
    assert (handshake.challenged, handshake.admitted, handshake.ready) == (True, True, True)
    assert not handshake.unprotected
    assert handshake.backend_key == b"\0\0\0\x071234"


@pytest.mark.parametrize("first", [b"", SASL_FINAL])
def test_a_client_that_nobody_asked_does_not_come_in(first: bytes) -> None:
    handshake, passed = shaken(first + OK + SETTINGS + READY)
    assert handshake.unprotected
    assert OK not in passed
    assert READY not in passed


def test_on_loopback_postgres_decides_alone() -> None:
    handshake, passed = shaken(OK + SETTINGS + READY, allow_unchallenged=True)
    assert not handshake.unprotected
    assert passed == OK + SETTINGS


def test_a_refusal_passes() -> None:
    error = ErrorResponse((("S", "FATAL"), ("C", "28P01"), ("M", "password authentication failed"))).encode()
    handshake, passed = shaken(PASSWORD + error)
    assert passed == PASSWORD + error
    assert not handshake.admitted
    assert not handshake.ready


@pytest.mark.parametrize("name", ["scram-15", "scram-18"])
def test_a_recorded_scram_session(name: str) -> None:
    stream = (SESSIONS / f"{name}.backend.bin").read_bytes()
    until_ready = stream[: stream.index(READY) + len(READY)]
    handshake, passed = shaken(until_ready)
    assert passed == until_ready.removesuffix(READY)
    assert (handshake.challenged, handshake.ready, handshake.unprotected) == (True, True, False)


BINDING_SASL = authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")


@pytest.mark.parametrize("chunk", [1 << 30, 1, 7])
def test_a_client_in_the_clear_is_not_offered_to_bind_its_login_to_tls(chunk: int) -> None:
    handshake, relay = Handshake(allow_unchallenged=False, hide_binding=True), BackendRelay()
    passed = b"".join(relay.feed(BINDING_SASL[at : at + chunk], handshake) for at in range(0, len(BINDING_SASL), chunk))
    assert (passed, handshake.offer) == (b"", SASL)
    assert handshake.challenged
    assert handshake.asked_sasl


@pytest.mark.parametrize("offered", [SASL, authentication(10, b"SCRAM-SHA-256-PLUS\0\0"), PASSWORD])
def test_what_has_nothing_to_hide_is_passed_on(offered: bytes) -> None:
    handshake, relay = Handshake(allow_unchallenged=False, hide_binding=True), BackendRelay()
    assert relay.feed(offered, handshake) == offered
    assert handshake.offer == b""


def test_a_client_under_tls_sees_the_offer_as_it_is() -> None:
    assert shaken(BINDING_SASL)[1] == BINDING_SASL
