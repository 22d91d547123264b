"""Cancel requests: each on a connection of its own, under TLS where the clients' are, closed without an answer."""

import asyncio

from services.proxy.upstream.dialler import Dialler

_ANSWER_SECONDS = 10.0


async def relay_cancel(dialler: Dialler, packet: bytes) -> None:
    """Hand a cancel request to Postgres, which knows the process that it names, and wait until it has signalled.

    Raises:
        OSError: Postgres cannot be reached.
    """
    opening = await dialler.dial()
    try:
        opening.connection.write(packet)
        async with asyncio.timeout(_ANSWER_SECONDS):
            # Postgres closes once it has signalled; the client waits for our close as it would for Postgres's.
            await opening.first_bytes(1)
    finally:
        opening.connection.close()
