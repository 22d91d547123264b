"""Which addresses clients may come from."""

import ipaddress

import pytest

from services.proxy.arrival.allowed_clients import AllowedClients, client_address


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        (("10.1.2.3", 5), True),
        (("10.2.0.1", 5), False),
        (("192.168.0.7", 5), True),
        (("192.168.0.8", 5), False),
        (("::ffff:10.1.2.3", 5, 0, 0), True),  # an IPv4 client of a listener on ::
        (("::ffff:10.2.0.1", 5, 0, 0), False),
        (("fd00::1", 5, 0, 0), True),
        (("fe80::1%eth0", 5, 0, 2), False),
        ("", True),  # a unix socket
        (b"\0abstract", True),
        (None, True),
    ],
)
def test_a_client_may_come_from_the_networks_and_by_unix_sockets(peer: object, allowed: bool) -> None:
    networks = [ipaddress.ip_network(text) for text in ("10.1.0.0/16", "192.168.0.7/32", "fd00::/8")]

    assert AllowedClients(networks).allows(client_address(peer)) is allowed


def test_without_networks_clients_come_from_everywhere() -> None:
    assert AllowedClients(()).allows(client_address(("203.0.113.1", 5)))
