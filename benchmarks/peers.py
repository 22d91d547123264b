"""The sides of a comparison: a Postgres, before it PgBouncer, Tidegate (one worker) and, while asked for, pgpool-II.

with running_peers(prepare=make_tables) as peers:
    rates = interleaved(run.rounds, {side: partial(rate, peers.url(side)) for side in (DIRECT, PGBOUNCER, TIDEGATE)})
    with peers.pgpool("prepared", clients=8) as url:
        ...

All of them are as installed, but for what makes them comparable: nobody offers TLS, everybody trusts the loopback, and
each has room for the clients. Postgres has the settings of the tests (no fsync), which is to the good of its own side.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import psycopg

from benchmarks.measurement import DIRECT, PGBOUNCER, PGPOOL, TIDEGATE
from benchmarks.pgbench import Load, mean_milliseconds, transactions_a_second
from benchmarks.pgbouncer import PgBouncer
from benchmarks.pgpool import PgPool
from services.shared.runtime.upstream import parse_upstream
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError, wait_until
from tests.servers.stack import RunningStack, running_stack

SETTINGS: Mapping[str, str] = {"shared_buffers": "256MB", "max_connections": "1000", "max_slot_wal_keep_size": "4GB"}
_HITS = tuple(f"tidegate_proxy_{kind}_total" for kind in ("hits", "hits_l2", "hits_joined"))
_FORWARDED = "tidegate_proxy_forwarded_total"
_WARM_ATTEMPTS = 20
_REST_SECONDS = 60.0
_WARM_SHARE = 0.95  # the rest: each client prepares its statement
_SPARE_CHILDREN = 4  # of pgpool-II: each serves one client at a time, and the one who looks whether it is up is one


@dataclass(frozen=True, slots=True)
class Peers:
    """What runs.

    Attributes:
        server: The Postgres.
        upstream_url: How the proxies reach it: itself, or what delays the way.
        stack: Tidegate.
        bouncer: PgBouncer.
        program: pgbench.
        folder: For files of this comparison; removed with it.
    """

    server: PostgresServer
    upstream_url: str
    stack: RunningStack
    bouncer: PgBouncer
    program: Path
    folder: Path

    def url(self, side: str) -> str:
        """Return the database URL of a side that always runs (pgpool-II does not)."""
        return {DIRECT: self.upstream_url, PGBOUNCER: self.bouncer.url, TIDEGATE: self.stack.database_url}[side]

    def rate(self, url: str, load: Load) -> float:
        """Return how many transactions of a load come through a URL in a second."""
        self.come_to_rest()
        return transactions_a_second(self.program, url, load, self.folder)

    def latency(self, url: str, load: Load) -> float:
        """Return how many milliseconds a transaction takes in the mean."""
        self.come_to_rest()
        return mean_milliseconds(self.program, url, load, self.folder)

    def come_to_rest(self) -> None:
        """Wait until all that was written is evicted: else one side leaves its change stream's work to the next one.

        Raises:
            ServerError: It takes too long.
        """
        ((written,),) = self.server.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        wait_until(lambda: self._watermark() >= float(written), "the change stream to come to rest", _REST_SECONDS)

    def _watermark(self) -> float:
        return min(self.stack.counters("tidegate_proxy_watermark_lsn", "process").values())

    def warm(self, load: Load, url: str | None = None) -> None:
        """Run a load through Tidegate, a second at a time, until nearly all of it is served from the cache.

        Raises:
            ServerError: It never is.
        """
        share = 0.0
        for _ in range(_WARM_ATTEMPTS):
            hits, forwarded = self.hits(), self.forwarded()
            self.rate(url or self.url(TIDEGATE), replace(load, seconds=1))
            hits, forwarded = self.hits() - hits, self.forwarded() - forwarded
            share = hits / max(hits + forwarded, 1.0)
            if share >= _WARM_SHARE:
                return
        raise ServerError(f"in the end, of a load that is to warm the cache up, only {share:.0%} were hits")

    def hits(self) -> float:
        """Return how many answers Tidegate has given without Postgres."""
        return self.stack.counter(*_HITS)

    def forwarded(self) -> float:
        """Return how many turns Tidegate has sent to Postgres."""
        return self.stack.counter(_FORWARDED)

    @contextmanager
    def pgpool(self, protocol: str, clients: int) -> Iterator[str]:
        """Give the URL of a pgpool-II for as long as it is needed.

        Args:
            protocol: As pgbench calls it. With the extended protocol it runs in its documented default mode
                (`streaming_replication`): in `raw`, 4.3.5 leaves a transaction open behind each such write.
            clients: How many at once.
        """
        clustering = "raw" if protocol == "simple" else "streaming_replication"
        pool = PgPool(parse_upstream(self.upstream_url), clustering, children=clients + _SPARE_CHILDREN)
        try:
            yield pool.url
        finally:
            pool.stop()

    @contextmanager
    def sides(self, protocol: str, clients: int, *, pgpool: bool = True) -> Iterator[dict[str, str]]:
        """Give the URLs of all sides, by side, in the order of the tables."""
        urls = {side: self.url(side) for side in (DIRECT, PGBOUNCER)}
        if not pgpool:
            yield urls | {TIDEGATE: self.url(TIDEGATE)}
            return
        with self.pgpool(protocol, clients) as url:
            yield urls | {PGPOOL: url, TIDEGATE: self.url(TIDEGATE)}


@contextmanager
def running_peers(
    prepare: Callable[[str], None],
    *,
    way: Callable[[str], AbstractContextManager[str]] = nullcontext,
    workers: int = 1,
    environ: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Peers]:
    """Start all of them.

    Args:
        prepare: Makes tables and rows, given the URL of the Postgres, before a proxy starts.
        way: Given the URL of the Postgres, gives the one by which all sides reach it.
        workers: Of Tidegate.
        environ: Further settings of Tidegate (`TIDEGATE_…`).
        settings: Further settings of Postgres.
    """
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        server = opened.enter_context(PostgresServer(**dict(SETTINGS) | dict(settings or {})))
        prepare(server.url())
        upstream_url = opened.enter_context(way(server.url()))
        bouncer = PgBouncer(parse_upstream(upstream_url))
        opened.callback(bouncer.stop)
        chosen = {"TIDEGATE_TLS": "off"} | dict(environ or {})
        stack = opened.enter_context(running_stack(upstream_url, "--workers", str(workers), environ=chosen))
        yield Peers(server, upstream_url, stack, bouncer, pgbench_program(server), folder)


def pgbench_program(server: PostgresServer) -> Path:
    """Return the pgbench that belongs to a server, or the system's."""
    own = server.programs / "pgbench"
    return own if own.exists() else Path("/usr/bin/pgbench")


def at_level(url: str, level: str) -> str:
    """Return a URL of Tidegate whose sessions read at a level of consistency."""
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-c tidegate.consistency={level}', safe='')}"


def run_sql(url: str, *statements: str) -> None:
    """Run statements, each on its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def processors() -> int:
    """Return how many processors we may use."""
    return len(os.sched_getaffinity(0))
