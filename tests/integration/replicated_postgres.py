"""A primary behind the stack, and a hot standby of it behind a proxy of its own: one cache, two ways to it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import psycopg

from tests.integration.proxied_postgres import DURABLE, Connection
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.processes import ServerError, free_port, wait_until
from tests.servers.proxy import RunningProxy, running_proxy
from tests.servers.stack import RunningStack, running_stack
from tests.servers.standby import standby_of

_SECONDS = 15.0
_ENVIRON = {"TIDEGATE_DDL_TRIGGER": "false", "TIDEGATE_CATALOG_POLL": "100ms"}  # no event is to tell of DDL
_HITS = ("hits", "hits_l2", "hits_joined")


@dataclass(frozen=True, slots=True)
class ProxyOfReplica:
    """The proxy in front of the standby.

    Attributes:
        proxy: The process.
        metrics_port: Where its counters are.
    """

    proxy: RunningProxy
    metrics_port: int

    def connect(self, user: str = SUPERUSER, **options: Any) -> Connection:
        """Connect through it, in autocommit."""
        return psycopg.connect(self.proxy.url(user), autocommit=True, **options)

    def count(self, name: str, **labels: str) -> float:
        """Return a counter, the sum of its series that have these labels."""
        lines = [line for line in self.page().splitlines() if line.startswith(f"tidegate_proxy_{name}_total{{")]
        chosen = [line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items())]
        return sum(float(line.rpartition(" ")[2]) for line in chosen)

    def gauge(self, name: str) -> float:
        """Return a gauge."""
        (line,) = [line for line in self.page().splitlines() if line.startswith(f"{name}{{")]
        return float(line.rpartition(" ")[2])

    def hits(self) -> float:
        """Return how many answers came from the cache."""
        return sum(map(self.count, _HITS))

    def refused(self, reason: str) -> float:
        """Return how many answers were not kept for this reason."""
        return self.count("fills_refused", reason=reason)

    def is_hit(self, run: Callable[[], object]) -> bool:
        """Run something, and tell whether it was answered from the cache."""
        before = self.hits()
        run()
        return self.hits() > before

    def wait_cached(self, run: Callable[[], object]) -> None:
        """Repeat a read until it is answered from the cache."""
        try:
            wait_until(lambda: self.is_hit(run), "a hit in front of the replica", _SECONDS)
        except ServerError as error:
            raise ServerError(f"{error}\n{self.page()}\n{self.proxy.process.log()}") from error

    def page(self) -> str:
        """Return all of its counters, for whoever has to find out why one is not as it should be."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
            text: str = page.read().decode()
        return "\n".join(line for line in text.splitlines() if line.startswith("tidegate_proxy_"))


@dataclass(frozen=True, slots=True)
class Replicated:
    """Primary and standby.

    Attributes:
        primary, standby: The servers.
        stack: In front of the primary; its CDC service and invalidator serve both.
        replica: The proxy in front of the standby.
    """

    primary: PostgresServer
    standby: PostgresServer
    stack: RunningStack
    replica: ProxyOfReplica

    def connect(self, user: str = SUPERUSER) -> Connection:
        """Connect through the proxy in front of the primary, in autocommit."""
        return psycopg.connect(self.stack.database_url, user=user, autocommit=True)

    def wait_cached(self, run: Callable[[], object]) -> None:
        """Repeat a read through the proxy in front of the primary until it is answered from the cache."""

        def is_hit() -> bool:
            before = self.stack.counter("tidegate_proxy_hits_total")
            run()
            return self.stack.counter("tidegate_proxy_hits_total") > before

        wait_until(is_hit, "a hit in front of the primary", _SECONDS)

    def write(self, sql: str) -> None:
        """Change something on the primary, and wait until the replica's proxy has heard of it."""
        self.primary.execute(sql)
        ((lsn,),) = self.primary.execute("SELECT (pg_current_wal_flush_lsn() - '0/0')::text")
        heard = "tidegate_proxy_watermark_lsn"
        wait_until(lambda: self.replica.gauge(heard) > float(lsn), "the change to be heard of", _SECONDS)

    @contextlib.contextmanager
    def replay_paused(self) -> Iterator[None]:
        """Have the standby replay nothing."""
        self.standby.execute("SELECT pg_wal_replay_pause()")
        try:
            paused = "SELECT pg_get_wal_replay_pause_state()"
            wait_until(lambda: self.standby.execute(paused) == [("paused",)], "the replay to pause", _SECONDS)
            yield
        finally:
            self.standby.execute("SELECT pg_wal_replay_resume()")


@contextlib.contextmanager
def replicated_postgres(version: str, sql: str, **settings: str | int) -> Iterator[Replicated]:
    """Start a primary with the stack, and a standby with a proxy.

    Args:
        version: Postgres's major version.
        sql: Run on the primary before.
        settings: Of the standby.
    """
    metrics_port = free_port()
    with PostgresServer(version, **DURABLE) as primary:
        primary.execute(sql)
        with (
            standby_of(primary, hot_standby_feedback="off", **settings) as standby,
            running_stack(primary.url(), "--workers", "1", environ=_ENVIRON) as stack,
            running_proxy(
                primary.url(),
                replica_url=standby.url(),
                redis_url=stack.redis_url,
                metrics_listen=f"127.0.0.1:{metrics_port}",
                workers=1,
                catalog_poll="100ms",
            ) as proxy,
        ):
            yield Replicated(primary, standby, stack, ProxyOfReplica(proxy, metrics_port))
