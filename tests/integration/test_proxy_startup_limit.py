"""A client has a limited time until its session begins, wherever it stops on the way."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from services.proxy.arrival.allowed_clients import AllowedClients
from services.proxy.arrival.client import ClientConnection
from services.proxy.arrival.door import Door
from services.proxy.cached_database import CachedDatabase
from services.proxy.tls.identity import watch_identity
from services.proxy.tls.offer import TlsOffer
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket
from services.shared.pgwire.startup import VERSION_3_0, SSLRequest, StartupMessage
from services.shared.redis_client import connect
from services.shared.runtime.settings import TlsMode
from services.shared.runtime.settings_loading import load_settings
from tests.servers.certificates import Authority

_LIMIT_SECONDS = 0.5
_STARTUP = StartupMessage(VERSION_3_0, (("user", "app"), ("database", "app"))).encode()

# What a client sends in the clear, whether it does a TLS handshake then, and what it sends after that. It reads what
# comes, and never anything of its own accord again.
_STOPS: dict[str, tuple[bytes, bool, bytes]] = {
    "at once": (b"", False, b""),
    "in the start-up packet": (_STARTUP[:9], False, b""),
    "when it should begin the handshake": (SSLRequest().encode(), False, b""),
    "in the first record of the handshake": (SSLRequest().encode() + b"", False, b"\x16\x03\x01"),
    "in a direct handshake": (b"\x16\x03\x01\x02\x00\x01", False, b""),
    "after the handshake": (SSLRequest().encode(), True, b""),
    "in the start-up packet under TLS": (SSLRequest().encode(), True, _STARTUP[:9]),
    "when Postgres does not answer": (_STARTUP, False, b""),
    "when Postgres does not answer, under TLS": (SSLRequest().encode(), True, _STARTUP),
}


@asynccontextmanager
async def _silent_postgres() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _proxy(authority: Authority) -> AsyncIterator[tuple[int, CachedDatabase]]:
    pair = authority.issue("127.0.0.1")
    async with _silent_postgres() as postgres_port:
        url = f"postgresql://app@127.0.0.1:{postgres_port}/app?sslmode=disable"
        settings = load_settings({"TIDEGATE_DATABASE_URL": url}).caches["default"]
        redis = connect("redis://127.0.0.1:1/0", "tidegate:{x}:", 1.0, None)  # never spoken to
        database = CachedDatabase(settings, Bucket(redis, "default", 1, 600.0, timeout=1.0), Feed(redis, "default", 1))
        offer = TlsOffer(TlsMode.ON, watch_identity(pair.certificate, pair.key), database.dialler, relayed=True)
        door = Door(local=True, tls=offer, clients=AllowedClients(()))
        server = await asyncio.get_running_loop().create_server(
            lambda: ClientConnection(database, door, _LIMIT_SECONDS), "127.0.0.1", 0
        )
        async with server:
            yield server.sockets[0].getsockname()[1], database
        await redis.aclose()


@pytest.mark.parametrize("stop", _STOPS)
def test_a_client_that_stops_on_its_way_in_is_let_go(stop: str) -> None:
    clear, handshake, then = _STOPS[stop]
    authority = Authority()
    unheard: list[dict[str, object]] = []

    async def run() -> float:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unheard.append(context))
        async with _proxy(authority) as (port, database):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            began = loop.time()
            writer.write(clear)
            if clear.startswith(SSLRequest().encode()):
                assert await reader.readexactly(1) == b"S"
            if handshake:
                context = ssl.create_default_context(cafile=authority.certificate)
                await writer.start_tls(context, server_hostname="127.0.0.1")
            writer.write(then)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            took = loop.time() - began
            writer.close()
            for _ in range(500):
                if not database.statistics.sessions:
                    break
                await asyncio.sleep(0.01)
            assert database.statistics.sessions == 0
            return took

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = runner.run(asyncio.wait_for(run(), 15))
    authority.remove()

    assert took > _LIMIT_SECONDS * 0.9
    assert unheard == []
