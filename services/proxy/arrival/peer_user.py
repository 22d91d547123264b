"""Is a client of our unix-domain socket the operating system's user that the proxy runs as?

Where the proxy reaches Postgres by a unix-domain socket, Postgres may see who the proxy *is* (`peer`): a client that it
lets in unasked would become that user, with whatever roles he may take. `peer` and `trust` look the same on the wire.
So only a client that is that very user, or root, who can become it, may come in unchallenged; the kernel says who a
client of our own unix-domain socket is. A client that came by TCP is nobody in particular.
"""

import asyncio
import os
import socket
import struct

_CREDENTIALS = struct.Struct("iII")  # struct ucred: process, user, group
_ROOT = 0


def is_our_user(client: asyncio.BaseTransport) -> bool:
    """Tell whether the client is the user that we are, or root."""
    raw = client.get_extra_info("socket")
    if raw is None or raw.family != socket.AF_UNIX:
        return False
    _, user, _ = _CREDENTIALS.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return user in (os.geteuid(), _ROOT)
