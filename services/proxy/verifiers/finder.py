"""Which verifier is a client's proof checked with?

The one that Postgres has, and no other: it fits the salt and the iterations that Postgres has just asked for. The query
is asked first, for it cannot be out of date. Where no source has one that fits, the login goes on without (it fails as
with a wrong password), and the log says once for each user what would help.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from services.proxy.scram.verifier import Challenge, Verifier
from services.proxy.verifiers.absence import Absence, VerifiersUnavailable
from services.proxy.verifiers.role_name import printable, role_name

_MAX_TOLD: Final = 1_000  # users whose reason is not told again; names come from strangers
_HINT: Final = "run `tidegate user add NAME` for it, or see docs/connect.md"

_log = structlog.get_logger()


class VerifierSource(Protocol):
    """Where verifiers come from."""

    async def look_up(self, name: str, challenge: Challenge) -> Verifier | Absence:
        """Return a role's verifier, or why there is none.

        Raises:
            VerifiersUnavailable: That cannot be said now.
        """

    def close(self) -> None:
        """Give up what is open."""


class VerifierFinder:
    """The sources of one cache, the best first."""

    def __init__(self, sources: Sequence[tuple[str, VerifierSource]]) -> None:
        """Take sources, each with its name for the log."""
        self._sources = tuple(sources)
        self._told: set[str] = set()

    async def find(self, user: str, challenge: Challenge) -> Verifier | None:
        """Return the verifier for a login; None where there is none.

        Args:
            user: Who wants to log in, by the start-up packet.
            challenge: What Postgres has asked for.

        Raises:
            VerifiersUnavailable: No source has it, and one could not say.

        Cancel-safe: yes.
        """
        name = role_name(user)
        reasons: dict[str, str] = {}
        unavailable: VerifiersUnavailable | None = None
        for source_name, source in self._sources if name is not None else ():
            assert name is not None
            try:
                found = await source.look_up(name, challenge)
            except VerifiersUnavailable as error:
                unavailable = error
                continue
            if isinstance(found, Verifier) and found.challenge == challenge:
                self._told.discard(user)
                return found
            reasons[source_name] = str(Absence.OUTDATED if isinstance(found, Verifier) else found)
        if unavailable is not None:
            raise unavailable
        self._tell(user, reasons)
        return None

    def close(self) -> None:
        """Give up what the sources have open."""
        for _, source in self._sources:
            source.close()

    def _tell(self, user: str, reasons: dict[str, str]) -> None:
        if user in self._told:
            return
        if len(self._told) >= _MAX_TOLD:
            self._told.clear()
        self._told.add(user)
        message = "there is no verifier for a user, so the login fails"
        _log.warning(message, user=printable(user), reasons=reasons, hint=_HINT)
