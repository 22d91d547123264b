"""Which addresses clients may come from. pg_hba.conf sees the proxy's address in place of theirs. Pure."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: object) -> Address | None:
    """Return the address of a peer, or None for one that has none: a client on a unix socket.

    Args:
        peer: What the loop calls `peername`.
    """
    if not isinstance(peer, tuple) or not peer:
        return None
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class AllowedClients:
    """The networks of a cache's clients."""

    def __init__(self, networks: Iterable[Network]) -> None:
        """Allow clients of these networks; of all when there are none."""
        self._networks = tuple(networks)

    def allows(self, address: Address | None) -> bool:
        """Whether a client may come from there; on a unix socket it always may."""
        return address is None or not self._networks or any(address in network for network in self._networks)
