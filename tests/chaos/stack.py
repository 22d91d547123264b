"""Tidegate on real servers, each part a process of its own that can be killed, stopped, and cut off from its peers.

Every way from one of our services to a server leads through a link of the suite's network, so that any of them can be
stalled, slowed or cut while everybody else goes on. The suite's own clients come directly.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
        faults: Deliberate faults by service; see `tests.chaos.broken`.
        settings: Settings of the cache.
        postgres: Settings of Postgres.
        redis: What Redis is.
        redis_settings: Settings of its servers, or of the group.
    """

    kafka: bool = True
    cluster: bool = False
    cdc_count: int = 1
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
        services: `proxy`, `invalidator`, `cdc` and, where there are two, `cdc2`.
        links: The ways from the services to the servers, as `"cdc-postgres"`.
        max_staleness: Δ, in seconds.
    """

    def __init__(self, plan: Plan, network: Network, folder: ServerDirectory) -> None:
        self.plan = plan
        self.max_staleness = 1.0
        self._folder = folder
        names = ["proxy", "invalidator", "cdc", *(f"cdc{n}" for n in range(2, plan.cdc_count + 1))]
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
        self._proxy_port = free_port()
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
    def proxy(self) -> Service:
        """The proxy's process."""
        return self.services["proxy"]

    @property
    def direct_url(self) -> str:
        """Around the proxy."""
        return self.postgres.url()

    @property
    def proxied_url(self) -> str:
        """Through it."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self._proxy_port}/{SUPERUSER}"

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

    def start_services(self) -> None:
        """Start what is ours, and wait until it does its work."""
        for service in self.services.values():
            service.start()
        wait_until(self.followed_by, "changes to be followed", _START_SECONDS)
        for name in ("invalidator", "proxy"):
            self.services[name].wait_ready(_START_SECONDS)

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

    def _event_log(self, service: str) -> str:
        if self.cluster is not None:
            return f"kafka://{self.cluster.bootstrap}"
        return f"kafka://127.0.0.1:{self.links[f'{service}-kafka'].port}" if self.plan.kafka else "redis"

    def _service(self, name: str) -> Service:
        settings: dict[str, str | int] = {
            "database_url": f"postgresql://{SUPERUSER}@127.0.0.1:{self.links[f'{name}-postgres'].port}/{SUPERUSER}",
            "redis_url": self.redis.services_url or f"redis://127.0.0.1:{self.links[f'{name}-redis'].port}/0",
            "event_log": self._event_log(name),
            "listen": f"127.0.0.1:{self._proxy_port}",
            "max_staleness": f"{self.max_staleness:g}s",
            "keep": "true",
        }
        if self.plan.faults:
            settings["audit_rate"] = 0  # the auditor would soon keep the cache from being wrong
        command = name.rstrip("0123456789")
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
