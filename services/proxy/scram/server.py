"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS towards a client, as Postgres's own server does it (auth-scram.c). Pure.

    client-first    n,,n=,r=<nonce>                      the user name in it is ignored, as in Postgres
    server-first    r=<nonce + ours>,s=<salt>,i=<iterations>
    client-final    c=<binding>,r=<both nonces>,p=<proof>
    server-final    v=<signature>

Where there is no verifier to check against, the exchange goes the same way to the end and then fails as with a wrong
password, so that nobody learns who has one. What a client breaks is refused under Postgres's SQLSTATE, in its words.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from services.proxy.scram import b64
from services.proxy.scram.attributes import AttributeReader, is_printable, shown_character, shown_text
from services.proxy.scram.binding import BINDING_TYPE, MECHANISM_PLUS, mechanisms
from services.proxy.scram.errors import ClientRefused, malformed
from services.proxy.scram.keys import KEY_BYTES, equal, sign, stored_key, xor
from services.proxy.scram.nonce import fresh_nonce
from services.proxy.scram.verifier import Challenge, Verifier
from services.shared.pgwire.sqlstate import Sqlstate

_UNUSED_KEY: Final = bytes(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class Proven:
    """The client knows the password.

    Attributes:
        client_key: What it proved that with, and what proves it to Postgres too.
        server_final: Proves to the client that we know the verifier.
    """

    client_key: bytes = field(repr=False)
    server_final: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotProven:
    """The client does not know the password, or there is none to know."""


class _State(Enum):
    OFFERED = auto()
    SELECTED = auto()
    CHALLENGED = auto()
    ENDED = auto()


class ServerExchange:
    """One exchange with one client."""

    def __init__(
        self,
        challenge: Challenge,
        verifier: Verifier | None,
        end_point: bytes | None,
        nonce: Callable[[], bytes] = fresh_nonce,
    ) -> None:
        """Prepare.

        Args:
            challenge: Salt and iterations that the client is told.
            verifier: What its proof is checked with; None, or that of another challenge, and nothing proves it.
            end_point: Hash of the certificate that the client sees, to bind the exchange to its TLS channel; None
                without TLS.
            nonce: Makes our part of the nonce.
        """
        self._challenge = challenge
        self._verifier = verifier if verifier is not None and verifier.challenge == challenge else None
        self._end_point = end_point
        self._our_nonce = nonce()
        self._state = _State.OFFERED
        self._binds = False
        self._flag = b""
        self._first_bare = b""
        self._nonce = b""
        self._server_first = b""

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What the client may choose from, the best first."""
        return mechanisms(self._end_point)

    def select(self, mechanism: str) -> None:
        """Take the client's choice.

        Raises:
            ClientRefused: It was not offered.
        """
        assert self._state is _State.OFFERED
        if mechanism not in self.mechanisms:
            raise ClientRefused("client selected an invalid SASL authentication mechanism")
        self._binds = mechanism == MECHANISM_PLUS
        self._state = _State.SELECTED

    def respond(self, data: bytes | None) -> bytes | Proven | NotProven:
        """Take the client's next message.

        Args:
            data: The message; None where the client chose a mechanism and sent nothing with it.

        Returns:
            What the client is sent next, the challenge (none of it if it has sent nothing yet), or the outcome.

        Raises:
            ClientRefused: The client broke the protocol, or thinks that it cannot bind although it could.
        """
        if data is None:
            return b""
        if self._state is _State.SELECTED:
            return self._challenge_for(data)
        assert self._state is _State.CHALLENGED
        self._state = _State.ENDED
        return self._verdict(data)

    def _challenge_for(self, client_first: bytes) -> bytes:
        reader = AttributeReader(client_first)
        self._flag = self._read_binding_flag(reader)
        if reader.next == ord("a"):
            message = "client uses authorization identity, but it is not supported"
            raise ClientRefused(message, sqlstate=Sqlstate.FEATURE_NOT_SUPPORTED)
        if reader.next != ord(","):
            raise malformed(f'Unexpected attribute "{shown_character(reader.next)}" in client-first-message.')
        reader.step()
        self._first_bare = reader.rest()
        if reader.next == ord("m"):
            message = "client requires an unsupported SCRAM extension"
            raise ClientRefused(message, sqlstate=Sqlstate.FEATURE_NOT_SUPPORTED)
        reader.value_of("n")
        client_nonce = reader.value_of("r")
        if not is_printable(client_nonce):
            raise ClientRefused("non-printable characters in SCRAM nonce")
        while reader.next:
            reader.any_value()
        self._nonce = client_nonce + self._our_nonce
        salt = b64.encode(self._challenge.salt)
        self._server_first = b"r=%b,s=%b,i=%d" % (self._nonce, salt, self._challenge.iterations)
        self._state = _State.CHALLENGED
        return self._server_first

    def _read_binding_flag(self, reader: AttributeReader) -> bytes:
        """Read `p=<type>,`, `n,` or `y,`: the client binds, cannot, or could but thinks that we cannot."""
        flag = reader.next
        if flag == ord("p"):
            if not self._binds:
                raise malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, "
                    "but the SCRAM message includes channel binding data."
                )
            kind = reader.value_of("p")
            if kind != BINDING_TYPE:
                raise ClientRefused(f'unsupported SCRAM channel-binding type "{shown_text(kind)}"')
            return b"p"
        if flag not in b"ny":
            raise malformed(f'Unexpected channel-binding flag "{shown_character(flag)}".')
        if self._binds:
            raise malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data."
            )
        if flag == ord("y") and self._end_point is not None:
            # Somebody between us took the better mechanism off our list (RFC 5802 section 6).
            raise ClientRefused(
                "SCRAM channel binding negotiation error",
                "The client supports SCRAM channel binding but thinks the server does not.  "
                "However, this server does support channel binding.",
                sqlstate=Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION,
            )
        reader.step()
        if reader.next != ord(","):
            raise malformed(f'Comma expected, but found character "{shown_character(reader.next)}".')
        reader.step()
        return bytes((flag,))

    def _verdict(self, client_final: bytes) -> Proven | NotProven:
        reader = AttributeReader(client_final)
        self._check_binding(reader.value_of("c"))
        nonce = reader.value_of("r")
        proof_at, (letter, value) = reader.at, reader.any_value()
        while letter != "p":
            proof_at, (letter, value) = reader.at, reader.any_value()
        proof = _read_proof(value)
        if reader.next:
            raise malformed("Garbage found at the end of client-final-message.")
        if not equal(nonce, self._nonce):
            raise ClientRefused("invalid SCRAM response", "Nonce does not match.")
        without_proof = client_final[: proof_at - 1]
        return self._check(proof, b",".join((self._first_bare, self._server_first, without_proof)))

    def _check_binding(self, binding: bytes) -> None:
        """Check that the client repeats its flag, and that its TLS channel ends where ours begins."""
        if self._binds:
            assert self._end_point is not None
            if not equal(binding, b64.encode(b"p=%b,,%b" % (BINDING_TYPE, self._end_point))):
                raise ClientRefused(
                    "SCRAM channel binding check failed", sqlstate=Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION
                )
        elif binding != b64.encode(self._flag + b",,"):
            raise ClientRefused("unexpected SCRAM channel-binding attribute in client-final-message")

    def _check(self, proof: bytes, auth_message: bytes) -> Proven | NotProven:
        """Check the proof; without a verifier all the same, so that the time does not tell whether there is one."""
        verifier = self._verifier
        known, server_key = (
            (_UNUSED_KEY, _UNUSED_KEY) if verifier is None else (verifier.stored_key, verifier.server_key)
        )
        client_key = xor(proof, sign(known, auth_message))
        if not equal(stored_key(client_key), known) or verifier is None:
            return NotProven()
        return Proven(client_key, b"v=" + b64.encode(sign(server_key, auth_message)))


def _read_proof(value: bytes) -> bytes:
    try:
        proof = b64.decode(value)
    except ValueError:
        proof = b""
    if len(proof) != KEY_BYTES:
        raise malformed("Malformed proof in client-final-message.")
    return proof
