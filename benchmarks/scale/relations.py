"""How cost grows with the published tables of a database: reading the catalog, starting, standing idle."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any, cast

import asyncpg
import psycopg

from benchmarks.peers import SETTINGS
from benchmarks.process_memory import resident_bytes
from benchmarks.scale.clock import MICROSECONDS, MILLISECONDS, seconds_of
from benchmarks.scale.curve import Curve, gathered
from benchmarks.scale.usage import Usage
from benchmarks.scenarios.warming import wait_until_cached
from services.proxy.cache.follower import Follower
from services.proxy.sql.catalog import catalog_stamp, load_catalog
from services.shared.relation import Shape, ShapeColumn
from services.shared.runtime.settings import CacheSettings
from tests.servers.postgres import PostgresServer
from tests.servers.stack import running_stack

_INT4 = 23
_TIMES = 3
_IDLE_SECONDS = 4.0
_TABLES_A_TRANSACTION = 100


def relations_curve(sizes: Sequence[int]) -> Curve:
    """Measure with so many tables."""
    return Curve(
        "relations",
        "Published tables",
        "Tables of six columns with a primary key and a second index. The worker compares the catalog's stamp with "
        "what it knows once a second (`catalog_poll`) and reads all of it after DDL. Started: from the command "
        "`tidegate up` until reads of the last table are hits.",
        "tables",
        sizes,
        gathered([_measure(size) for size in sizes]),
    )


def _measure(size: int) -> dict[str, float]:
    with PostgresServer(**{**SETTINGS, "max_locks_per_transaction": "256"}) as server:
        _make_tables(server.url(), size)
        began = time.perf_counter()
        with running_stack(server.url(), "--workers", "1", environ={"TIDEGATE_TLS": "off"}) as stack:
            wait_until_cached(stack, f"SELECT a FROM t{size} WHERE id = 1")
            started = time.perf_counter() - began
            usage = Usage(stack, server.process.pid)
            time.sleep(_IDLE_SECONDS)  # what is measured is that nothing happens
            idle = usage.seconds()
            resident = resident_bytes(stack.processes["proxy-0"])
            catalog = asyncio.run(_catalog_costs(server.url()))
    return {
        "started, s": started,
        **catalog,
        "worker, idle, % of a core": idle["worker"] / _IDLE_SECONDS * 100,
        "CDC, idle, % of a core": idle["CDC"] / _IDLE_SECONDS * 100,
        "Postgres, idle, % of a core": idle["Postgres"] / _IDLE_SECONDS * 100,
        "worker, MiB": resident / 1024**2,
        "a shape more, is there room, µs": _room_costs(size) * MICROSECONDS,
    }


def _make_tables(url: str, size: int) -> None:
    with psycopg.connect(url) as connection:
        for number in range(1, size + 1):
            connection.execute(
                f"CREATE TABLE t{number} (id int PRIMARY KEY, a int, b text, c timestamptz, d numeric, e boolean); "
                f"CREATE INDEX ON t{number} (a); INSERT INTO t{number} VALUES (1, 1)".encode()
            )
            if number % _TABLES_A_TRANSACTION == 0:
                connection.commit()


async def _catalog_costs(url: str) -> dict[str, float]:
    publication = CacheSettings.model_validate({"name": "default", "database_url": url}).publication
    connection = await asyncpg.connect(url)
    try:
        stamp = await _median(lambda: catalog_stamp(connection, publication))
        began = time.process_time()
        reading = await _median(lambda: load_catalog(connection, publication))
        own = (time.process_time() - began) / _TIMES
    finally:
        await connection.close()
    return {
        "catalog's stamp, ms": stamp * MILLISECONDS,
        "catalog read, ms": reading * MILLISECONDS,
        "of it in the worker, ms": own * MILLISECONDS,
    }


async def _median(action: Callable[[], Awaitable[object]]) -> float:
    seconds: list[float] = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        await action()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _room_costs(size: int) -> float:
    """Return the seconds that a worker takes to see whether a relation may have one more shape."""
    nobody = cast(Any, None)  # nothing is asked of Redis here
    follower = Follower(nobody, nobody, nobody, nobody, 1, lambda: None)
    for relation in range(size):
        shape = Shape(16_384 + relation, (ShapeColumn("id", _INT4),))
        follower.shapes[shape.id] = ()
    wanted = Shape(16_384, (ShapeColumn("a", _INT4),))
    times = 100
    return seconds_of(lambda: [follower.has_room_for(wanted) for _ in range(times)]) / times
