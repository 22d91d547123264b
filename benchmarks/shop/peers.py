"""The caches that a trace is played to, each in front of a fresh copy of the shop."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from benchmarks.pgpool import PgPool
from benchmarks.shop.counting import PoolCacheCounter, StatementCounter
from benchmarks.shop.player import Played, Player, run_all
from benchmarks.shop.schema import TABLES, identity_statements
from benchmarks.shop.trace import Trace
from services.shared.runtime.upstream import parse_upstream
from tests.servers.postgres import PostgresServer
from tests.servers.stack import RunningStack, running_stack

MAX_STALENESS_SECONDS = 1.0  # the default of the setting

_TEMPLATE = "shop"
_LOCK_MS = 5_000  # nobody waits for locks where one operation follows the other: a peer that forgot a COMMIT is stuck
_DROPPED = "cache dropped in this worker"
_WIDE = "relations evicted as a whole"
_STREAK = 20  # hits in a row
_WARM_SECONDS = 30.0


def make_template(server: PostgresServer, statements: list[str]) -> None:
    """Make the database that each run gets a copy of."""
    server.execute(f"CREATE DATABASE {_TEMPLATE}")
    run_all(server.url(_TEMPLATE), statements)


@contextmanager
def fresh_copy(server: PostgresServer) -> Iterator[str]:
    """Give the URL of a copy of the shop, and drop it afterwards."""
    name = "shop_copy"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    server.execute(f"ALTER DATABASE {name} SET lock_timeout = {_LOCK_MS}")
    try:
        yield server.url(name)
    finally:
        server.drop_database(name)


def play_directly(server: PostgresServer, trace: Trace) -> Played:
    """Play a trace to Postgres: what it says is right."""
    with fresh_copy(server) as url, closing(StatementCounter(url)) as counter, Player(url) as player:
        return player.play(trace, counter, paced=False)


def play_tidegate(server: PostgresServer, trace: Trace, identity: str) -> tuple[Played, "Counter[str]"]:
    """Play a trace through Tidegate, in time: how far it is behind the writes depends on how fast they come.

    Args:
        server: The Postgres.
        trace: The operations.
        identity: Replica identity of all tables: FULL or DEFAULT.

    Returns:
        What came of it, and why turns were forwarded, by reason; and how often more was evicted than was asked for.
    """
    with fresh_copy(server) as url:
        run_all(url, identity_statements(identity))
        with running_stack(url, "--workers", "1", environ={"TIDEGATE_TLS": "off"}) as stack:
            _wait_until_cached(stack)
            with closing(StatementCounter(url)) as counter, Player(stack.database_url) as player:
                before = _reasons(stack)
                played = player.play(trace, counter, paced=True)
                reasons = _reasons(stack) - before
            return played, reasons + _drops(stack.process.log())


def play_pgpool(server: PostgresServer, trace: Trace, *, simple: bool) -> Played:
    """Play a trace through pgpool-II, as fast as it goes: what it has at any time does not depend on the clock.

    With the extended protocol it has to think that it is in front of a streaming-replication primary: in its mode
    `raw`, version 4.3.5 leaves a transaction open behind every such write.

    Args:
        server: The Postgres.
        trace: The operations.
        simple: Whether by simple queries, instead of the extended protocol.
    """
    with fresh_copy(server) as url:
        pgpool = PgPool(parse_upstream(url), "raw" if simple else "streaming_replication")
        try:
            counter = StatementCounter(url) if simple else PoolCacheCounter(pgpool.url)
            with closing(counter), Player(pgpool.url, simple=simple) as player:
                return player.play(trace, counter, paced=False)
        finally:
            pgpool.stop()


def _reasons(stack: RunningStack) -> "Counter[str]":
    """Return what the stack has counted so far: turns forwarded, by reason, and evictions of all of a relation."""
    forwarded = stack.counters("tidegate_proxy_forwarded_total", "reason")
    wide = stack.counter("tidegate_invalidator_evicted_relations_total")
    return Counter({reason: int(count) for reason, count in forwarded.items()} | {_WIDE: int(wide)})


def _drops(log: str) -> "Counter[str]":
    """Count from the stack's log how often the worker dropped everything, by reason."""
    lines = (json.loads(line) for line in log.splitlines() if _DROPPED in line)
    return Counter(f"everything dropped ({line['reason']})" for line in lines)


def _wait_until_cached(stack: RunningStack) -> None:
    """Wait until reads of every table are served from the cache.

    Raises:
        RuntimeError: They never are.
    """
    deadline = time.monotonic() + _WARM_SECONDS
    reads = [f"SELECT 1 FROM {table} WHERE {_KEYS.get(table, 'id')} = 0" for table in TABLES]
    with psycopg.connect(stack.database_url, autocommit=True, prepare_threshold=None) as connection:
        while True:
            before = stack.counter("tidegate_proxy_hits_total")
            for _ in range(_STREAK):
                for read in reads:
                    connection.execute(read.encode())
            if stack.counter("tidegate_proxy_hits_total") == before + _STREAK * len(reads):
                return
            if time.monotonic() > deadline:
                raise RuntimeError("reads are not served from the cache")


_KEYS = {"order_item": "order_id"}
