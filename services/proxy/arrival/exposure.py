"""May the proxy listen where others can reach it? Not if Postgres lets this host in without a password (hazard H46).

pg_hba.conf sees the proxy's address in place of the client's. Where it trusts that address, everyone who reaches the
proxy would come in. Asked once at start; each session is watched as well (see `handshake`). It is asked without our own
certificate: where Postgres knows us by that, no client is let in on the strength of it, and ours has to be.
"""

import asyncio
import ipaddress

from services.proxy.upstream.dialler import Dialler
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
    pairs = (("user", upstream.user), ("database", upstream.database))
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            opening = await Dialler(upstream, show_certificate=False).begin(StartupMessage(VERSION_3_0, pairs).encode())
            try:
                first = await opening.first_bytes(len(_AUTHENTICATION_OK))
            finally:
                opening.connection.close()
    except OSError:
        return  # Postgres is down: nobody comes in, and each session is checked when it is up
    if first.startswith(_AUTHENTICATION_OK):
        raise Refusal(
            f"will not listen on {listen}: Postgres admits {upstream.user} from this host without a password, so all "
            "who reach the proxy would be let in. "
            "Require scram-sha-256 for this host in pg_hba.conf, or listen on 127.0.0.1."
        )
