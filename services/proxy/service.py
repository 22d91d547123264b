"""The proxy service: one worker process, all caches of its settings, a port for each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from redis.exceptions import RedisError

from services.proxy.arrival.allowed_clients import AllowedClients
from services.proxy.arrival.client import ClientConnection
from services.proxy.arrival.door import Door
from services.proxy.arrival.exposure import is_loopback, refuse_open_door
from services.proxy.arrival.listener import Listeners, Workers, open_listeners
from services.proxy.cache.memory_watch import MemoryWatch
from services.proxy.cached_database import CachedDatabase
from services.proxy.control import ConnectControl
from services.proxy.metrics import register_metrics
from services.proxy.tls.identity import TlsIdentity, watch_identity
from services.proxy.tls.offer import TlsOffer, no_tls
from services.proxy.tls.watched_files import WatchedFiles
from services.proxy.verifiers.opening import open_verifiers
from services.proxy.worker.allocator import map_large_blocks
from services.proxy.worker.cancelling import CancelChannel
from services.proxy.worker.descriptors import client_limits, raise_open_files
from services.proxy.worker.draining import drain, end_all
from services.proxy.worker.idle_timeout import end_idle_sessions
from services.proxy.worker.peer_writes import PeerWrites, shared_file
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.quarantined import QuarantineList
from services.shared.keyspace.scripts import Bucket
from services.shared.redis_client import Part, connect
from services.shared.runtime.authentication import Authentication
from services.shared.runtime.lifecycle import Refusal, run_together
from services.shared.runtime.logging import cache_context
from services.shared.runtime.settings import CacheSettings, Settings, TlsMode, TokenScope
from services.shared.runtime.telemetry import Telemetry

_FIRST_READING_SECONDS = 5.0  # clients wait so long at most: what is prepared before that reading is never cached
_REDIS_CONNECT_SECONDS = 1.0
_REDIS_ANSWER_SECONDS = 2.0  # for what no client waits for; a client's query has its own bound

_Beside = Sequence[Callable[[], Coroutine[None, None, None]]]
"""What runs beside a cache's sessions, for ever."""

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
    map_large_blocks()
    limits = client_limits(settings.caches, raise_open_files())
    workers = Workers(max(settings.process.workers, 1), worker_index)
    await run_together(
        {
            name: partial(_serve_cache, cache, telemetry.for_cache(name), limits[name], workers)
            for name, cache in settings.caches.items()
        }
    )


async def _serve_cache(settings: CacheSettings, telemetry: Telemetry, client_limit: int, workers: Workers) -> None:
    with cache_context(settings.name):
        loopback = is_loopback(settings.listen_address[0])
        identity = _identity(settings)
        if not loopback:
            await refuse_open_door(settings.client_upstream, settings.listen)
        async with _cached_database(settings, workers) as (database, beside):
            database.clients.limit = client_limit
            register_metrics(telemetry, database)
            if settings.auth is Authentication.SCRAM:
                connect_control = ConnectControl(settings.client_upstream, "tidegate-proxy")
                database.verifiers = await open_verifiers(settings, connect_control)
            running = asyncio.get_running_loop().create_task(_run(database, beside, first_worker=workers.index == 0))
            try:
                await database.catalog_watch.wait_for_first(_FIRST_READING_SECONDS)
                offer = TlsOffer(settings.tls, identity, database.dialler, relayed=database.verifiers is None)
                await offer.learn()
                network_door = Door(loopback, offer, AllowedClients(settings.client_networks))
                unix_door = Door(True, no_tls(database.dialler), AllowedClients(()))
                listeners = await open_listeners(
                    settings,
                    partial(ClientConnection, database, network_door),
                    partial(ClientConnection, database, unix_door),
                    workers,
                )
                await _serve_until_stopped(database, listeners, running)
            finally:
                running.cancel()
                end_all(database.sessions)
                if database.verifiers is not None:
                    database.verifiers.close()


async def _run(database: CachedDatabase, beside: _Beside, *, first_worker: bool) -> None:
    """Run all that a cache needs beside its sessions."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(database.run(first_worker=first_worker))
        for run in beside:
            tasks.create_task(run())
        tasks.create_task(end_idle_sessions(database.sessions, database.settings.client_idle_timeout))


async def _serve_until_stopped(database: CachedDatabase, listeners: Listeners, running: asyncio.Task[None]) -> None:
    """Let clients in until cancelled, and then out; what their turns need goes on running until the last has left."""
    try:
        try:
            database.listening = True
            await asyncio.shield(running)
        finally:
            database.listening = False
            listeners.close()
    except asyncio.CancelledError:
        database.draining = True
        await drain(database.sessions, database.settings.drain_timeout)
        raise


@asynccontextmanager
async def _cached_database(settings: CacheSettings, workers: Workers) -> AsyncIterator[tuple[CachedDatabase, _Beside]]:
    """Open the Redis clients of a cache; the feed blocks on one of its own."""
    redis_url = settings.redis_url.get_secret_value()
    commands = connect(redis_url, settings.prefix, _REDIS_CONNECT_SECONDS, None, Part.PROXY)
    feed_reader = connect(redis_url, settings.prefix, _REDIS_CONNECT_SECONDS, None, Part.PROXY)
    try:
        bucket = Bucket(
            commands, settings.name, settings.partitions, settings.max_entry_age, timeout=_REDIS_ANSWER_SECONDS
        )
        feed = Feed(feed_reader, settings.name, settings.partitions)
        database = CachedDatabase(settings, bucket, feed, _peers(settings, workers))
        channel = CancelChannel(commands, settings.name, database.sessions)
        database.cancelling.tell_others = channel.tell
        shared = QuarantineList(commands, settings.name, _REDIS_ANSWER_SECONDS)
        share = partial(database.quarantine.share, shared)
        yield database, (channel.listen, MemoryWatch(commands, database.follower).run, share)
    finally:
        for client in (commands, feed_reader):
            try:
                await client.aclose()
            except (RedisError, OSError) as error:
                _log.debug("a redis connection did not close", error=repr(error))


def _peers(settings: CacheSettings, workers: Workers) -> PeerWrites | None:
    """Open what the workers share, where they have to.

    Raises:
        Refusal: It cannot be had.
    """
    if settings.token_scope is TokenScope.SESSION or workers.count == 1:
        return None
    return PeerWrites(shared_file(settings.name, *settings.listen_address), workers.count, workers.index)


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
