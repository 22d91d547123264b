"""The proxy service: one worker process, all caches of its settings, a port for each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from redis.exceptions import RedisError

from services.proxy.allowed_clients import AllowedClients
from services.proxy.cached_database import CachedDatabase
from services.proxy.client import ClientConnection
from services.proxy.control import ConnectControl
from services.proxy.door import Door
from services.proxy.exposure import is_loopback, refuse_open_door
from services.proxy.metrics import register_metrics
from services.proxy.tls.identity import TlsIdentity, watch_identity
from services.proxy.tls.offer import TlsOffer
from services.proxy.tls.watched_files import WatchedFiles
from services.proxy.verifiers.opening import open_verifiers
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.redis_client import connect
from services.shared.runtime.authentication import Authentication
from services.shared.runtime.lifecycle import Refusal, run_together
from services.shared.runtime.logging import cache_context
from services.shared.runtime.settings import CacheSettings, Settings, TlsMode
from services.shared.runtime.telemetry import Telemetry

_BACKLOG = 1024  # clients that may wait to be accepted, as a pool that starts up opens all at once
_FIRST_READING_SECONDS = 5.0  # clients wait so long at most: what is prepared before that reading is never cached
_REDIS_CONNECT_SECONDS = 1.0
_REDIS_ANSWER_SECONDS = 2.0  # for what no client waits for; a client's query has its own bound

_log = structlog.get_logger()


async def run_proxy(settings: Settings, worker_index: int, telemetry: Telemetry) -> None:
    """Serve every cache until cancelled.

    Args:
        settings: The settings.
        worker_index: Which of the workers that share the ports this one is.
        telemetry: Where counters are registered.

    Raises:
        Refusal: A port cannot be had, listening on it would let strangers in, or a certificate is no good.
    """
    await run_together(
        {
            name: partial(_serve_cache, cache, telemetry.for_cache(name), settings.process.workers > 1)
            for name, cache in settings.caches.items()
        }
    )


async def _serve_cache(settings: CacheSettings, telemetry: Telemetry, shares_port: bool) -> None:
    with cache_context(settings.name):
        host, port = settings.listen_address
        loopback = is_loopback(host)
        identity = _identity(settings)
        if not loopback:
            await refuse_open_door(settings.upstream, settings.listen)
        async with _cached_database(settings) as database:
            register_metrics(telemetry, database)
            servers: list[asyncio.Server] = []
            telemetry.readiness_check("listener", lambda: None if servers else "the port is not open yet")
            if settings.auth is Authentication.SCRAM:
                connect_control = ConnectControl(settings.upstream, "tidegate-proxy")
                database.verifiers = await open_verifiers(settings, connect_control)
            running = asyncio.get_running_loop().create_task(database.run())
            try:
                await database.catalog_watch.wait_for_first(_FIRST_READING_SECONDS)
                offer = TlsOffer(settings.tls, identity, database.dialler, relayed=database.verifiers is None)
                await offer.learn()
                door = Door(loopback, offer, AllowedClients(settings.client_networks))
                server = await _listen(database, door, host, port, shares_port=shares_port)
                servers.append(server)
                address = server.sockets[0].getsockname()
                _log.info(
                    "listening",
                    host=address[0],
                    port=address[1],
                    consistency=str(settings.consistency),
                    tls=str(settings.tls),
                )
                async with server:
                    await running
            finally:
                running.cancel()
                _end_sessions(database)
                if database.verifiers is not None:
                    database.verifiers.close()


@asynccontextmanager
async def _cached_database(settings: CacheSettings) -> AsyncIterator[CachedDatabase]:
    """Open the Redis clients of a cache; the feed blocks on one of its own."""
    redis_url = settings.redis_url.get_secret_value()
    commands = connect(redis_url, _REDIS_CONNECT_SECONDS, None)
    feed_reader = connect(redis_url, _REDIS_CONNECT_SECONDS, None)
    try:
        bucket = Bucket(
            commands, settings.name, settings.partitions, settings.max_entry_age, timeout=_REDIS_ANSWER_SECONDS
        )
        yield CachedDatabase(settings, bucket, Feed(feed_reader, settings.name, settings.partitions))
    finally:
        for client in (commands, feed_reader):
            try:
                await client.aclose()
            except (RedisError, OSError) as error:
                _log.debug("a redis connection did not close", error=repr(error))


def _identity(settings: CacheSettings) -> WatchedFiles[TlsIdentity] | None:
    """Read the certificate that clients see.

    Raises:
        Refusal: It is no good, or there is none although the settings promise TLS.
    """
    if settings.tls is TlsMode.OFF:
        return None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        return watch_identity(settings.tls_certificate, settings.tls_key)
    if settings.tls is not TlsMode.AUTO:
        raise Refusal(
            f"TIDEGATE_TLS = {settings.tls}: there is no certificate. "
            "Set TIDEGATE_TLS_CERTIFICATE and TIDEGATE_TLS_KEY."
        )
    return None


async def _listen(database: CachedDatabase, door: Door, host: str, port: int, *, shares_port: bool) -> asyncio.Server:
    """Open the port; only workers of one proxy may share it, or two proxies would split their clients unnoticed."""
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(
            lambda: ClientConnection(database, door), host, port, reuse_port=shares_port, backlog=_BACKLOG
        )
    except OSError as error:
        raise Refusal(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Choose another TIDEGATE_LISTEN."
        ) from error


def _end_sessions(database: CachedDatabase) -> None:
    for session in list(database.sessions):
        session.end(Sqlstate.ADMIN_SHUTDOWN, "terminating connection: the proxy is shutting down")
