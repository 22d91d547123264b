"""A verifier: what Postgres keeps of a password, `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. Pure.

With it one can check that a client knows the password, and prove to the client that one has the verifier; the password
cannot be had from it, but by guessing. It is a secret all the same: no `repr` and no error shows its parts.
"""

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.proxy.scram import b64
from services.proxy.scram.keys import KEY_BYTES, Keys, stored_key

MECHANISM: Final = "SCRAM-SHA-256"

_SHAPE: Final = re.compile(rf"{MECHANISM}\$([0-9]{{1,10}}):([^$:]*)\$([^$:]*):([^$:]*)")
_MD5: Final = re.compile(r"md5[0-9a-f]{32}")
_MAX_ITERATIONS: Final = 2**31 - 1  # an `int` in Postgres


class InvalidVerifier(ValueError):
    """The text is no verifier; the message says what it is instead, and repeats nothing of it."""


class Challenge(NamedTuple):
    """What a server asks a client to derive its keys with. A new password has a new salt, also when it is the same."""

    salt: bytes
    iterations: int


@dataclass(frozen=True, slots=True)
class Verifier:
    """The verifier of one password."""

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @property
    def challenge(self) -> Challenge:
        """What a client derives its keys with."""
        return Challenge(self.salt, self.iterations)

    @classmethod
    def of_keys(cls, keys: Keys, challenge: Challenge) -> "Verifier":
        """Make the verifier of keys that were derived for a challenge."""
        return cls(challenge.iterations, challenge.salt, stored_key(keys.client_key), keys.server_key)

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read what Postgres writes.

        Raises:
            InvalidVerifier: It is something else.
        """
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise InvalidVerifier("an MD5 hash" if _MD5.fullmatch(text) else f"no {MECHANISM} verifier")
        iterations = int(shape[1])
        try:
            salt, stored, server = (b64.decode(shape[part].encode()) for part in (2, 3, 4))
        except ValueError:
            raise InvalidVerifier(f"a {MECHANISM} verifier with parts that are not base64") from None
        if not 0 < iterations <= _MAX_ITERATIONS or not salt or not len(stored) == len(server) == KEY_BYTES:
            raise InvalidVerifier(f"a {MECHANISM} verifier whose parts have a wrong size")
        return cls(iterations, salt, stored, server)

    def format(self) -> str:
        """Write it as Postgres does."""
        salt, stored, server = (b64.encode(part).decode() for part in (self.salt, self.stored_key, self.server_key))
        return f"{MECHANISM}${self.iterations}:{salt}${stored}:{server}"
