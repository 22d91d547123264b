"""The CDC service and the invalidator as processes of their own, as `tidegate cdc` and `tidegate invalidator`."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import redis.asyncio

from services.shared.keyspace.scripts import Bucket
from services.shared.keyspace.state import BucketState
from services.shared.lsn import Lsn, format_lsn, parse_lsn
from services.shared.relation import Shape, ShapeColumn
from services.shared.runtime.settings import CacheSettings
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, free_port, wait_until
from tests.servers.redis import RedisServer

CACHE = "default"
TABLE = "item"
SERVICES = ("cdc", "invalidator")
_INT4 = 23
_LONGEST_SECONDS = 300.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Site:
    """The servers, and the settings of the cache between them."""

    postgres: PostgresServer
    redis: RedisServer
    kafka: KafkaServer
    settings: CacheSettings

    def insert_lsn(self) -> Lsn:
        """Return where the WAL ends now, and see to it that more follows, so that the stream gets past it."""
        ((lsn,),) = self.postgres.execute("SELECT pg_current_wal_insert_lsn()::text")
        self.postgres.execute("SELECT pg_logical_emit_message(true, 'benchmark', '')")
        return parse_lsn(lsn)

    def is_streaming(self) -> bool:
        """Whether somebody reads our slot."""
        rows = self.postgres.execute(
            "SELECT active FROM pg_replication_slots WHERE slot_name = %s", [self.settings.slot]
        )
        return rows == [(True,)]


@contextlib.contextmanager
def made_site(rows: int) -> Iterator[Site]:
    """Start the servers, with a table of so many rows."""
    with PostgresServer(max_slot_wal_keep_size="16GB", max_wal_size="16GB", shared_buffers="256MB") as postgres:
        postgres.execute(f"CREATE TABLE {TABLE} (id int PRIMARY KEY, customer int, price int NOT NULL, note text)")
        postgres.execute(f"INSERT INTO {TABLE} SELECT g, g % 1000, 0, 'note ' || g FROM generate_series(1, {rows}) g")
        with RedisServer() as redis_server, KafkaServer() as kafka:
            settings = CacheSettings.model_validate(
                {
                    "name": CACHE,
                    "database_url": postgres.url(),
                    "redis_url": redis_server.url,
                    "event_log": f"kafka://{kafka.bootstrap}",
                }
            )
            yield Site(postgres, redis_server, kafka, settings)


class RunningServices:
    """Both services."""

    def __init__(self, site: Site, folder: Path, profile: Path | None) -> None:
        """Start them.

        Args:
            site: The servers.
            folder: Where their logs go.
            profile: Where cProfile leaves what it found; none: it does not run.
        """
        self._ports = {service: free_port() for service in SERVICES}
        self.processes = {service: self._start(site, service, folder, profile) for service in SERVICES}

    def _start(self, site: Site, service: str, folder: Path, profile: Path | None) -> ManagedProcess:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        environment |= {
            "TIDEGATE_DATABASE_URL": site.postgres.url(),
            "TIDEGATE_REDIS_URL": site.redis.url,
            "TIDEGATE_EVENT_LOG": site.settings.event_log.get_secret_value(),
            "TIDEGATE_METRICS_LISTEN": f"127.0.0.1:{self._ports[service]}",
            "TIDEGATE_KEEP": "true",
        }
        under = ["-m", "cProfile", "-o", str(profile / f"{service}.prof")] if profile is not None else []
        argv: list[str | Path] = [sys.executable, *under, "-m", "services.cli", service]
        return ManagedProcess(service, argv, folder / f"{service}.log", env=environment)

    def check(self) -> None:
        """See that both run.

        Raises:
            ServerError: One has ended.
        """
        for process in self.processes.values():
            if not process.running:
                raise ServerError(f"{process.name} ended:\n{process.log()[-4000:]}")

    def counter(self, service: str, name: str) -> int:
        """Return one of the counters of a service."""
        with urlopen(f"http://127.0.0.1:{self._ports[service]}/metrics", timeout=5) as page:
            found = re.search(rf"^tidegate_{service}_{name}_total{{.*}} (\S+)$", page.read().decode(), re.MULTILINE)
        return int(float(found[1])) if found else 0

    def peak_bytes(self, service: str) -> int:
        """Return the most memory that a service has had resident so far."""
        status = Path(f"/proc/{self.processes[service].pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def stop(self) -> None:
        """Stop both, and leave slot and publication where they are."""
        for process in self.processes.values():
            process.stop(timeout_seconds=30)


@contextlib.contextmanager
def running_services(site: Site, profile: Path | None = None) -> Iterator[RunningServices]:
    """Run both services."""
    folder = ServerDirectory("bench")
    services = RunningServices(site, folder.path, profile)
    try:
        yield services
    finally:
        services.stop()
        folder.remove()


@contextlib.asynccontextmanager
async def bucket_of(site: Site) -> AsyncIterator[tuple[Bucket, "redis.asyncio.Redis"]]:
    """A look into the cache's bucket."""
    client = redis.asyncio.Redis.from_url(site.redis.url, protocol=2)
    try:
        yield Bucket(client, CACHE, site.settings.partitions), client
    finally:
        await client.aclose()


async def evicted_up_to(bucket: Bucket, services: RunningServices, lsn: Lsn) -> BucketState:
    """Wait until everything up to an LSN is evicted.

    Raises:
        ServerError: A service has ended.
        TimeoutError: It takes too long.
    """
    async with asyncio.timeout(_LONGEST_SECONDS):
        while True:
            state = await bucket.state()
            if state.watermark > lsn:
                return state
            services.check()
            await asyncio.sleep(_POLL_SECONDS)


def shape_by_id(site: Site) -> Shape:
    """Return the shape of reads by primary key."""
    ((oid,),) = site.postgres.execute("SELECT %s::regclass::oid::int8", [TABLE])
    return Shape(int(oid), (ShapeColumn("id", _INT4),))


def prepare(site: Site) -> None:
    """Have slot, publication, topic and bucket made, the table followed, and reads by primary key registered."""

    async def first_run(services: RunningServices) -> None:
        async with bucket_of(site) as (bucket, _):
            await bucket.load()
            state = await evicted_up_to(bucket, services, site.insert_lsn())
            registry = await bucket.register(state.bucket_epoch, [shape_by_id(site)])
            assert registry.shapes

    with running_services(site) as services:
        asyncio.run(first_run(services))


def wait_for_confirmation(site: Site, services: RunningServices, lsn: Lsn) -> None:
    """Wait until Postgres has been told that everything up to an LSN need not be sent again."""
    query = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"

    def confirmed() -> bool:
        services.check()
        return site.postgres.execute(query, [format_lsn(lsn), site.settings.slot]) == [(True,)]

    wait_until(confirmed, "the backlog to be confirmed", 60.0)


def wait_for_stream(site: Site, services: RunningServices) -> None:
    """Wait until the CDC service streams."""

    def streams() -> bool:
        services.check()
        return site.is_streaming()

    wait_until(streams, "the CDC service to stream", 60.0)
