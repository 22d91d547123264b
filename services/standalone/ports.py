"""Find TCP ports that are free, and hold the one on which the proxies listen together."""

import errno
import socket

from services.shared.runtime.addresses import split_address
from services.shared.runtime.lifecycle import Refusal

_LISTENING_ELSEWHERE = frozenset({errno.EADDRINUSE, errno.EACCES})  # EACCES: a port below 1024 without the right to it


class ListenError(Refusal):
    """The address cannot be listened on at all. The message is for people."""


class Reservation:
    """A port that belongs to the stack for as long as it runs.

    The socket is bound and never listens, so the kernel gives it no connection; the proxies bind the same port beside
    it (SO_REUSEPORT), and while they are being replaced nobody else can take it.
    """

    def __init__(self, bound: socket.socket, wanted: str) -> None:
        self._socket = bound
        self.wanted = wanted
        self.host, self._wanted_port = split_address(wanted)
        self.port = int(bound.getsockname()[1])

    @property
    def address(self) -> str:
        """What is held, as `HOST:PORT`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def moved(self) -> bool:
        """Whether another port than the wanted one was chosen, because that is taken."""
        return self._wanted_port not in (0, self.port)

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def reserve(wanted: str) -> Reservation:
    """Hold the wanted port, or a free one on the same host when it is taken.

    Args:
        wanted: A checked `HOST:PORT`; port 0 is any that is free.

    Raises:
        ListenError: The host is none of this machine's.
    """
    host, port = split_address(wanted)
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if port and _taken(family, place):
            place = (place[0], 0, *place[2:])
        return Reservation(_bind(family, place, shared=True), wanted)
    except OSError as error:
        raise ListenError(f"Cannot listen on {wanted}: {error.strerror}.") from error


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free at this moment, for a program that binds it in the next."""
    with _bind(socket.AF_INET, (host, 0), shared=False) as bound:
        return int(bound.getsockname()[1])


def _taken(family: socket.AddressFamily, place: tuple[object, ...]) -> bool:
    """Whether somebody else has a port. A shared bind beside another stack's proxies would succeed, and mix them."""
    try:
        _bind(family, place, shared=False).close()
    except OSError as error:
        if error.errno in _LISTENING_ELSEWHERE:
            return True
        raise
    return False


def _bind(family: socket.AddressFamily, place: tuple[object, ...], *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not hold a port
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(place)
    except OSError:
        bound.close()
        raise
    return bound
