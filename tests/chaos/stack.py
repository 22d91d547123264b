"""Tidegate on real servers, each part a process of its own that can be killed, stopped, and cut off from its peers.

Every way from one of our services to a server leads through a link of the suite's network, so that any of them can be
stalled, slowed or cut while everybody else goes on. The suite's own clients come directly.
"""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import redis

from tests.chaos.network import Link, Network
from tests.chaos.redis_side import Kind, make_redis
from tests.chaos.service import Service
from tests.servers.kafka import KafkaServer
from tests.servers.kafka_cluster import KafkaCluster
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.postgres_programs import NEWEST
from tests.servers.processes import ServerDirectory, free_port, wait_until
from tests.servers.standby import standby_of

MAX_STALENESS_SECONDS = 1.0
CACHE = "default"
SLOT = f"tidegate_{CACHE}"
TOPIC = f"tidegate.{CACHE}.changes"
STREAM = f"tidegate:{{{CACHE}}}:log:0"

_START_SECONDS = 60.0

_POSTGRES: dict[str, str | int] = {
    "max_slot_wal_keep_size": "4GB",
    "max_wal_size": "2GB",
    "shared_buffers": "256MB",
    "wal_sender_timeout": "5s",  # the default of a minute is longer than a test may last
}
_KAFKA = {
    "log.retention.check.interval.ms": "300",
    "log.initial.task.delay.ms": "300",
    "log.segment.delete.delay.ms": "100",
}


class Standby(Enum):
    """What stands behind the primary."""

    NONE = "none"
    FOLLOWS = "follows"
    AWAITED = "awaited"


class Part(Protocol):
    """What can be done to a process."""

    def start(self) -> object:
        """Start it, or start it again."""

    def kill(self) -> None:
        """SIGKILL for it and its children."""

    def pause(self) -> None:
        """SIGSTOP."""

    def resume(self) -> None:
        """SIGCONT."""

    def destroy(self) -> None:
        """End it however it is, for good."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stack is made of.

    Attributes:
        kafka: Whether the event log is Kafka; else it is in Redis.
        cluster: Whether that is a cluster of three brokers, to which our services go directly; else one broker.
        cdc_count: How many CDC services there are.
        invalidator_count: How many invalidators there are.
        proxy_count: How many proxies there are, each with a port of its own.
        workers: Whether the proxies are workers of one, which share its port.
        standby: Whether Postgres has a standby: none, one that follows, or one that every commit waits for.
        faults: Deliberate faults by service; see `tests.chaos.broken`.
        settings: Settings of the cache.
        postgres: Settings of Postgres.
        redis: What Redis is.
        redis_settings: Settings of its servers, or of the group.
    """

    kafka: bool = True
    cluster: bool = False
    cdc_count: int = 1
    invalidator_count: int = 1
    proxy_count: int = 1
    workers: bool = False
    standby: Standby = Standby.NONE
    faults: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str | int] = field(default_factory=dict)
    postgres: Mapping[str, str | int] = field(default_factory=dict)
    redis: Kind = Kind.SERVER
    redis_settings: Mapping[str, str | int] = field(default_factory=dict)


class Stack:
    """A running stack.

    Attributes:
        plan: What it was made from.
        postgres: The database.
        redis: The bucket, and without Kafka the event log.
        kafka: The broker with the event log; None: there is a cluster, or the log is in Redis.
        cluster: The brokers with the event log, where there are several.
        standby: Its standby, where there is one.
        services: `proxy`, `invalidator`, `cdc` and, where there are two, `cdc2`, `proxy2`, `invalidator2`.
        links: The ways from the services to the servers, as `"cdc-postgres"`, and from the standby to its primary.
        max_staleness: Δ, in seconds.
    """

    def __init__(self, plan: Plan, network: Network, folder: ServerDirectory) -> None:
        self.plan = plan
        self.max_staleness = MAX_STALENESS_SECONDS
        self._folder = folder
        counts = {"proxy": plan.proxy_count, "invalidator": plan.invalidator_count, "cdc": plan.cdc_count}
        names = [f"{kind}{n if n > 1 else ''}" for kind, count in counts.items() for n in range(1, count + 1)]
        self.links: dict[str, Link] = {}
        for service in names:
            for server in ("postgres", "redis", *(["kafka"] if plan.kafka and not plan.cluster else [])):
                self.links[f"{service}-{server}"] = network.link()
        self.postgres = PostgresServer(NEWEST, **(_POSTGRES | dict(plan.postgres)))
        self.redis = make_redis(plan.redis, plan.redis_settings, network, STREAM)
        self.kafka: KafkaServer | None = None
        if plan.kafka and not plan.cluster:
            doors = {name.upper(): self.links[f"{name}-kafka"].port for name in names}
            self.kafka = KafkaServer(doors, properties=_KAFKA)
        self.cluster = KafkaCluster() if plan.cluster else None
        self.standby: PostgresServer | None = None
        self._standby_link = network.link()
        first = free_port()
        self._proxy_ports = {
            name: first if plan.workers or name == "proxy" else free_port()
            for name in names
            if name.startswith("proxy")
        }
        self._proxied = itertools.cycle(self._proxy_ports.values())
        self.services = {name: self._service(name) for name in names}

    @property
    def parts(self) -> dict[str, Part]:
        """Every process, by name."""
        servers: dict[str, Part] = {"postgres": self.postgres, "redis": self.redis}
        if self.kafka is not None:
            servers["kafka"] = self.kafka
        if self.cluster is not None:
            servers |= {broker.name: broker for broker in self.cluster.brokers.values()}
        return servers | dict(self.services)

    @property
    def partitions(self) -> int:
        """Partitions of the event log."""
        return int(self.plan.settings.get("partitions", 1))

    @property
    def proxy(self) -> Service:
        """The proxy's process."""
        return self.services["proxy"]

    @property
    def direct_url(self) -> str:
        """Around the proxy, to the primary of now."""
        return self.postgres.url()

    @property
    def proxied_url(self) -> str:
        """Through it; through each of them in turn where there are several."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{next(self._proxied)}/{SUPERUSER}"

    def start_servers(self) -> None:
        """Start what is not ours."""
        self.postgres.start()
        self.redis.start()
        if self.kafka is not None:
            self.kafka.start()
        if self.cluster is not None:
            self.cluster.start()
            self.services = {name: self._service(name) for name in self.services}  # they can be told now where it is
        for name, link in self.links.items():
            service, _, server = name.partition("-")
            if server == "kafka":
                assert self.kafka is not None
                link.target = self.kafka.door_port(service.upper())
            else:
                link.target = self.postgres.port if server == "postgres" else self.redis.port
        self._standby_link.target = self.postgres.port
        if self.plan.standby is not Standby.NONE:
            self._start_standby()

    def start_services(self) -> None:
        """Start what is ours, and wait until it does its work."""
        for service in self.services.values():
            service.start()
        wait_until(self.followed_by, "changes to be followed", _START_SECONDS)
        for service in (*self.of("invalidator"), *self.of("proxy")):
            service.wait_ready(_START_SECONDS)

    def of(self, kind: str) -> list[Service]:
        """Return the services of one kind: `proxy`, `invalidator` or `cdc`."""
        return [service for name, service in self.services.items() if name.rstrip("0123456789") == kind]

    def fail_over(self) -> PostgresServer:
        """Let everybody who connects from now on reach the standby, which was promoted; return the old primary.

        Connections that there are stay where they are.
        """
        assert self.standby is not None
        old, self.postgres, self.standby = self.postgres, self.standby, self.postgres
        for name, link in self.links.items():
            if name.endswith("-postgres"):
                link.target = self.postgres.port
        return old

    def redis_client(self) -> redis.Redis:
        """Return a client of the stack's Redis; the caller closes it."""
        return redis.Redis.from_url(self.redis.url)

    def followed_by(self) -> str:
        """Return the name of the CDC service that follows the changes; empty when none does."""
        found = (name for name in self.services if name.startswith("cdc"))
        return next((name for name in found if self.services[name].metric("tidegate_cdc_connected")), "")

    def logs(self) -> str:
        """Return the ends of the services' logs, for a message."""
        return "\n".join(f"--- {name}\n{service.log()[-9000:]}" for name, service in self.services.items())

    def destroy(self) -> None:
        """End everything."""
        for part in reversed(list(self.parts.values())):
            part.destroy()
        if self.cluster is not None:
            self.cluster.destroy()
        if self.standby is not None:
            self.standby.destroy()

    def _start_standby(self) -> None:
        """Start the standby, and have commits wait for it where they shall."""
        source = f"host=127.0.0.1 port={self._standby_link.port} user={SUPERUSER} dbname={SUPERUSER}"
        self.standby = standby_of(self.postgres, primary_conninfo=source).start()
        self.links["standby-primary"] = self._standby_link
        if self.plan.standby is Standby.AWAITED:
            self.postgres.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.postgres.execute("SELECT pg_reload_conf()")
            awaited = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until(lambda: self.postgres.execute(awaited), "the standby to be awaited", _START_SECONDS)

    def _event_log(self, service: str) -> str:
        if self.cluster is not None:
            return f"kafka://{self.cluster.bootstrap}"
        return f"kafka://127.0.0.1:{self.links[f'{service}-kafka'].port}" if self.plan.kafka else "redis"

    def _service(self, name: str) -> Service:
        settings: dict[str, str | int] = {
            "database_url": f"postgresql://{SUPERUSER}@127.0.0.1:{self.links[f'{name}-postgres'].port}/{SUPERUSER}",
            "redis_url": self.redis.services_url or f"redis://127.0.0.1:{self.links[f'{name}-redis'].port}/0",
            "event_log": self._event_log(name),
            "listen": f"127.0.0.1:{self._proxy_ports.get(name, self._proxy_ports['proxy'])}",
            "max_staleness": f"{self.max_staleness:g}s",
            "keep": "true",
        }
        if self.plan.faults:
            settings["audit_rate"] = 0  # the auditor would soon keep the cache from being wrong
        command = name.rstrip("0123456789")
        if self.plan.workers and command == "proxy":
            settings |= {"workers": self.plan.proxy_count, "worker_index": list(self._proxy_ports).index(name)}
        fault = self.plan.faults.get(command, "")
        return Service(name, command, settings | dict(self.plan.settings), self._folder.path, fault)


@contextlib.contextmanager
def running_stack(plan: Plan, sql: str) -> Iterator[Stack]:
    """Start a stack, and end it at the end.

    Args:
        plan: What it is made of.
        sql: Run in the database before our services start.
    """
    folder = ServerDirectory("chaos")
    with Network() as network:
        stack = Stack(plan, network, folder)
        try:
            stack.start_servers()
            stack.postgres.execute(sql)
            stack.start_services()
            yield stack
        finally:
            stack.destroy()
            folder.remove()
