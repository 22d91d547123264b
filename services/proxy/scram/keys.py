"""The arithmetic of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677). Pure.

    SaltedPassword = PBKDF2(password, salt, iterations)
    ClientKey      = HMAC(SaltedPassword, "Client Key")        StoredKey = SHA-256(ClientKey)
    ServerKey      = HMAC(SaltedPassword, "Server Key")
    ClientProof    = ClientKey XOR HMAC(StoredKey, AuthMessage)

Whoever knows StoredKey learns ClientKey from a proof. That is how the proxy, which holds verifiers and no passwords,
can prove itself to Postgres in its client's name, as long as both sides use the same salt and iterations.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

KEY_BYTES: Final = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Keys:
    """What a client has to know: its own key to prove itself, the server's to check the server."""

    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def keys_of_password(password: bytes, salt: bytes, iterations: int) -> Keys:
    """Derive the keys of a prepared password (see `saslprep`). Takes some 0.4 µs for each iteration."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    return Keys(sign(salted, b"Client Key"), sign(salted, b"Server Key"))


def nobodys_keys() -> Keys:
    """Return keys that belong to no password: with them Postgres itself refuses a login, in its own words."""
    return Keys(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))


def stored_key(client_key: bytes) -> bytes:
    """Return StoredKey, by which a server knows a ClientKey when it sees one."""
    return hashlib.sha256(client_key).digest()


def sign(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA-256."""
    return hmac.digest(key, message, "sha256")


def xor(one: bytes, other: bytes) -> bytes:
    """Combine two values of the same length: a key and a signature to a proof, a proof and a signature to a key."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def equal(one: bytes, other: bytes) -> bool:
    """Compare in a time that does not tell where the two differ."""
    return hmac.compare_digest(one, other)
