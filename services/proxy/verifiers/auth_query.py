"""Verifiers that Postgres itself is asked for, over a control connection.

The query gets the user's name as `$1` and returns at most one row, whose last column is the verifier; a column in front
of it is not looked at, so that queries and functions made for PgBouncer's `auth_query` serve as they are.

What the default query leaves to Postgres: whether the role may log in at all. It says so itself, and in its own words,
when we log in upstream.
"""

import asyncio
import time

import asyncpg
import structlog

from services.proxy.control import CONTROL_ERRORS, ConnectControl
from services.proxy.scram.verifier import Challenge, InvalidVerifier, Verifier
from services.proxy.verifiers.absence import Absence, VerifiersUnavailable
from services.proxy.verifiers.remembered import Remembered
from services.shared.runtime.refusal import Refusal

_FAULTS_OF_THE_QUERY = ("0A", "22", "3F", "42")  # classes of SQLSTATEs: asking again does not help

_log = structlog.get_logger()


class AuthQuery:
    """Asks for one verifier at a time, on a connection that is opened when it is needed."""

    def __init__(self, connect: ConnectControl, query: str, *, optional: bool) -> None:
        """Prepare.

        Args:
            connect: Opens the connection.
            query: The query.
            optional: Whether to do without it when the control role may not run it: there is another source.
        """
        self._connect = connect
        self._query = query
        self._optional = optional
        self._allowed = True
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._remembered = Remembered()

    async def check(self, name: str) -> None:
        """Find out at start whether the query can be run.

        Args:
            name: A role to ask for.

        Raises:
            Refusal: It cannot, and there is nothing else.
        """
        try:
            await self._ask(name)
        except CONTROL_ERRORS as error:
            if not _is_fault_of_query(error):
                _log.warning("the query for verifiers could not be tried", error=repr(error))
            elif not self._give_up(error):
                raise Refusal(_advice(error)) from error

    async def look_up(self, name: str, challenge: Challenge) -> Verifier | Absence:
        """Return a role's verifier, or why there is none.

        Args:
            name: The role.
            challenge: What Postgres has asked for.

        Raises:
            VerifiersUnavailable: It cannot be asked for now.

        Cancel-safe: yes, asyncpg cancels the query.
        """
        async with self._turn:  # whoever waited finds the answer that was asked for meanwhile
            if not self._allowed:
                return Absence.NOT_ASKED
            remembered = self._remembered.get(name, challenge, time.monotonic())
            if remembered is not None:
                return remembered
            try:
                found = await self._ask(name)
            except CONTROL_ERRORS as error:
                if not _is_fault_of_query(error):
                    raise VerifiersUnavailable("Postgres cannot be asked for verifiers") from error
                if not self._give_up(error):
                    raise VerifiersUnavailable(_advice(error)) from error
                return Absence.NOT_ASKED
            fits = not isinstance(found, Verifier) or found.challenge == challenge
            answer = found if fits else Absence.OUTDATED
            self._remembered.put(name, challenge, answer, time.monotonic())
            return answer

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _ask(self, name: str) -> Verifier | Absence:
        """Run the query; once more on a new connection, because the one at hand may have ended long ago."""
        if self._connection is not None and not self._connection.is_closed():
            try:
                return _verifier(await self._connection.fetch(self._query, name))
            except CONTROL_ERRORS as error:
                if _is_fault_of_query(error):
                    raise
        self.close()
        self._connection = await self._connect("login")
        return _verifier(await self._connection.fetch(self._query, name))

    def _give_up(self, error: Exception) -> bool:
        """Do without the query from now on, where that is possible; tell whether it is."""
        if self._optional:
            self._allowed = False
            self.close()
            _log.info("verifiers come from the users file alone: postgres may not be asked", reason=str(error))
        return self._optional


def _verifier(rows: list[asyncpg.Record]) -> Verifier | Absence:
    if not rows or not len(rows[0]):
        return Absence.UNKNOWN
    written = rows[0][-1]
    if written is None:
        return Absence.NO_PASSWORD
    try:
        return Verifier.parse(str(written))
    except InvalidVerifier:
        return Absence.NOT_SCRAM


def _is_fault_of_query(error: Exception) -> bool:
    return isinstance(error, asyncpg.PostgresError) and str(error.sqlstate).startswith(_FAULTS_OF_THE_QUERY)


def _advice(error: Exception) -> str:
    return (
        f"auth = scram needs verifiers, and Postgres does not give them: {error}. Let TIDEGATE_AUTH_QUERY be a query "
        "that the role of TIDEGATE_DATABASE_URL may run (a SECURITY DEFINER function where pg_authid is out of reach), "
        "or set TIDEGATE_USERS_FILE and run `tidegate user add NAME` for each user."
    )
