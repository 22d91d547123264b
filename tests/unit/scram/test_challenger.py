"""The wire between us and a client that proves itself: whatever comes, in whatever pieces."""

import pytest

from services.proxy.scram.challenger import MAX_MESSAGE_BYTES, Challenger
from services.proxy.scram.client import ClientExchange
from services.proxy.scram.server import NotProven, Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM
from services.shared.pgwire.authentication import (
    AuthenticationSasl,
    AuthenticationSaslContinue,
    SaslInitialResponse,
)
from services.shared.pgwire.backend import decode_backend
from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.framing import frame
from services.shared.pgwire.frontend import Query
from tests.unit.scram.exchanges import CHALLENGE, END_POINT, KEYS, MECHANISM_PLUS, VERIFIER

INVALID_MECHANISM = "client selected an invalid SASL authentication mechanism"
WRONG_PASSWORD = 'password authentication failed for user "ada"'


def challenger(end_point: bytes | None = None) -> Challenger:
    return Challenger("ada", ServerExchange(CHALLENGE, VERIFIER, end_point))


def response(data: bytes) -> bytes:
    return frame(FrontendCode.PASSWORD, data)


def answer(raw: bytes) -> bytes:
    message = decode_backend(raw)
    assert isinstance(message, AuthenticationSaslContinue)
    return message.data


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_login_in_pieces(chunk: int) -> None:
    asked = challenger(END_POINT)
    assert decode_backend(asked.offer()) == AuthenticationSasl((MECHANISM_PLUS, MECHANISM))
    client = ClientExchange([MECHANISM_PLUS], END_POINT)

    def send(message: bytes) -> bytes:
        return b"".join(asked.receive(message[at : at + chunk]) for at in range(0, len(message), chunk))

    challenge = answer(send(SaslInitialResponse(client.mechanism, client.first()).encode()))
    client.read_challenge(challenge)
    assert not asked.ended
    assert send(response(client.prove(KEYS))) == b""
    assert isinstance(asked.outcome, Proven)
    assert asked.outcome.client_key == KEYS.client_key
    assert (asked.refusal, asked.early) == (None, b"")


def test_an_empty_challenge_for_a_client_that_begins_with_nothing() -> None:
    asked = challenger()
    assert answer(asked.receive(SaslInitialResponse(MECHANISM, None).encode())) == b""
    assert answer(asked.receive(response(b"n,,n=,r=abc"))).startswith(b"r=abc")


def test_what_comes_behind_the_proof_is_kept_for_the_session() -> None:
    asked = challenger()
    client = ClientExchange([MECHANISM], None)
    client.read_challenge(answer(asked.receive(SaslInitialResponse(MECHANISM, client.first()).encode())))
    ahead = Query(b"SELECT 1").encode() * 2 + b"Q\0"
    asked.receive(response(client.prove(KEYS)) + ahead)
    assert isinstance(asked.outcome, Proven)
    assert asked.early == ahead


@pytest.mark.parametrize(
    ("sent", "sqlstate", "message"),
    [
        (Query(b"SELECT 1").encode(), "08P01", "expected SASL response, got message type 81"),
        (b"Q", "08P01", "expected SASL response, got message type 81"),
        (b"\0", "08P01", "expected SASL response, got message type 0"),
        (response(b""), "08P01", "invalid string in message"),
        (response(b"SCRAM-SHA-256\0"), "08P01", "insufficient data left in message"),
        (response(b"SCRAM-SHA-256\0\0\0\0\x05abc"), "08P01", "insufficient data left in message"),
        (response(b"SCRAM-SHA-256\0\x80\0\0\0"), "08P01", "insufficient data left in message"),
        (response(b"SCRAM-SHA-256\0\0\0\0\x01abc"), "08P01", "invalid message format"),
        (SaslInitialResponse("PLAIN", b"").encode(), "08P01", INVALID_MECHANISM),
        (SaslInitialResponse(MECHANISM_PLUS, b"").encode(), "08P01", INVALID_MECHANISM),
        (SaslInitialResponse(MECHANISM, b"").encode(), "08P01", "malformed SCRAM message"),
        (SaslInitialResponse(MECHANISM, b"y" * 2000).encode(), "28P01", WRONG_PASSWORD),
        (b"p\x7f\xff\xff\xff", "28P01", WRONG_PASSWORD),
        (b"p\0\0\0\3", "28P01", WRONG_PASSWORD),
    ],
)
def test_what_is_no_login_is_refused(sent: bytes, sqlstate: str, message: str) -> None:
    asked = challenger()
    assert asked.receive(sent) == b""
    assert asked.ended
    assert asked.refusal is not None
    assert (asked.refusal.severity, asked.refusal.sqlstate, asked.refusal.message) == ("FATAL", sqlstate, message)
    assert asked.outcome is None


def test_another_message_in_place_of_the_proof() -> None:
    asked = challenger()
    first = SaslInitialResponse(MECHANISM, b"n,,n=,r=abc").encode()
    asked.receive(first + Query(b"SELECT 1").encode())
    assert asked.refusal is not None
    assert asked.refusal.message == "expected SASL response, got message type 81"


def test_no_more_is_kept_of_a_stranger_than_one_message() -> None:
    asked = challenger()
    head = b"p" + (MAX_MESSAGE_BYTES + 4).to_bytes(4, "big")
    asked.receive(head)
    for _ in range(MAX_MESSAGE_BYTES):
        asked.receive(b"x")
    assert asked.ended  # a whole message, and not a good one
    too_long = challenger()
    too_long.receive(b"p" + (MAX_MESSAGE_BYTES + 5).to_bytes(4, "big"))
    assert too_long.refusal is not None


def test_a_wrong_proof() -> None:
    asked = challenger()
    asked.receive(SaslInitialResponse(MECHANISM, b"n,,n=,r=abc").encode())
    asked.receive(response(b"c=biws,r=abc,p=AAAA"))
    assert asked.refusal is not None
    assert asked.refusal.fields["D"] == "Malformed proof in client-final-message."
    wrong = challenger()
    client = ClientExchange([MECHANISM], None)
    client.read_challenge(answer(wrong.receive(SaslInitialResponse(MECHANISM, client.first()).encode())))
    final = client.prove(KEYS)
    wrong.receive(response(final[:-44] + b"A" * 43 + b"="))
    assert isinstance(wrong.outcome, NotProven)
