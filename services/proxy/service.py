"""The proxy service: one worker process, all caches of its settings, a port for each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from redis.exceptions import RedisError

from services.proxy.cached_database import CachedDatabase
from services.proxy.client import ClientConnection
from services.proxy.exposure import is_loopback, refuse_open_door
from services.proxy.metrics import register_metrics
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.redis_client import connect
from services.shared.runtime.lifecycle import Refusal, run_together
from services.shared.runtime.logging import cache_context
from services.shared.runtime.settings import CacheSettings, Settings
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
        Refusal: A port cannot be had, or listening on it would let strangers in.
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
        if not loopback:
            await refuse_open_door(settings.upstream, settings.listen)
        async with _cached_database(settings) as database:
            register_metrics(telemetry, database)
            running = asyncio.get_running_loop().create_task(database.run())
            try:
                await database.catalog_watch.wait_for_first(_FIRST_READING_SECONDS)
                server = await _listen(database, host, port, loopback=loopback, shares_port=shares_port)
                address = server.sockets[0].getsockname()
                _log.info("listening", host=address[0], port=address[1], consistency=str(settings.consistency))
                async with server:
                    await running
            finally:
                running.cancel()
                _end_sessions(database)


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


async def _listen(
    database: CachedDatabase, host: str, port: int, *, loopback: bool, shares_port: bool
) -> asyncio.Server:
    """Open the port; only workers of one proxy may share it, or two proxies would split their clients unnoticed."""
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(
            lambda: ClientConnection(database, loopback=loopback), host, port, reuse_port=shares_port, backlog=_BACKLOG
        )
    except OSError as error:
        raise Refusal(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Choose another TIDEGATE_LISTEN."
        ) from error


def _end_sessions(database: CachedDatabase) -> None:
    for session in list(database.sessions):
        session.end(Sqlstate.ADMIN_SHUTDOWN, "terminating connection: the proxy is shutting down")
