"""Is a client that asks for TLS given it?

A relayed login cannot be bound to a channel (see `binding_guard`), and libpq binds whenever it can: under TLS on both
sides it would fail. So `auto` offers TLS where the login then succeeds: where the proxy ends the login itself, or where
its connections to Postgres are in the clear. Which they are is learned from the last one that was opened.
"""

import structlog

from services.proxy.tls.identity import TlsIdentity
from services.proxy.tls.watched_files import WatchedFiles
from services.proxy.upstream.dialler import Dialler
from services.shared.runtime.settings import TlsMode

_log = structlog.get_logger()


class TlsOffer:
    """What a listener says to a request for TLS.

    Attributes:
        required: Clients in the clear are turned away.
    """

    def __init__(
        self, mode: TlsMode, identity: WatchedFiles[TlsIdentity] | None, dialler: Dialler, *, relayed: bool
    ) -> None:
        """Decide for one listener.

        Args:
            mode: The setting.
            identity: The certificate; None where there is none.
            dialler: Opens the connections to Postgres.
            relayed: Logins are relayed, so channel binding fails where these are under TLS.
        """
        self._identity = None if mode is TlsMode.OFF else identity
        self._dialler = dialler
        self._only_above_plain = mode is TlsMode.AUTO and relayed
        self.required = mode is TlsMode.REQUIRED

    async def identity(self) -> TlsIdentity | None:
        """Return what TLS is to be spoken with; None: it is refused. Cancel-safe: yes."""
        if self._identity is None:
            return None
        if self._only_above_plain:
            if self._dialler.encrypted is None:
                await self.learn()
            if self._dialler.encrypted is not False:
                return None
        return self._identity.current()

    async def learn(self) -> None:
        """Find out what the answer depends on. While Postgres cannot be reached it stays unknown."""
        if self._identity is None or not self._only_above_plain:
            return
        try:
            await self._dialler.learn()
        except OSError as error:
            _log.info("whether TLS is offered to clients depends on Postgres, which is away", error=repr(error))


def no_tls(dialler: Dialler) -> TlsOffer:
    """Return the offer of a listener without TLS: a unix socket."""
    return TlsOffer(TlsMode.OFF, None, dialler, relayed=True)
