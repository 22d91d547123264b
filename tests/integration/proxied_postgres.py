"""A Postgres of its own with the whole stack in front of it: what the tests of the proxy run against."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.integration.wire_client import WireClient
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.postgres_programs import NEWEST
from tests.servers.processes import ServerError, wait_until
from tests.servers.stack import RunningStack, running_stack

DURABLE = {"max_slot_wal_keep_size": "1GB"}
"""With a limit on what slots keep, ours outlives its connection."""

COUNTABLE = {"TIDEGATE_AUDIT_RATE": "0", "TIDEGATE_ADMISSION": "always"}

_HITS = ("tidegate_proxy_hits_total", "tidegate_proxy_hits_l2_total", "tidegate_proxy_hits_joined_total")
_CACHING_SECONDS = 15.0

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class ProxiedPostgres:
    """Postgres and the stack.

    Attributes:
        server: Postgres.
        stack: What `tidegate up` started.
    """

    server: PostgresServer
    stack: RunningStack

    @property
    def proxy_port(self) -> int:
        """The proxy's port on 127.0.0.1."""
        return int(str(conninfo_to_dict(self.stack.database_url)["port"]))

    @property
    def direct_url(self) -> str:
        """Around the proxy, as the superuser."""
        return self.server.url()

    def url(self, user: str = SUPERUSER, password: str | None = None, database: str = SUPERUSER) -> str:
        """Return a URL through the proxy: that of Postgres with another port."""
        direct = self.server.url(database, user, password)
        return direct.replace(f":{self.server.port}/", f":{self.proxy_port}/")

    def connect(self, user: str = SUPERUSER, **options: Any) -> Connection:
        """Connect through the proxy, in autocommit."""
        return psycopg.connect(self.url(user), autocommit=True, **options)

    def wire(self) -> WireClient:
        """Begin a session through the proxy that speaks the protocol by hand."""
        return WireClient(self.url()).start()

    def direct_wire(self) -> WireClient:
        """Begin such a session without the proxy."""
        return WireClient(self.direct_url).start()

    def hits(self) -> float:
        """Return how many answers came from the cache."""
        return self.stack.counter(*_HITS)

    def forwarded(self, reason: str) -> float:
        """Return how many turns went to Postgres for this reason."""
        return self.stack.counter("tidegate_proxy_forwarded_total", reason=reason)

    def proxy_memory(self) -> int:
        """Return the proxy's resident bytes."""
        memory: int = psutil.Process(self.stack.processes["proxy-0"]).memory_info().rss
        return memory

    def is_hit(self, run: Callable[[], object]) -> bool:
        """Run something, and tell whether it was answered from the cache."""
        before = self.hits()
        run()
        return self.hits() > before

    def wait_all_cached(self, run: Callable[[], object], count: int) -> None:
        """Repeat a read until `count` in a row come from the cache: a late eviction may come between."""

        def all_hits() -> bool:
            before = self.hits()
            for _ in range(count):
                run()
            return self.hits() - before == count

        self.wait_for_hits(all_hits, f"{count} hits in a row")

    def wait_cached(self, run: Callable[[], object], what: str = "a hit") -> None:
        """Repeat a read until it is answered from the cache."""
        self.wait_for_hits(lambda: self.is_hit(run), what)

    def wait_for_hits(self, condition: Callable[[], bool], what: str) -> None:
        """Wait, and tell why reads were forwarded instead if it is in vain."""
        before = self.stack.counters("tidegate_proxy_forwarded_total", "reason")
        try:
            wait_until(condition, what, _CACHING_SECONDS)
        except ServerError as error:
            now = self.stack.counters("tidegate_proxy_forwarded_total", "reason")
            reasons = {reason: value - before.get(reason, 0) for reason, value in now.items()}
            raise ServerError(f"{error}; forwarded: { {reason: n for reason, n in reasons.items() if n} }") from error


@contextmanager
def proxied_postgres(
    *options: str,
    version: str = NEWEST,
    sql: str = "",
    environ: dict[str, str] | None = None,
    hba: Sequence[str] = (),
    upstream_user: str = SUPERUSER,
    upstream_query: str = "",
    workers: int = 1,
    **settings: str | int,
) -> Iterator[ProxiedPostgres]:
    """Start Postgres, run SQL in it, and start the stack in front of it.

    Args:
        workers: Proxy processes. With one, all connections share what it holds, and its memory is that of the proxy.
        options: Of `tidegate up`.
        version: Postgres's major version.
        sql: Run before the stack starts.
        environ: Environment variables for `tidegate up`. Unless they say otherwise nothing is audited, and everything
            is cached, whether it pays or not: tests count hits, and what pays on a busy machine is another matter.
        hba: Lines of `pg_hba.conf`, from before the stack starts; none: everybody on the loopback is trusted.
        upstream_user: The role of the stack's own connections.
        upstream_query: What the URL of the database says behind a `?`.
        settings: Of Postgres.
    """
    with PostgresServer(version, **(DURABLE | settings)) as server:
        if sql:
            server.execute(sql)
        if hba:
            server.allow(*hba)
        url = server.url(user=upstream_user) + (f"?{upstream_query}" if upstream_query else "")
        with running_stack(url, "--workers", str(workers), *options, environ=COUNTABLE | (environ or {})) as stack:
            yield ProxiedPostgres(server, stack)
