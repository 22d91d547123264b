"""What the tests of SCRAM share: a password with its keys and verifier, and a client that can be made to misbehave."""

import re

from services.proxy.scram import b64
from services.proxy.scram.client import ClientExchange
from services.proxy.scram.keys import Keys, keys_of_password
from services.proxy.scram.server import NotProven, Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM, Challenge, Verifier

CHALLENGE = Challenge(bytes(range(16)), 100)
KEYS = keys_of_password(b"pencil", *CHALLENGE)
VERIFIER = Verifier.of_keys(KEYS, CHALLENGE)
END_POINT = b"\x01\x80" * 16
OTHER_END_POINT = b"\x02\x81" * 16
MECHANISM_PLUS = "SCRAM-SHA-256-PLUS"
ANY_PROOF = b64.encode(bytes(32))


def challenged(server: ServerExchange, first: bytes = b"n,,n=,r=abc", mechanism: str = MECHANISM) -> bytes:
    """Bring a server so far that it wants a proof; return both parts of the nonce."""
    challenge = answered(server, mechanism, first)
    found = re.match(rb"r=([^,]+),", challenge)
    assert found is not None
    return found[1]


def run(client: ClientExchange, server: ServerExchange, keys: Keys = KEYS) -> Proven | NotProven:
    """Let the two talk until the server knows, and the client has checked it."""
    challenge = answered(server, client.mechanism, client.first())
    client.read_challenge(challenge)
    outcome = server.respond(client.prove(keys))
    assert not isinstance(outcome, bytes)
    if isinstance(outcome, Proven):
        client.check(outcome.server_final)
    return outcome


def answered(server: ServerExchange, mechanism: str, first: bytes | None) -> bytes:
    """Have a server answer a choice and a first message; return its challenge."""
    server.select(mechanism)
    challenge = server.respond(first)
    assert isinstance(challenge, bytes)
    return challenge
