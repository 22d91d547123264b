"""Control connections: the cache's own role in its own sessions, for probes and the catalog; no client's traffic."""

import errno
import ssl

import asyncpg

from services.shared.runtime.upstream import Upstream
from services.shared.upstream_tls import asyncpg_context

_COMMAND_SECONDS = 10.0  # a connection that answers later is given up, and with it what rests on it


CONTROL_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a control connection raises when its server, or the way to it, fails."""


_OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL))
_CLOSING = (asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)


def shows_outage(error: Exception) -> bool:
    """Tell whether an attempt at a connection that failed so shows that Postgres is down.

    It does when Postgres cannot be reached, does not answer, closes without a word, or says that it is starting up,
    shutting down or recovering (57P03). It does not when Postgres has another reason, when TLS cannot be agreed on, or
    when this process or this host is what is short of something.
    """
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, (*_CLOSING, asyncpg.ConnectionDoesNotExistError))
    if isinstance(error, ssl.SSLError) or type(error) is ConnectionError:  # asyncpg's own: no TLS where it has to be
        return False
    return isinstance(error, OSError) and error.errno not in _OURS


class ConnectControl:
    """Opens control connections to the upstream database with the cache's own role."""

    def __init__(self, upstream: Upstream, application_name: str) -> None:
        self._upstream = upstream
        self._application_name = application_name

    async def __call__(self, purpose: str) -> asyncpg.Connection:
        """Open one.

        Args:
            purpose: What it is for, as `pg_stat_activity` shows it.

        Raises:
            OSError, asyncpg.PostgresError, TimeoutError: Postgres cannot be reached or refuses.
        """
        return await asyncpg.connect(
            self._upstream.url,
            ssl=asyncpg_context(self._upstream),  # None: as the URL says
            timeout=5.0,
            command_timeout=_COMMAND_SECONDS,
            server_settings={
                "application_name": f"{self._application_name}-{purpose}",
                "synchronous_commit": "local",
                "search_path": "pg_catalog",
            },
        )
