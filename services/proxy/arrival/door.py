"""How clients may come in by one listener."""

from dataclasses import dataclass

from services.proxy.arrival.allowed_clients import AllowedClients
from services.proxy.tls.offer import TlsOffer


@dataclass(frozen=True, slots=True)
class Door:
    """What a listener asks of those who come.

    Attributes:
        local: Only users of this host reach it: what Postgres grants to this host without a password is theirs too.
        tls: Whether they get TLS.
        clients: The addresses that they may come from.
    """

    local: bool
    tls: TlsOffer
    clients: AllowedClients
