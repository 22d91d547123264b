"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS towards Postgres. Pure.

The steps are separate, because the keys come late: only with the server's challenge is it known which verifier is the
right one, and only the client of ours whose login this is can give us its key. What the server does wrong ends the
login; a server that cannot sign for the password has not been told it, whatever it says.
"""

from collections.abc import Callable, Sequence
from typing import Final

from services.proxy.scram import b64
from services.proxy.scram.attributes import is_printable
from services.proxy.scram.binding import BINDING_TYPE, MECHANISM_PLUS
from services.proxy.scram.errors import ServerUnproven
from services.proxy.scram.keys import KEY_BYTES, Keys, equal, sign, stored_key, xor
from services.proxy.scram.nonce import fresh_nonce
from services.proxy.scram.verifier import MECHANISM, Challenge

MAX_ITERATIONS: Final = 10_000_000
"""More than this takes seconds of computing for one login: an error, or somebody who wants us to be busy."""


class ClientExchange:
    """One exchange with Postgres.

    Attributes:
        mechanism: The one that was chosen.
    """

    def __init__(
        self, offered: Sequence[str], end_point: bytes | None, nonce: Callable[[], bytes] = fresh_nonce
    ) -> None:
        """Choose a mechanism.

        Args:
            offered: What the server offers.
            end_point: Hash of the certificate that we see, to bind the exchange to the TLS channel; None without TLS.
            nonce: Makes our nonce.

        Raises:
            ServerUnproven: It offers nothing that we know.
        """
        self._header = _gs2_header(offered, end_point)
        self.mechanism = MECHANISM_PLUS if self._header.startswith(b"p") else MECHANISM
        if self.mechanism not in offered:
            raise ServerUnproven(f"the server does not offer {MECHANISM}")
        self._binding = self._header
        if self.mechanism == MECHANISM_PLUS and end_point is not None:
            self._binding += end_point
        self._our_nonce = nonce()
        self._first_bare = b"n=,r=" + self._our_nonce  # Postgres takes the user from the start-up packet
        self._server_first = b""
        self._nonce = b""
        self._auth_message = b""
        self._server_key = b""

    def first(self) -> bytes:
        """Return our first message."""
        return self._header + self._first_bare

    def read_challenge(self, server_first: bytes) -> Challenge:
        """Read what the server wants the keys to be derived with.

        Raises:
            ServerUnproven: The message is not as it should be.
        """
        attributes = _attributes(server_first)
        if attributes[:1] and attributes[0][0] == "m":
            raise ServerUnproven("the server requires a SCRAM extension that we do not know")
        if [letter for letter, _ in attributes[:3]] != ["r", "s", "i"]:
            raise ServerUnproven("the server's challenge is malformed")
        nonce, salt, iterations = (value for _, value in attributes[:3])
        if not nonce.startswith(self._our_nonce) or nonce == self._our_nonce or not is_printable(nonce):
            raise ServerUnproven("the server's challenge answers another login: its nonce does not begin with ours")
        self._server_first, self._nonce = server_first, nonce
        return Challenge(_decoded(salt, "salt"), _read_iterations(iterations))

    def prove(self, keys: Keys) -> bytes:
        """Return our last message: the proof that we know the password, or its key."""
        assert self._server_first
        without_proof = b"c=%b,r=%b" % (b64.encode(self._binding), self._nonce)
        self._auth_message = b",".join((self._first_bare, self._server_first, without_proof))
        self._server_key = keys.server_key
        proof = xor(keys.client_key, sign(stored_key(keys.client_key), self._auth_message))
        return b"%b,p=%b" % (without_proof, b64.encode(proof))

    def check(self, server_final: bytes) -> None:
        """Check that the server knows the verifier.

        Raises:
            ServerUnproven: It does not, or refuses (which Postgres never says this way).
        """
        assert self._auth_message
        attributes = _attributes(server_final)
        if attributes[:1] and attributes[0][0] == "e":
            raise ServerUnproven("the server ended the SCRAM exchange with an error")
        if not attributes or attributes[0][0] != "v":
            raise ServerUnproven("the server's last SCRAM message is malformed")
        signature = _decoded(attributes[0][1], "signature")
        if len(signature) != KEY_BYTES or not equal(signature, sign(self._server_key, self._auth_message)):
            raise ServerUnproven("the server does not know the password: it may not be the server that it says it is")


def _gs2_header(offered: Sequence[str], end_point: bytes | None) -> bytes:
    """Say whether we bind (RFC 5802 section 6): `y` lets a server find out that its offer was tampered with."""
    if end_point is None:
        return b"n,,"
    return b"p=%b,," % BINDING_TYPE if MECHANISM_PLUS in offered else b"y,,"


def _attributes(message: bytes) -> list[tuple[str, bytes]]:
    """Split a message; anything but `letter=value` stands under an empty letter."""
    parts = (part.partition(b"=") for part in message.split(b","))
    return [(name.decode() if len(name) == 1 and name.isalpha() else "", value) for name, _, value in parts]


def _decoded(text: bytes, what: str) -> bytes:
    try:
        return b64.decode(text)
    except ValueError:
        raise ServerUnproven(f"the server's {what} is not base64") from None


def _read_iterations(text: bytes) -> int:
    if not text.isdigit() or len(text) > len(str(2**31)) or int(text) < 1:
        raise ServerUnproven("the server's number of iterations is none")
    if (iterations := int(text)) > MAX_ITERATIONS:
        raise ServerUnproven(f"the server wants {iterations} iterations; more than {MAX_ITERATIONS} are refused")
    return iterations
