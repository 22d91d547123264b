"""The example of RFC 7677, section 3: both sides' messages, byte for byte."""

from services.proxy.scram import b64
from services.proxy.scram.keys import keys_of_password, sign, stored_key, xor
from services.proxy.scram.server import Proven, ServerExchange
from services.proxy.scram.verifier import Challenge, Verifier
from tests.unit.scram.exchanges import answered

CHALLENGE = Challenge(b64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
KEYS = keys_of_password(b"pencil", *CHALLENGE)
FIRST_BARE = b"n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
WITHOUT_PROOF = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
PROOF = b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_servers_messages() -> None:
    verifier = Verifier.of_keys(KEYS, CHALLENGE)
    server = ServerExchange(CHALLENGE, verifier, None, nonce=lambda: b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert answered(server, "SCRAM-SHA-256", b"n,," + FIRST_BARE) == SERVER_FIRST
    outcome = server.respond(WITHOUT_PROOF + b",p=" + PROOF)
    assert outcome == Proven(KEYS.client_key, SERVER_FINAL)


def test_the_clients_proof() -> None:
    auth_message = b",".join((FIRST_BARE, SERVER_FIRST, WITHOUT_PROOF))
    assert xor(KEYS.client_key, sign(stored_key(KEYS.client_key), auth_message)) == b64.decode(PROOF)
    assert b"v=" + b64.encode(sign(KEYS.server_key, auth_message)) == SERVER_FINAL
