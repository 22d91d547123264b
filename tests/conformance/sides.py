"""The two sides of a comparison: a Postgres without Tidegate, and another one with the whole stack in front of it.

Both servers are made in the same way, so that they differ in nothing but the stack: what is compared is what somebody
sees who changes host and port, the publication, the slot and Tidegate's own schema included. Neither has TLS: a client
that finds it on one side only would take it there, and its own tests see that.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

from tests.servers.postgres import PostgresServer
from tests.servers.stack import RunningStack, running_stack

SETTINGS: dict[str, str | int] = {
    "max_slot_wal_keep_size": "4GB",
    "max_connections": 200,
    "autovacuum": "off",  # when it comes is chance, and it moves rows: what has no ORDER BY would come out otherwise
}
_MISSES = "tidegate_proxy_misses_total"
_HITS = ("tidegate_proxy_hits_total", "tidegate_proxy_hits_l2_total", "tidegate_proxy_hits_joined_total")


@dataclass(frozen=True, slots=True)
class CachedReads:
    """How many reads that can be cached there were, and how many of them were answered from the cache."""

    hits: int = 0
    misses: int = 0

    def __sub__(self, earlier: "CachedReads") -> "CachedReads":
        return CachedReads(self.hits - earlier.hits, self.misses - earlier.misses)

    def __str__(self) -> str:
        share = f" ({self.hits / (self.hits + self.misses):.0%} of the cacheable reads)" if self.hits else ""
        return f"{self.hits:,}{share}"


@dataclass(frozen=True, slots=True)
class Side:
    """Where a suite connects to.

    Attributes:
        name: `direct` or `proxied`.
        server: Postgres.
        port: What the suite connects to on 127.0.0.1: Postgres's port, or the proxy's.
        stack: What stands in front of Postgres; None on the direct side.
    """

    name: str
    server: PostgresServer
    port: int
    stack: RunningStack | None = None

    def url(self, database: str, scheme: str = "postgresql") -> str:
        """Return the URL of a database as this side reaches it."""
        return self.server.url(database).replace(f":{self.server.port}/", f":{self.port}/").replace(
            "postgresql:", f"{scheme}:", 1
        )  # fmt: skip

    def cached_reads(self) -> CachedReads:
        """Return what the cache was asked so far, and what it answered."""
        if self.stack is None:
            return CachedReads()
        return CachedReads(int(self.stack.counter(*_HITS)), int(self.stack.counter(_MISSES)))


Prepare = Callable[[PostgresServer], None]


@contextmanager
def direct_side(version: str, prepare: Prepare, settings: Mapping[str, str | int]) -> Iterator[Side]:
    """Start a Postgres without Tidegate.

    Args:
        version: Postgres's major version.
        prepare: Makes in it what the suite expects to find.
        settings: Further server settings.
    """
    with PostgresServer(version, **(SETTINGS | dict(settings))) as server:
        prepare(server)
        yield Side("direct", server, server.port)


@contextmanager
def proxied_side(version: str, prepare: Prepare, settings: Mapping[str, str | int], database: str) -> Iterator[Side]:
    """Start a Postgres and the stack in front of it.

    Args:
        version: Postgres's major version.
        prepare: Makes in it what the suite expects to find.
        settings: Further server settings.
        database: The one that is cached; what goes to others is forwarded.
    """
    with PostgresServer(version, **(SETTINGS | dict(settings))) as server:
        prepare(server)
        with running_stack(server.url(database), environ={"TIDEGATE_TLS": "off"}) as stack:
            port = int(str(conninfo_to_dict(stack.database_url)["port"]))
            yield Side("proxied", server, port, stack)
