"""May the proxy listen where others can reach it? Not if Postgres lets this host in without a password (hazard H46).

pg_hba.conf sees the proxy's address in place of the client's. Where it trusts that address, everyone who reaches the
proxy would come in. Asked once at start; each session is watched as well (see `handshake`).
"""

import asyncio
import ipaddress

from services.proxy.upstream import connect_upstream
from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.upstream import Upstream

_ANSWER_SECONDS = 5.0
_AUTHENTICATION_OK = bytes((BackendCode.AUTHENTICATION, 0, 0, 0, 8, 0, 0, 0, 0))


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from this host only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def refuse_open_door(upstream: Upstream, listen: str) -> None:
    """Find out how Postgres greets this host.

    Raises:
        Refusal: It asks for no password.
    """
    answer = _FirstAnswer()
    try:
        connection = await connect_upstream(upstream, answer)
    except OSError:
        return  # Postgres is down: nobody comes in, and each session is checked when it is up
    try:
        pairs = (("user", upstream.user), ("database", upstream.database))
        connection.write(StartupMessage(VERSION_3_0, pairs).encode())
        async with asyncio.timeout(_ANSWER_SECONDS):
            first = await answer.first
    except TimeoutError:
        return
    finally:
        connection.close()
    if first.startswith(_AUTHENTICATION_OK):
        raise Refusal(
            f"will not listen on {listen}: Postgres admits {upstream.user} from this host without a password, so all "
            "who reach the proxy would be let in. "
            "Require scram-sha-256 for this host in pg_hba.conf, or listen on 127.0.0.1."
        )


class _FirstAnswer:
    """Waits for the first bytes from Postgres."""

    def __init__(self) -> None:
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def upstream_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self.first.done():
            self.first.set_result(data)

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres closed."""
        if not self.first.done():
            self.first.set_result(b"")

    def upstream_full(self, *, full: bool) -> None:
        """One small packet never fills anything."""
