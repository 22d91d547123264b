"""Evictions: from a commit made directly in Postgres to the new value being seen through the proxy."""

import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass

import psycopg

from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.stack import RunningStack, running_stack

_GIVE_UP_SECONDS = 5.0
_PAUSE_SECONDS = 0.02  # between writes: an idle machine, one change at a time
_STREAK = 50  # hits in a row


@dataclass(frozen=True, slots=True)
class SeenAfter:
    """Milliseconds from the acknowledged commit to the first read through the proxy that shows it."""

    event_log: str
    writes: int
    p50: float
    p99: float
    from_cache: float


def measure_evictions(event_log: str, writes: int) -> SeenAfter:
    """Change one row again and again, and read it through the proxy until the change shows.

    Args:
        event_log: `redis` or `kafka`.
        writes: How many changes.
    """
    kafka = KafkaServer() if event_log == "kafka" else None
    with PostgresServer() as server, kafka or nullcontext():
        server.execute("CREATE TABLE item (id int PRIMARY KEY, price int NOT NULL)")
        server.execute("INSERT INTO item SELECT g, 0 FROM generate_series(1, 100) g")
        options = ("--kafka", kafka.bootstrap) if kafka is not None else ()
        with running_stack(server.url(), "--workers", "1", *options) as stack:
            return _measure(event_log, server.url(), stack, writes)


def _measure(event_log: str, direct_url: str, stack: RunningStack, writes: int) -> SeenAfter:
    delays: list[float] = []
    stale_reads = reads = 0
    cached_url = stack.database_url
    with psycopg.connect(direct_url, autocommit=True) as direct, psycopg.connect(cached_url, autocommit=True) as cached:
        _wait_until_cached(stack, cached)
        for price in range(1, writes + 1):
            cached.execute("SELECT price FROM item WHERE id = 1").fetchone()
            time.sleep(_PAUSE_SECONDS)
            direct.execute("UPDATE item SET price = %s WHERE id = 1", (price,))
            committed = time.perf_counter()
            while True:
                row = cached.execute("SELECT price FROM item WHERE id = 1").fetchone()
                now = time.perf_counter()
                reads += 1
                if row == (price,):
                    break
                stale_reads += 1
                if now - committed > _GIVE_UP_SECONDS:
                    raise RuntimeError(f"a change was not seen within {_GIVE_UP_SECONDS} s")
            delays.append((now - committed) * 1000)
    percentiles = statistics.quantiles(delays, n=100)
    return SeenAfter(event_log, writes, statistics.median(delays), percentiles[98], stale_reads / reads)


def _wait_until_cached(stack: RunningStack, cached: "psycopg.Connection[tuple[int]]") -> None:
    """Wait until reads are served from the cache, so that what is measured is an eviction.

    Raises:
        RuntimeError: They never are.
    """
    deadline = time.monotonic() + 15
    while True:
        before = stack.counter("tidegate_proxy_hits_total")
        for _ in range(_STREAK):
            cached.execute("SELECT price FROM item WHERE id = 1").fetchone()
        if stack.counter("tidegate_proxy_hits_total") == before + _STREAK:
            return
        if time.monotonic() > deadline:
            raise RuntimeError("reads are not served from the cache")
