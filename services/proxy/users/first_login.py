"""Logs in to the configured Postgres once, as libpq would with the same URL, with another user and a given password."""

import asyncio
import contextlib

from services.proxy.scram.binding import end_point
from services.proxy.scram.verifier import Verifier
from services.proxy.upstream.connection import UpstreamConnection
from services.proxy.upstream.dialler import Dialler
from services.proxy.upstream.failure import explain
from services.proxy.users.password_login import LoginFailed, PasswordLogin
from services.shared.pgwire.frontend import Terminate
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from services.shared.runtime.upstream import Upstream

_GOODBYE_SECONDS = 1.0
_APPLICATION_NAME = "tidegate user add"


async def learn_verifier(upstream: Upstream, user: str, password: bytes, timeout_seconds: float = 30.0) -> Verifier:
    """Return the verifier of a user whose password this is.

    Args:
        upstream: Where to log in, and how (`sslmode` and its files).
        user: The role.
        password: Its password.
        timeout_seconds: How long Postgres may take for all of it.

    Raises:
        LoginFailed: Postgres cannot be reached, or does not let the user in by SCRAM.
        Refusal: A file that the URL names cannot be used.

    Cancel-safe: yes, the connection is closed.
    """
    pairs = (("user", user), ("database", upstream.database), ("application_name", _APPLICATION_NAME))
    try:
        async with asyncio.timeout(timeout_seconds) as limit:
            opening = await Dialler(upstream).begin(StartupMessage(VERSION_3_0, pairs).encode())
            conversation = _Conversation(opening.connection, _login(opening.connection, user, password))
            opening.hand_over(conversation)
            try:
                verifier = await conversation.verifier
                await conversation.say_goodbye()
            finally:
                opening.connection.abort()
            return verifier
    except OSError as error:
        if limit.expired():
            raise LoginFailed(f"Postgres does not answer within {timeout_seconds:g} s") from error
        message, hint = explain(upstream, error)
        raise LoginFailed(f"{message}. {hint}") from error


def _login(connection: UpstreamConnection, user: str, password: bytes) -> PasswordLogin:
    certificate = connection.certificate
    return PasswordLogin(user, password, None if certificate is None else end_point(certificate))


class _Conversation:
    """Carries what the login says. An `UpstreamListener`."""

    def __init__(self, connection: UpstreamConnection, login: PasswordLogin) -> None:
        self._connection = connection
        self._login = login
        self.verifier: asyncio.Future[Verifier] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()

    async def say_goodbye(self) -> None:
        """End the session in order, so that Postgres's log has no word of a lost connection."""
        self._connection.write(Terminate().encode())
        self._connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._closed.wait()

    def upstream_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.verifier.done():
            return
        try:
            self._connection.write(self._login.receive(data))
        except LoginFailed as failed:
            self.verifier.set_exception(failed)
            return
        if (verifier := self._login.verifier) is not None:
            self.verifier.set_result(verifier)

    def upstream_lost(self, error: Exception | None) -> None:
        """The connection has ended."""
        self._closed.set()
        if not self.verifier.done():
            self.verifier.set_exception(LoginFailed("Postgres closed the connection in the middle of the login"))

    def upstream_full(self, *, full: bool) -> None:
        """A few small messages never fill anything."""
