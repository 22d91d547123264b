"""The frames of the streaming replication protocol, inside COPY BOTH.

From the server come `XLogData`, which carries one message of the output plugin, and `Keepalive`; to the server goes a
status update. Every timestamp counts microseconds since 2000-01-01 UTC; none of them matters here.
"""

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, TypeAlias

from services.cdc.replication.errors import FrameError
from services.shared.lsn import Lsn

_XLOG_DATA = Struct("!cQQq")
_KEEPALIVE = Struct("!cQqB")
_STATUS = Struct("!cQQQqB")

_XLOG_DATA_KIND, _KEEPALIVE_KIND = b"wk"


class XLogData(NamedTuple):
    """One message of the output plugin.

    Its header's LSNs are left out: what they mean differs from message to message, and the messages carry their own.
    """

    payload: bytes


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How far the server has decoded.

    Attributes:
        wal_end: Everything that committed up to here has been written to this connection before this frame.
        reply_requested: The server wants a status at once, and gives up on us after `wal_sender_timeout`.
    """

    wal_end: Lsn
    reply_requested: bool


Frame: TypeAlias = XLogData | Keepalive


def decode_frame(data: bytes | memoryview) -> Frame:
    """Read one frame.

    Raises:
        FrameError: The bytes are not exactly one frame.
    """
    if not data:
        raise FrameError("an empty frame")
    kind = data[0]
    if kind == _XLOG_DATA_KIND:
        if len(data) < _XLOG_DATA.size:
            raise FrameError("the header of XLogData is too short")
        return XLogData(bytes(data[_XLOG_DATA.size :]))
    if kind == _KEEPALIVE_KIND:
        if len(data) != _KEEPALIVE.size:
            raise FrameError(f"a keepalive of {len(data)} bytes")
        _, wal_end, _, reply_requested = _KEEPALIVE.unpack(data)
        return Keepalive(Lsn(wal_end), bool(reply_requested))
    raise FrameError(f"unknown kind of frame: 0x{kind:02x}")


def encode_status(confirmed: Lsn, reply_requested: bool) -> bytes:
    """Write a status update ('r').

    "Written" is given as "flushed" although more has been read: the server sends a keepalive with its position before
    it goes to sleep only while our written position lies behind its own, and those keepalives are how we learn that
    there was nothing in the WAL for us.

    Args:
        confirmed: What lies below is never sent again.
        reply_requested: Ask for a keepalive at once.
    """
    return _STATUS.pack(b"r", confirmed, confirmed, confirmed, 0, reply_requested)
