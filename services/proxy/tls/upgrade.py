"""TLS on a client's connection that has been read already."""

import asyncio
import ssl
from typing import cast

_SHUTDOWN_SECONDS = 5.0  # for a client's farewell, when we close


async def start_server_tls(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    received: bytes,
    *,
    timeout: float,
) -> asyncio.Transport:
    """Do the handshake.

    The loop's own `start_tls` takes a connection whose peer is about to begin. One that has begun (direct TLS) has sent
    bytes that the loop has given to us: they are handed to the TLS engine as the loop would, as soon as it is in place.

    Args:
        transport: The connection.
        protocol: Its protocol, also afterwards.
        context: Makes the TLS.
        received: What the client has sent of the handshake.
        timeout: Seconds that the handshake may take.

    Returns:
        The connection under TLS; the protocol hears nothing before it is returned.

    Raises:
        OSError: The handshake failed, or the client left. The protocol is not told of that. `ssl.SSLError` is one.
    """
    loop = asyncio.get_running_loop()
    upgrading = loop.create_task(
        loop.start_tls(
            transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
        )
    )
    try:
        if received:
            await _feed(transport, received)
        encrypted = await upgrading
    except BaseException:
        upgrading.cancel()
        raise
    if encrypted is None or encrypted.is_closing():
        raise ConnectionResetError("the client left in the middle of the TLS handshake")
    return encrypted


async def _feed(transport: asyncio.Transport, received: bytes) -> None:
    await asyncio.sleep(0)  # the TLS engine becomes the connection's protocol
    await asyncio.sleep(0)  # it is told of the connection
    engine = cast(asyncio.BufferedProtocol, transport.get_protocol())
    while received:
        buffer = memoryview(engine.get_buffer(len(received)))
        count = min(len(buffer), len(received))
        buffer[:count] = received[:count]
        engine.buffer_updated(count)
        received = received[count:]
