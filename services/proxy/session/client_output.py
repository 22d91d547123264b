"""What one event has for the client, written together when the event is over."""

import asyncio

_MOST_BYTES = 64 * 1024  # beyond it, what there is is written at once


class ClientOutput:
    """Collects for one client."""

    __slots__ = ("_bytes", "_client", "_pieces")

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client
        self._pieces: list[bytes] = []
        self._bytes = 0

    def put(self, data: bytes) -> None:
        """Send this, behind what was put before; at the latest at the next `flush`."""
        self._pieces.append(data)
        self._bytes += len(data)
        if self._bytes > _MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        pieces = self._pieces
        if not pieces:
            return
        self._pieces = []
        long, self._bytes = self._bytes > _MOST_BYTES, 0
        if len(pieces) == 1:
            self._client.write(pieces[0])
        elif long:
            self._client.writelines(pieces)  # what is long is not copied
        else:
            self._client.write(b"".join(pieces))

    def hold(self, data: bytes) -> None:
        """Put this, however much it is, without writing anything yet: it may be taken back."""
        self._pieces.append(data)
        self._bytes += len(data)

    def take_back(self) -> None:
        """Forget what was held last."""
        self._bytes -= len(self._pieces.pop())
