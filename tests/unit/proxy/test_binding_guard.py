"""Logins that are bound to the proxy's TLS are told from those that can be relayed."""

import pytest

from services.proxy.arrival.binding_guard import BindingGuard
from services.shared.pgwire.authentication import SaslInitialResponse, encode_password

_PLUS = SaslInitialResponse("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc").encode()
_COULD = SaslInitialResponse("SCRAM-SHA-256", b"y,,n=,r=abc").encode()
_PLAIN = SaslInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abc").encode()


@pytest.mark.parametrize("answer", [_PLUS, _COULD])
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000])
def test_a_bound_answer_is_kept_back(answer: bytes, chunk_bytes: int) -> None:
    guard = BindingGuard()
    passed = [guard.feed(answer[at : at + chunk_bytes]) for at in range(0, len(answer), chunk_bytes)]

    assert guard.bound
    assert b"".join(passed) == b""


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000])
def test_an_answer_that_is_not_bound_goes_on_and_so_does_what_follows(chunk_bytes: int) -> None:
    guard = BindingGuard()
    sent = _PLAIN + _PLUS  # the second is no first answer
    passed = [guard.feed(sent[at : at + chunk_bytes]) for at in range(0, len(sent), chunk_bytes)]

    assert not guard.bound
    assert b"".join(passed) == sent


@pytest.mark.parametrize(
    "answer",
    [
        encode_password(b"SCRAM-SHA-256-PLUS"),
        SaslInitialResponse("SCRAM-SHA-256", None).encode(),
        SaslInitialResponse("OAUTHBEARER", b"n,,").encode(),
        b"p\0\0\0\x04",
        b"X\0\0\0\x04",
        b"p\x7f\xff\xff\xff",
    ],
)
def test_what_is_no_bound_answer_is_left_to_postgres(answer: bytes) -> None:
    guard = BindingGuard()

    assert guard.feed(answer) == answer
    assert not guard.bound
