"""Where histories are played: a server, the whole stack in front of it, a reader of its event log, and connections.

All histories of a run share it. `begin_anew` takes away what the last one left behind.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from services.shared.runtime.settings import CacheSettings
from tests.changes.content import Connection, Content, ContentReader
from tests.changes.history import CONNECTIONS
from tests.changes.telling import Telling
from tests.changes.traffic import Traffic
from tests.integration.cdc_harness import LogView, watching_log
from tests.integration.proxied_postgres import DURABLE
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError, wait_until
from tests.servers.settling import BARRIER, HITS, Settling
from tests.servers.stack import RunningStack, running_stack

_SERVER = DURABLE | {"logical_decoding_work_mem": "64kB"}  # so that transactions are streamed in progress
_ENVIRONMENT = {
    "TIDEGATE_WORKERS": "1",
    "TIDEGATE_HASHED_COLUMNS": "s1.t1.v,s1.t2.id,s1.t3.v",
}
_STEP_LOCK_TIMEOUT_MS, _READ_LOCK_TIMEOUT_MS = 150, 5
_SEARCH_PATH = "search_path=s1,s2,public"
_FOLLOW_SECONDS = 15.0  # a table that somebody has locked for two seconds is tried again after a minute
_LOG_SECONDS = 20.0
_LOOKS = 4
_CATALOG_LOOKS = """
    SELECT query_start FROM pg_stat_activity
    WHERE application_name = 'tidegate-proxy-catalog' AND state = 'idle' AND query LIKE 'COMMIT%%' AND query_start > %s
"""


class NotFollowed(Exception):
    """A table that can be followed is not, long after it could have been."""


class Stage:
    """The server, the stack and the log.

    Attributes:
        version: Postgres's major version.
        telling: The event log, as far as it has been read.
        content: Reads the truth.
    """

    def __init__(self, server: PostgresServer, stack: RunningStack, telling: Telling, *, triggers: bool) -> None:
        """Open the connections that stay; `triggers`: there are event triggers."""
        self.version = int(server.version)
        self.telling = telling
        self._triggers = triggers
        self._server, self._stack = server, stack
        self._direct_url, self._proxied_url = server.url(), stack.database_url
        self._settling = Settling(stack)
        self.content = ContentReader(self._direct_url)
        self._monitor: Connection = psycopg.connect(self._direct_url, autocommit=True, prepare_threshold=None)
        self._incarnations = self._incarnation_count()

    def close(self) -> None:
        """Close them."""
        self.content.close()
        self._settling.close()
        self._monitor.close()

    # -- connections

    def writers(self) -> list[Connection]:
        """Open the connections of a history: the first through the proxy, the others around it."""
        urls = [self._proxied_url, *([self._direct_url] * (CONNECTIONS - 1))]
        return [self._connect(url, _STEP_LOCK_TIMEOUT_MS) for url in urls]

    def readers(self) -> tuple[Connection, Connection]:
        """Open two connections for reads, through the proxy and around it."""
        return (
            self._connect(self._proxied_url, _READ_LOCK_TIMEOUT_MS),
            self._connect(self._direct_url, _READ_LOCK_TIMEOUT_MS),
        )

    def traffic(self) -> Traffic:
        """Begin to read all the time."""
        return Traffic(self._connect(self._proxied_url, _READ_LOCK_TIMEOUT_MS))

    def readers_with_few_rights(self) -> tuple[Connection, Connection]:
        """Open two of another role."""
        urls = (self._proxied_url, self._direct_url)
        one, other = (url.replace("//postgres@", "//reader@") for url in urls)
        return self._connect(one, _READ_LOCK_TIMEOUT_MS), self._connect(other, _READ_LOCK_TIMEOUT_MS)

    def _connect(self, url: str, lock_timeout_ms: int) -> Connection:
        options = f"-c {_SEARCH_PATH} -c lock_timeout={lock_timeout_ms}"
        return psycopg.connect(url, autocommit=True, prepare_threshold=None, options=options)

    # -- waiting

    def settle(self, *, defined: bool, unseen: bool) -> None:
        """Wait until everything that was written before is evicted.

        Args:
            defined: Also until what was defined is known. With event triggers that is so as soon as row changes are
                (ADR 11); without them once the proxy has looked at the catalog.
            unseen: What was defined is not seen by event triggers.
        """
        self._settling.settle()
        if unseen or (defined and not self._triggers):
            self._wait_catalog_read()

    def _wait_catalog_read(self) -> None:
        """Wait until the proxy has looked at the catalog, in a transaction that began after now, and has gone on.

        One look is a transaction, and another one when something has changed. The first that ends after now may have
        begun before, the second and the third may be the look in question; the fourth comes behind what came of it.
        """
        ends: set[object] = set()
        (now,) = self._monitor.execute("SELECT clock_timestamp()").fetchone() or (None,)

        def read() -> bool:
            self._settling.ask_catalog()
            ends.update(row[0] for row in self._monitor.execute(_CATALOG_LOOKS, [now]).fetchall())
            return len(ends) >= _LOOKS

        wait_until(read, "the proxy to read the catalog", _FOLLOW_SECONDS)

    def wait_told(self, lsn: int) -> None:
        """Wait until the log has been read as far as all that was visible at an LSN."""
        wait_until(lambda: self.telling.watermark > lsn, "the event log to come so far", _LOG_SECONDS)

    def wait_followed(self, published_before: frozenset[int]) -> None:
        """Wait until what can be followed is.

        Args:
            published_before: OIDs of tables that have been in the publication: what somebody took out stays out.

        Raises:
            NotFollowed: It is not.
        """
        missing: list[str] = []

        def followed() -> bool:
            content, known = self.content.read(None), self.telling.followed
            missing[:] = [
                content.tables[oid].named
                for oid in _followable(content)
                if not (content.tables[oid].entry is None and oid in published_before)
                if oid not in known or not (content.below(oid) or known[oid] == content.tables[oid].entry)
            ]
            return not missing

        try:
            wait_until(followed, "tables to be followed", _FOLLOW_SECONDS)
        except ServerError:
            raise NotFollowed(f"not followed: {', '.join(missing)}") from None

    # -- what there is

    def hits(self) -> int:
        """Return how many answers came from the cache."""
        return self._settling.count(*HITS)

    def troubles(self) -> list[str]:
        """Return what went wrong in the services since this was asked last."""
        found = []
        incarnations = self._incarnation_count()
        if incarnations != self._incarnations:
            log = [line for line in self._stack.process.log().splitlines() if "changes are not followed" in line]
            found.append(f"the CDC service had to begin again: {log[-1:]}")
        self._incarnations = incarnations
        if "Traceback" in self._stack.process.log():
            found.append("there is a traceback in the log of the stack")
        return found

    def _incarnation_count(self) -> float:
        return self._stack.counter("tidegate_cdc_incarnations_total")

    # -- between histories

    def begin_anew(self) -> None:
        """Take away what the last history left."""
        for (name,) in self._monitor.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
            self._monitor.execute(f"ROLLBACK PREPARED '{name}'")
        self._monitor.execute("DROP SCHEMA IF EXISTS s1, s2 CASCADE")
        self._monitor.execute("ALTER PUBLICATION tidegate_default SET (publish = 'insert, update, delete, truncate')")
        self._monitor.execute("ALTER PUBLICATION tidegate_default SET (publish_via_partition_root = false)")


def _followable(content: Content) -> Iterator[int]:
    """Yield the OIDs of tables that have to be followed sooner or later."""
    for oid, table in content.tables.items():
        fit = table.kind == "r" and table.identified and table.persistence == "p"
        if fit and content.complete and not table.narrowed:
            yield oid


@contextmanager
def staged(version: str, environ: Mapping[str, str] | None = None, event_log: str = "redis") -> Iterator[Stage]:
    """Start a server of some version and the stack in front of it.

    Args:
        version: Postgres's major version. With every other one the event log has several partitions, and with some
            there are no event triggers.
        environ: Further environment variables of the stack.
        event_log: As in the settings.
    """
    partitions = 1 + int(version) % 2 * 2
    triggers = int(version) % 3 != 2  # not on 14 and 17
    own_environ = {
        "TIDEGATE_PARTITIONS": str(partitions),
        "TIDEGATE_EVENT_LOG": event_log,
        "TIDEGATE_DDL_TRIGGER": str(triggers).lower(),
        # Where there are triggers it is they that have to tell in time, and no look that happens to come.
        "TIDEGATE_CATALOG_POLL": "2s" if triggers else "100ms",
    }
    with PostgresServer(version, **_SERVER) as server:
        server.execute(BARRIER + "CREATE ROLE reader LOGIN")
        with (
            running_stack(server.url(), environ={**_ENVIRONMENT, **own_environ, **(environ or {})}) as stack,
            _read_log(stack, event_log, partitions) as log,
        ):
            stage = Stage(server, stack, Telling(log, partitions), triggers=triggers)
            try:
                yield stage
            finally:
                stage.close()


@contextmanager
def _read_log(stack: RunningStack, event_log: str, partitions: int) -> Iterator[LogView]:
    """Read the event log in a thread, from its beginning."""
    cache = CacheSettings.model_validate(
        {
            "name": "default",
            "database_url": stack.upstream_url,
            "redis_url": stack.redis_url,
            "event_log": event_log,
            "partitions": partitions,
        }
    )
    loop, ready, views = asyncio.new_event_loop(), threading.Event(), list[LogView]()
    stop = asyncio.Event()

    async def read() -> None:
        async with watching_log(cache) as view:
            views.append(view)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(read()))
    thread.start()
    try:
        ready.wait()
        yield views[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
