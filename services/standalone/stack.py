"""The whole stack on one machine: servers first, then Tidegate's services on top, and all of it down again in order.

Start: data directory, embedded Postgres and Valkey (where none is given), then CDC service, invalidator and proxies
side by side, each a process of its own; when all of them are ready, the ready file. Stop, also after a failed or
interrupted start: the proxies, the invalidator, the CDC service (whose slot and publication are dropped), the servers.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from services.shared.runtime.settings import CacheSettings, TlsMode
from services.shared.runtime.upstream import Upstream
from services.standalone.account import server_account
from services.standalone.cores import worker_count
from services.standalone.data_directory import DataDirectory, open_data_directory
from services.standalone.farewell import leave_no_trace
from services.standalone.http import serve
from services.standalone.overview import Overview
from services.standalone.plan import Plan, with_places
from services.standalone.ports import Reservation, reserve
from services.standalone.postgres import EmbeddedPostgres
from services.standalone.preflight import check_brokers, check_database, check_redis, check_tls_files
from services.standalone.ready_file import Endpoints, ReadyFile
from services.standalone.self_signed import self_signed_pair
from services.standalone.supervisor import Receive, Supervisor
from services.standalone.valkey import EmbeddedValkey
from services.standalone.worker import make_workers

_SERVERS_SECONDS = 60.0  # a crashed cluster of an earlier start may have to recover first
_WORKERS_SECONDS = 60.0


async def _nothing(_upstream: Upstream) -> None:
    """Leave the database as it is."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What a stack is told beside its settings.

    Attributes:
        data_dir: Where the embedded servers keep their data; None: a temporary folder.
        ready_file: Where to write the ready file; None: nowhere.
        database: Name of the embedded Postgres's database.
        prepare: Called with the database before anything follows it.
        environ: The environment from which the services' own is made.
    """

    data_dir: Path | None = None
    ready_file: Path | None = None
    database: str = "app"
    prepare: Callable[[Upstream], Awaitable[None]] = _nothing
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack.

    Attributes:
        endpoints: Where its parts are.
        plan: What it was made from.
        listen: The proxies' address, and whether it is the wanted one.
        warnings: What works, but not as well as it could.
        supervisor: Its processes.
    """

    endpoints: Endpoints
    plan: Plan
    listen: Reservation
    warnings: list[str]
    supervisor: Supervisor


@asynccontextmanager
async def running_stack(plan: Plan, options: StackOptions, receive: Receive) -> AsyncIterator[Stack]:
    """Run a stack for as long as the context lasts.

    Args:
        plan: What it is to be.
        options: What else there is to say.
        receive: Takes what the processes print.

    Raises:
        PreflightError: The given database, Redis or Kafka cannot be used.
        StartError: A process does not become ready.
        DataDirectoryError, NoAccountError, NotInstalledError, InitError: The embedded servers cannot be had.
        ListenError: The address of the proxies or of the metrics cannot be listened on.
    """
    async with AsyncExitStack() as cleanup:
        warnings = await _check_what_is_given(plan)
        directory = open_data_directory(options.data_dir, server_account())
        cleanup.callback(directory.close)
        listen = reserve(plan.cache.listen)
        cleanup.callback(listen.close)

        announcement = _Announcement()
        supervisor = Supervisor(receive, announcement.changed)
        cleanup.push_async_callback(supervisor.stop)
        cache = await _start_servers(plan, options, directory, supervisor)
        await options.prepare(cache.upstream)

        cache = _with_certificate(cache.model_copy(update={"listen": listen.address}), directory, listen.host)
        process = plan.process.model_copy(update={"workers": worker_count(plan.process.workers)})
        stages = make_workers(options.environ, process, cache, directory.path)
        lasting = not (plan.embed_postgres and directory.temporary)  # else what is left in it ends with the database
        farewells = (partial(leave_no_trace, cache) if lasting and not cache.keep else None, None, None)
        for stage, farewell in zip(stages, farewells, strict=True):
            supervisor.start((worker.service for worker in stage), farewell)
        overview = Overview(supervisor, [worker for stage in stages for worker in stage])
        server = await serve(*plan.process.metrics_address, overview.pages)
        cleanup.callback(server.close)
        await supervisor.wait_ready(_WORKERS_SECONDS)

        endpoints = _endpoints(cache, listen, server.sockets[0].getsockname()[:2])
        ready_file = ReadyFile(options.ready_file, endpoints)
        cleanup.callback(ready_file.remove)
        announcement.begin(ready_file, supervisor)
        yield Stack(endpoints, plan, listen, warnings, supervisor)


async def _check_what_is_given(plan: Plan) -> list[str]:
    """Look at the servers that the stack does not bring along. Returns what is worth a warning."""
    check_tls_files(plan.cache)
    await check_brokers(plan.cache)
    if not plan.embed_redis:
        await check_redis(plan.cache)
    return [] if plan.embed_postgres else await check_database(plan.cache)


async def _start_servers(
    plan: Plan, options: StackOptions, directory: DataDirectory, supervisor: Supervisor
) -> CacheSettings:
    """Start the embedded servers that the plan has, and wait for them. Returns the cache with their places."""
    database_url = plan.cache.database_url.get_secret_value()
    redis_url = plan.cache.redis_url.get_secret_value()
    if plan.embed_postgres:
        postgres = EmbeddedPostgres(directory, options.database)
        await postgres.make()
        supervisor.start([postgres.service])
        database_url = postgres.upstream.url
    if plan.embed_redis:
        valkey = EmbeddedValkey(directory, durable=plan.cache.keep and not directory.temporary)
        supervisor.start([valkey.service])
        redis_url = valkey.url
    await supervisor.wait_ready(_SERVERS_SECONDS)
    return with_places(plan.cache, database_url=database_url, redis_url=redis_url, listen=plan.cache.listen)


def _with_certificate(cache: CacheSettings, directory: DataDirectory, host: str) -> CacheSettings:
    """Give the proxies a certificate of their own where TLS is wanted and no other is named."""
    if cache.tls is TlsMode.OFF or cache.tls_certificate is not None:
        return cache
    pair = self_signed_pair(directory.path, host)
    return cache.model_copy(update={"tls_certificate": pair.certificate, "tls_key": pair.key})


def _endpoints(cache: CacheSettings, listen: Reservation, metrics: tuple[str, int]) -> Endpoints:
    # What the URL says of TLS is about the way from the proxy to Postgres.
    parameters = tuple((name, value) for name, value in cache.upstream.parameters if not name.startswith("ssl"))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - compared, not bound
    through_proxy = replace(cache.upstream, host=host, port=listen.port, parameters=parameters)
    metrics_host, metrics_port = metrics
    return Endpoints(
        database_url=through_proxy.url,
        upstream_url=cache.upstream.url,
        redis_url=cache.redis_url.get_secret_value(),
        event_log=cache.event_log.get_secret_value(),
        metrics_url=f"http://{f'[{metrics_host}]' if ':' in metrics_host else metrics_host}:{metrics_port}/metrics",
    )


class _Announcement:
    """Keeps the ready file up to date, from the moment when everything is ready."""

    def __init__(self) -> None:
        self._ready_file: ReadyFile | None = None
        self._supervisor: Supervisor | None = None

    def begin(self, ready_file: ReadyFile, supervisor: Supervisor) -> None:
        """Write the file, and again whenever a process is replaced."""
        self._ready_file, self._supervisor = ready_file, supervisor
        self.changed()

    def changed(self) -> None:
        """Write the file when it is time."""
        if self._ready_file is not None and self._supervisor is not None:
            self._ready_file.write(self._supervisor.processes)
