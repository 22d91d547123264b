"""The client's side of an exchange: which server is believed."""

from collections.abc import Callable

import pytest

from services.proxy.scram import b64
from services.proxy.scram.client import MAX_ITERATIONS, ClientExchange
from services.proxy.scram.errors import ServerUnproven
from services.proxy.scram.keys import nobodys_keys
from services.proxy.scram.server import Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM, Verifier
from tests.unit.scram.exchanges import CHALLENGE, END_POINT, KEYS, MECHANISM_PLUS, VERIFIER, answered

BOTH = (MECHANISM_PLUS, MECHANISM)


@pytest.mark.parametrize(
    ("offered", "end_point", "mechanism", "header"),
    [
        (BOTH, None, MECHANISM, b"n,,"),
        ((MECHANISM,), None, MECHANISM, b"n,,"),
        (BOTH, END_POINT, MECHANISM_PLUS, b"p=tls-server-end-point,,"),
        ((MECHANISM,), END_POINT, MECHANISM, b"y,,"),
        (("OAUTHBEARER", MECHANISM), None, MECHANISM, b"n,,"),
    ],
)
def test_the_best_mechanism_that_both_know(
    offered: tuple[str, ...], end_point: bytes | None, mechanism: str, header: bytes
) -> None:
    client = ClientExchange(offered, end_point, nonce=lambda: b"ours")
    assert client.mechanism == mechanism
    assert client.first() == header + b"n=,r=ours"


@pytest.mark.parametrize("offered", [(), ("OAUTHBEARER",), (MECHANISM_PLUS,)])
def test_a_server_that_offers_nothing_we_know(offered: tuple[str, ...]) -> None:
    with pytest.raises(ServerUnproven, match="does not offer SCRAM-SHA-256"):
        ClientExchange(offered, None)


def test_the_challenge_is_read() -> None:
    client = ClientExchange([MECHANISM], None, nonce=lambda: b"ours")
    assert client.read_challenge(b"r=ourstheirs,s=AAECAwQFBgcICQoLDA0ODw==,i=100,x=later") == CHALLENGE


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        (b"", "malformed"),
        (b"r=ourstheirs", "malformed"),
        (b"r=ourstheirs,s=AAAA", "malformed"),
        (b"s=AAAA,r=ourstheirs,i=1", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"m=x,r=ourstheirs,s=AAAA,i=1", "extension"),
        (b"r=theirs,s=AAAA,i=1", "another login"),
        (b"r=ours,s=AAAA,i=1", "another login"),
        (b"r=ours\xe9,s=AAAA,i=1", "another login"),
        (b"r=ourstheirs,s=A,i=1", "salt is not base64"),
        (b"r=ourstheirs,s=\xff,i=1", "salt is not base64"),
        (b"r=ourstheirs,s=AAAA,i=0", "number of iterations"),
        (b"r=ourstheirs,s=AAAA,i=-1", "number of iterations"),
        (b"r=ourstheirs,s=AAAA,i=", "number of iterations"),
        (b"r=ourstheirs,s=AAAA,i=1e3", "number of iterations"),
        (b"r=ourstheirs,s=AAAA,i=" + b"9" * 5000, "number of iterations"),
        (b"r=ourstheirs,s=AAAA,i=%d" % (MAX_ITERATIONS + 1), "iterations; more than"),
    ],
)
def test_a_challenge_that_is_refused(challenge: bytes, why: str) -> None:
    client = ClientExchange([MECHANISM], None, nonce=lambda: b"ours")
    with pytest.raises(ServerUnproven, match=why):
        client.read_challenge(challenge)


def _proven() -> tuple[ClientExchange, bytes]:
    client, server = ClientExchange([MECHANISM], None), ServerExchange(CHALLENGE, VERIFIER, None)
    client.read_challenge(answered(server, MECHANISM, client.first()))
    outcome = server.respond(client.prove(KEYS))
    assert isinstance(outcome, Proven)
    return client, outcome.server_final


def test_a_server_that_knows_the_verifier_is_believed() -> None:
    client, final = _proven()
    client.check(final)


def _last_bit(final: bytes) -> bytes:
    signature = bytearray(b64.decode(final[2:]))
    signature[-1] ^= 1
    return b"v=" + b64.encode(bytes(signature))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda final: b"v=" + b64.encode(bytes(32)), "does not know the password"),
        (_last_bit, "does not know the password"),
        (lambda final: b"v=", "does not know the password"),
        (lambda final: final[:-4], "does not know the password"),
        (lambda final: final[:-1], "not base64"),
        (lambda final: b"", "malformed"),
        (lambda final: b"v", "does not know the password"),
        (lambda final: b"p" + final[1:], "malformed"),
        (lambda final: b"e=invalid-proof", "with an error"),
    ],
)
def test_a_server_that_does_not_is_not(change: Callable[[bytes], bytes], why: str) -> None:
    client, final = _proven()
    with pytest.raises(ServerUnproven, match=why):
        client.check(change(final))


def test_a_server_without_the_verifier_cannot_play_postgres() -> None:
    """It has seen the proof, and with it nothing that the signature is made of."""
    client = ClientExchange([MECHANISM], None)
    impostor = ServerExchange(CHALLENGE, Verifier.of_keys(nobodys_keys(), CHALLENGE), None)
    client.read_challenge(answered(impostor, MECHANISM, client.first()))
    client.prove(KEYS)
    with pytest.raises(ServerUnproven):
        client.check(b"v=" + b64.encode(nobodys_keys().server_key))
