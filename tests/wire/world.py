"""Two databases with the same content on one server: one behind the cache, one without.

Both are made from one template, so that even OIDs are equal. `begin_anew` brings both back to the beginning, which also
evicts everything that was cached: each stream starts cold. `settle` returns once the cache has caught up with all that
was written, `settle_wholly` also with what was defined: a session sees its own doings at once, but those of others only
within a bound, and a stream must not see that.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.integration.proxied_postgres import DURABLE
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST
from tests.servers.processes import wait_until
from tests.servers.settling import Settling
from tests.servers.stack import RunningStack, running_stack
from tests.wire.content import CHANGEABLE, DIGEST, OBJECTS, ROLES, ROWS

_DIRECT, _CACHED, _TEMPLATE = "direct", "cached", "model"
_CATALOG_PARTS = ("relations", "columns", "functions")

Content = dict[str, str | None]


class World:
    """Both databases.

    Attributes:
        direct_url: The one without the cache.
        cached_url: The other one, through the proxy.
    """

    def __init__(self, server: PostgresServer, stack: RunningStack) -> None:
        """Open the connections beside the streams' own."""
        self._stack = stack
        self.direct_url = server.url(_DIRECT)
        self.cached_url = stack.database_url
        self._direct = psycopg.connect(server.url(_DIRECT), autocommit=True)
        self._cached = psycopg.connect(server.url(_CACHED), autocommit=True)
        self._settling = Settling(stack)
        self._first = self._content(self._direct)
        self.begin_anew()

    def close(self) -> None:
        """Close them."""
        for connection in (self._direct, self._cached):
            connection.close()
        self._settling.close()

    def begin_anew(self) -> None:
        """Bring both databases back to their first content, and wait until nothing of before is cached."""
        redefined = False
        for connection in (self._direct, self._cached):
            found = self._content(connection)
            if any(found[part] != self._first[part] for part in _CATALOG_PARTS):
                connection.execute(CHANGEABLE)
                redefined = True
            connection.execute(f"BEGIN; {ROWS}; COMMIT")
        if redefined:
            self.settle_wholly()
        else:
            self.settle()

    def difference(self) -> str:
        """Return what differs between the contents; empty when nothing does."""
        direct, cached = self._content(self._direct), self._content(self._cached)
        return "\n".join(
            f"the {name} differ:\n  direct:\n{direct[name]}\n  proxied:\n{cached[name]}"
            for name in direct
            if direct[name] != cached[name]
        )

    def settle(self) -> None:
        """Wait until everything that was written before is evicted."""
        self._settling.settle()

    def settle_wholly(self) -> None:
        """Wait as `settle` does, and until the catalog has been read again behind whatever may have changed it."""
        self._settling.settle_wholly()

    def wait_gone(self, pids: Sequence[int]) -> None:
        """Wait until these backends have ended, and with them whatever they held."""
        query = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY (%s)"
        wait_until(lambda: self._direct.execute(query, [list(pids)]).fetchone() is None, "sessions to end")

    def count(self, *names: str) -> int:
        """Return the sum of some of the proxy's counters."""
        return self._settling.count(*names)

    def log(self) -> str:
        """What the stack has logged."""
        return self._stack.process.log()

    def _content(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> Content:
        return dict(connection.execute(DIGEST).fetchall())


@contextmanager
def two_databases(version: str = NEWEST) -> Iterator[World]:
    """Start a server with both databases, and the stack in front of one."""
    with PostgresServer(version, **DURABLE) as server:
        server.execute(ROLES)
        server.execute(f"CREATE DATABASE {_TEMPLATE}")
        server.execute(OBJECTS + CHANGEABLE + ROWS, database=_TEMPLATE)
        for name in (_DIRECT, _CACHED):
            server.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        with running_stack(server.url(_CACHED), environ={"TIDEGATE_WORKERS": "1"}) as stack:  # all is asked of one
            world = World(server, stack)
            try:
                yield world
            finally:
                world.close()
