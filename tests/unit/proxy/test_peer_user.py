"""Who may have what Postgres gives the proxy's own user unasked (hazard H46)."""

import asyncio
import os
import socket

import pytest

from services.proxy.arrival.peer_user import is_our_user


class _Transport(asyncio.BaseTransport):
    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": connection})


def test_a_client_by_our_own_socket_is_who_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.geteuid()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_our_user(_Transport(ours))
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)  # the proxy runs as somebody else than the client
        assert is_our_user(_Transport(ours)) is (own == 0)  # root may become anybody


def test_a_client_by_tcp_is_nobody_in_particular() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert not is_our_user(_Transport(client))
