"""The sessions of one cache in one worker, and which of them a cancel request means. Pure.

A session's process id and cancel key are a secret of its client. They are kept, and told to other workers, only as a
digest: keyed with the password of the cache's own role, because the 32 bits of an old key are soon guessed.
"""

import random
from collections.abc import Callable, Iterator
from hashlib import blake2b, sha256
from typing import Protocol

from services.shared.pgwire.sqlstate import Sqlstate

_DIGEST_BYTES = 16


class OpenSession(Protocol):
    """What a cache asks of the sessions that use it."""

    def forget_state(self) -> None:
        """Ask Postgres for the session's state before the next decision."""

    def end(self, sqlstate: Sqlstate, message: str) -> None:
        """End the session with an error that the client sees."""

    def drain(self) -> None:
        """End the session as soon as no turn and no transaction block is under way; at once, if none is."""

    def outage_changed(self) -> None:
        """Postgres is down, or back, or neither was the case: what waits for that goes on."""

    def rested(self) -> bool:
        """Tell whether the session was idle outside a transaction block ever since the last call."""

    def look_again(self) -> None:
        """Take the slow path with the next bytes, once."""

    def interrupt(self) -> bool:
        """Cancel the turn that waits in the proxy; False when none does, so that it is for Postgres to cancel."""


class OpenSessions:
    """Sessions, each with the digest that a cancel request for it would have.

    Attributes:
        when_empty: Called when the last one has ended.
    """

    __slots__ = ("_by_digest", "_digests", "_secret", "when_empty")

    def __init__(self, secret: str) -> None:
        """Begin with none.

        Args:
            secret: What all workers of the cache know and nobody else.
        """
        self._secret = sha256(secret.encode()).digest()
        self._digests: dict[OpenSession, bytes] = {}
        self._by_digest: dict[bytes, OpenSession] = {}
        self.when_empty: Callable[[], None] | None = None

    def digest(self, backend_key: bytes) -> bytes:
        """Return the digest of a process id (four bytes) and the key behind it, as BackendKeyData carries them."""
        return blake2b(backend_key, key=self._secret, digest_size=_DIGEST_BYTES).digest()

    def add(self, session: OpenSession, backend_key: bytes) -> None:
        """A session begins; with an empty key it cannot be cancelled."""
        digest = self.digest(backend_key) if backend_key else b""
        self._digests[session] = digest
        if digest:
            self._by_digest[digest] = session

    def discard(self, session: OpenSession) -> None:
        """A session is over; again is harmless."""
        digest = self._digests.pop(session, b"")
        if self._by_digest.get(digest) is session:
            del self._by_digest[digest]
        if not self._digests and self.when_empty is not None:
            self.when_empty()

    def meant_by(self, digest: bytes) -> OpenSession | None:
        """Return the session that a cancel request with this digest means."""
        return self._by_digest.get(digest)

    def some(self, count: int) -> list[OpenSession]:
        """Return so many sessions, by chance; all, if there are fewer."""
        return random.sample(list(self._digests), min(count, len(self._digests)))

    def __iter__(self) -> Iterator[OpenSession]:
        """Go through the sessions that there are now; they may end meanwhile."""
        return iter(tuple(self._digests))

    def __len__(self) -> int:
        return len(self._digests)
