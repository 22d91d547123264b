"""The server's side of an exchange: who is let through, and what is refused how.

That the refusals are Postgres's own is shown against Postgres itself (tests/integration/test_scram_refusals.py).
"""

import pytest

from services.proxy.scram import b64
from services.proxy.scram.client import ClientExchange
from services.proxy.scram.errors import ClientRefused
from services.proxy.scram.keys import Keys, keys_of_password, nobodys_keys, sign
from services.proxy.scram.server import NotProven, Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM, Challenge, Verifier
from tests.unit.scram.exchanges import (
    ANY_PROOF,
    CHALLENGE,
    END_POINT,
    KEYS,
    MECHANISM_PLUS,
    OTHER_END_POINT,
    VERIFIER,
    answered,
    challenged,
    run,
)


@pytest.mark.parametrize("end_point", [None, END_POINT])
def test_who_knows_the_password_comes_through_and_leaves_the_key(end_point: bytes | None) -> None:
    server = ServerExchange(CHALLENGE, VERIFIER, end_point)
    client = ClientExchange(server.mechanisms, end_point)
    assert client.mechanism == (MECHANISM if end_point is None else MECHANISM_PLUS)
    outcome = run(client, server)
    assert isinstance(outcome, Proven)
    assert outcome.client_key == KEYS.client_key


def test_the_client_may_begin_with_nothing() -> None:
    server = ServerExchange(CHALLENGE, VERIFIER, None)
    client = ClientExchange(server.mechanisms, None)
    assert answered(server, client.mechanism, None) == b""
    challenge = server.respond(client.first())
    assert isinstance(challenge, bytes)
    client.read_challenge(challenge)
    assert isinstance(server.respond(client.prove(KEYS)), Proven)


def test_a_wrong_password_does_not_come_through() -> None:
    server = ServerExchange(CHALLENGE, VERIFIER, None)
    assert isinstance(run(ClientExchange([MECHANISM], None), server, nobodys_keys()), NotProven)


def test_the_verifier_itself_does_not_come_through() -> None:
    """Who stole a verifier has StoredKey and ServerKey, and neither is the client's key."""
    for stolen in (VERIFIER.stored_key, VERIFIER.server_key, bytes(32)):
        server = ServerExchange(CHALLENGE, VERIFIER, None)
        outcome = run(ClientExchange([MECHANISM], None), server, Keys(stolen, VERIFIER.server_key))
        assert isinstance(outcome, NotProven)


@pytest.mark.parametrize("verifier", [None, Verifier.of_keys(KEYS, Challenge(b"other salt", 100))])
def test_without_a_verifier_the_exchange_goes_to_its_end_and_fails(verifier: Verifier | None) -> None:
    """The same messages as for somebody who exists; and no proof is right, not even for keys of zeros."""
    server = ServerExchange(CHALLENGE, verifier, None, nonce=lambda: b"ours")
    assert challenged(server) == b"abcours"
    assert isinstance(server.respond(b"c=biws,r=abcours,p=" + ANY_PROOF), NotProven)
    again = ServerExchange(CHALLENGE, verifier, None)
    assert isinstance(run(ClientExchange([MECHANISM], None), again), NotProven)


def test_a_recorded_proof_is_worth_nothing_in_another_exchange() -> None:
    client = ClientExchange([MECHANISM], None)
    first = ServerExchange(CHALLENGE, VERIFIER, None)
    challenge = answered(first, MECHANISM, client.first())
    client.read_challenge(challenge)
    final = client.prove(KEYS)
    assert isinstance(first.respond(final), Proven)

    second = ServerExchange(CHALLENGE, VERIFIER, None)
    answered(second, MECHANISM, client.first())
    with pytest.raises(ClientRefused) as refused:
        second.respond(final)
    assert refused.value.response.fields["D"] == "Nonce does not match."


def test_nonces_differ() -> None:
    nonces = {challenged(ServerExchange(CHALLENGE, VERIFIER, None)) for _ in range(100)}
    assert len(nonces) == 100
    assert all(len(nonce) == 3 + 24 for nonce in nonces)


@pytest.mark.parametrize("end_point", [OTHER_END_POINT, b"", END_POINT[:-1]])
def test_a_proof_bound_to_another_certificate_is_refused(end_point: bytes) -> None:
    """What a man in the middle has: the right password's proof, made for his own certificate."""
    server = ServerExchange(CHALLENGE, VERIFIER, END_POINT)
    client = ClientExchange(server.mechanisms, end_point)
    client.read_challenge(answered(server, client.mechanism, client.first()))
    with pytest.raises(ClientRefused, match="SCRAM channel binding check failed") as refused:
        server.respond(client.prove(KEYS))
    assert refused.value.response.sqlstate == "28000"


def test_who_was_told_that_we_cannot_bind_is_refused() -> None:
    """Somebody took SCRAM-SHA-256-PLUS off the list: the client says that it could have bound."""
    server = ServerExchange(CHALLENGE, VERIFIER, END_POINT)
    client = ClientExchange([MECHANISM], END_POINT)
    assert client.first().startswith(b"y,,")
    with pytest.raises(ClientRefused, match="SCRAM channel binding negotiation error") as refused:
        answered(server, client.mechanism, client.first())
    assert refused.value.response.sqlstate == "28000"


def test_where_nothing_can_be_bound_to_y_is_right() -> None:
    """Our certificate has no hash that RFC 5929 defines: PLUS is not offered, and libpq under TLS says `y`."""
    server = ServerExchange(CHALLENGE, VERIFIER, None)
    assert server.mechanisms == (MECHANISM,)
    assert isinstance(run(ClientExchange(server.mechanisms, END_POINT), server), Proven)


def test_a_client_that_does_not_bind_may_stay_so_under_tls() -> None:
    server = ServerExchange(CHALLENGE, VERIFIER, END_POINT)
    assert isinstance(run(ClientExchange(server.mechanisms, None), server), Proven)


def test_the_flag_cannot_be_changed_between_the_messages() -> None:
    server = ServerExchange(CHALLENGE, VERIFIER, None)
    nonce = challenged(server, b"y,,n=,r=abc")
    with pytest.raises(ClientRefused, match="unexpected SCRAM channel-binding attribute"):
        server.respond(b"c=biws,r=%b,p=%b" % (nonce, ANY_PROOF))


def test_the_name_in_the_exchange_is_ignored() -> None:
    server = ServerExchange(CHALLENGE, VERIFIER, None)
    nonce = challenged(server, b"n,,n=somebody else,r=abc,x=extension")
    assert isinstance(server.respond(b"c=biws,r=%b,x=y,p=%b" % (nonce, ANY_PROOF)), NotProven)


@pytest.mark.parametrize(
    ("first", "sqlstate", "message"),
    [
        (b"n,,m=x,n=,r=a", "0A000", "client requires an unsupported SCRAM extension"),
        (b"n,a=admin,n=,r=a", "0A000", "client uses authorization identity, but it is not supported"),
        (b"n,,n=,r=\xff", "08P01", "non-printable characters in SCRAM nonce"),
        (b"n,,n=,r=a\0", "08P01", "malformed SCRAM message"),
        (b"", "08P01", "malformed SCRAM message"),
        (b"p=tls-unique,,n=,r=a", "08P01", "malformed SCRAM message"),
    ],
)
def test_a_first_message_that_is_refused(first: bytes, sqlstate: str, message: str) -> None:
    with pytest.raises(ClientRefused) as refused:
        answered(ServerExchange(CHALLENGE, VERIFIER, None), MECHANISM, first)
    response = refused.value.response
    assert (response.severity, response.sqlstate, response.message) == ("FATAL", sqlstate, message)


def test_the_work_is_the_same_with_and_without_a_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes time in a verdict is counted: a proof is checked also where there is nothing to check it with."""
    counted: list[bytes] = []

    def counting_sign(key: bytes, message: bytes) -> bytes:
        counted.append(key)
        return sign(key, message)

    monkeypatch.setattr("services.proxy.scram.server.sign", counting_sign)
    for verifier in (VERIFIER, None):
        server = ServerExchange(CHALLENGE, verifier, None)
        nonce = challenged(server)
        server.respond(b"c=biws,r=%b,p=%b" % (nonce, ANY_PROOF))
    assert len(counted) == 2


def test_keys_depend_on_salt_and_iterations() -> None:
    others = [keys_of_password(b"pencil", b"salt", 100), keys_of_password(b"pencil", CHALLENGE.salt, 101)]
    assert all(other.client_key != KEYS.client_key for other in others)
    assert b64.decode(b64.encode(KEYS.client_key)) == KEYS.client_key
