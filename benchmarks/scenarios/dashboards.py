"""Dashboards: joins and aggregates that take Postgres about 1, 10, 50 and 200 ms, at eight clients.

And what became known as a cliff of a rival: an aggregate over 10,001 rows, beside one over 10,000. There must be none:
what an answer costs does not depend on how many rows it was made of.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

import psycopg

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, PGPOOL, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, run_sql, running_peers
from benchmarks.pgbench import Load
from benchmarks.shop.statements import Statement, statement

_NAME = "dashboards"
_CLIENTS = 8
_VARIANTS = 8  # values of each statement's parameter
_WARM_SECONDS = 2
_CLIFF_ROWS = 10_000

_ITEMS = 1_000_000
_TABLES = (
    "CREATE TABLE region (id int PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE customer (id int PRIMARY KEY, region_id int NOT NULL, segment int NOT NULL)",
    "CREATE TABLE product (id int PRIMARY KEY, category int NOT NULL, cost int NOT NULL)",
    "CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, day int NOT NULL)",
    "CREATE TABLE item (id int PRIMARY KEY, order_id int NOT NULL, product_id int NOT NULL, quantity int NOT NULL, "
    "cents int NOT NULL)",
    "CREATE TABLE measured (id int PRIMARY KEY, device int NOT NULL, reading int NOT NULL)",
    "INSERT INTO region SELECT g, 'region ' || g FROM generate_series(1, 10) g",
    "INSERT INTO customer SELECT g, g % 10 + 1, g % 5 FROM generate_series(1, 5000) g",
    "INSERT INTO product SELECT g, g % 50, g % 900 + 100 FROM generate_series(1, 5000) g",
    "INSERT INTO orders SELECT g, (g * 31) % 5000 + 1, g / 500 FROM generate_series(1, 250000) g",
    f"INSERT INTO item SELECT g, (g - 1) / 4 + 1, (g * 17) % 5000 + 1, g % 5 + 1, (g * 29) % 9000 + 100 "
    f"FROM generate_series(1, {_ITEMS}) g",
    # Device 1 has 10,000 rows, device 2 one more.
    f"INSERT INTO measured SELECT g, CASE WHEN g <= {_CLIFF_ROWS} THEN 1 ELSE 2 END, (g * 37) % 1000 "
    f"FROM generate_series(1, {2 * _CLIFF_ROWS + 1}) g",
    "CREATE INDEX ON orders (day)",
    "CREATE INDEX ON item (order_id)",
    "CREATE INDEX ON measured (device)",
    "VACUUM ANALYZE",
)


@dataclass(frozen=True, slots=True)
class _Dashboard:
    """A statement with `:k`, which goes from 1 to the number of variants."""

    name: str
    sql: str


_DASHBOARDS = (
    _Dashboard(
        "1 ms: orders of a day",
        "SELECT c.segment, count(*), min(o.id), max(o.id) FROM orders o JOIN customer c ON c.id = o.customer_id "
        "WHERE o.day = :k GROUP BY c.segment ORDER BY c.segment",
    ),
    _Dashboard(
        "10 ms: revenue of a week",
        "SELECT p.category, sum(i.quantity * i.cents) AS revenue FROM orders o JOIN item i ON i.order_id = o.id "
        "JOIN product p ON p.id = i.product_id WHERE o.day BETWEEN :k AND :k + 6 "
        "GROUP BY p.category ORDER BY revenue DESC, p.category LIMIT 20",
    ),
    _Dashboard(
        "50 ms: regions in ten days",
        "SELECT r.name, c.segment, count(DISTINCT o.id), sum(i.quantity * i.cents) FROM orders o "
        "JOIN item i ON i.order_id = o.id JOIN customer c ON c.id = o.customer_id JOIN region r ON r.id = c.region_id "
        "WHERE o.day BETWEEN :k AND :k + 9 GROUP BY r.name, c.segment ORDER BY r.name, c.segment",
    ),
    _Dashboard(
        "200 ms: margin by category and segment",
        "SELECT p.category, c.segment, sum(i.quantity * (i.cents - p.cost)) AS margin FROM item i "
        "JOIN product p ON p.id = i.product_id JOIN orders o ON o.id = i.order_id "
        "JOIN customer c ON c.id = o.customer_id WHERE i.quantity IN (:k % 5 + 1, (:k + 1) % 5 + 1) AND o.day < 400 "
        "GROUP BY p.category, c.segment ORDER BY p.category, c.segment LIMIT 50",
    ),
)


def measure_dashboards(run: Run) -> Iterator[Case]:
    """Measure each statement through all sides, then the aggregates at the cliff."""
    # Without parallel workers: eight clients on a few processors have none to spare, and the plan stays the same.
    with running_peers(_make_tables, settings={"max_parallel_workers_per_gather": "0", "work_mem": "32MB"}) as peers:
        for dashboard in _DASHBOARDS[:1] if run.quick else _DASHBOARDS:
            for mode in ("simple",) if run.quick else ("simple", "prepared"):
                yield _measure(peers, run, dashboard, mode)
        yield _cliff(peers, run)


def _make_tables(url: str) -> None:
    run_sql(url, *_TABLES)


def _measure(peers: Peers, run: Run, dashboard: _Dashboard, protocol: str) -> Case:
    script = f"\\set k random(1, {_VARIANTS})\n{dashboard.sql};\n"
    load = Load(script, protocol, _CLIENTS, run.seconds)
    reads = [_read(dashboard.sql, k) for k in range(1, _VARIANTS + 1)]
    with peers.sides(protocol, _CLIENTS) as urls:
        peers.rate(urls[PGPOOL], replace(load, seconds=1 if run.quick else _WARM_SECONDS))
        peers.warm(load)
        samples = interleaved(run.rounds, {side: partial(peers.rate, url, load) for side, url in urls.items()})
        wrong = _wrong_answers(urls, reads, protocol)
    return Case(
        _NAME,
        f"{dashboard.name}, {protocol}",
        "1/s",
        samples,
        (Target(DIRECT, 20.0),),
        wrong,
        {"in Postgres, for one client, ms": f"{_milliseconds(peers.url(DIRECT), reads[0].inlined()):.1f}"},
        {"statement": dashboard.name, "protocol": protocol, "clients": _CLIENTS},
    )


def _cliff(peers: Peers, run: Run) -> Case:
    """Compare an aggregate of 10,000 rows with one of 10,001."""
    at_the_edge = f"{TIDEGATE}, {_CLIFF_ROWS:,} rows"
    edge, beyond = (
        f"SELECT count(*), sum(reading), min(reading), max(reading) FROM measured WHERE device = {device}"
        for device in (1, 2)
    )
    loads = {sql: Load(f"{sql};\n", "prepared", _CLIENTS, run.seconds) for sql in (edge, beyond)}
    measures: dict[str, Callable[[], float]] = {
        DIRECT: partial(peers.rate, peers.url(DIRECT), loads[beyond]),
        at_the_edge: partial(peers.rate, peers.url(TIDEGATE), loads[edge]),
        TIDEGATE: partial(peers.rate, peers.url(TIDEGATE), loads[beyond]),
    }
    for load in loads.values():
        peers.warm(load)
    samples = interleaved(run.rounds, measures)
    wrong = _wrong_answers(
        {side: peers.url(side) for side in (DIRECT, TIDEGATE)}, [Statement(edge, ()), Statement(beyond, ())], "prepared"
    )
    targets = (Target(DIRECT, 20.0), Target(at_the_edge, 0.8))
    return Case(_NAME, f"an aggregate of {_CLIFF_ROWS + 1:,} rows, prepared", "1/s", samples, targets, wrong)


def _read(sql: str, k: int) -> Statement:
    """Return a statement as pgbench sends it: each place of the variable is a parameter of its own."""
    places = count(1)
    return statement(re.sub(":k", lambda _: f"${next(places)}", sql), *[k] * sql.count(":k"))


def _wrong_answers(urls: Mapping[str, str], reads: list[Statement], protocol: str) -> int:
    """Count what differs from Postgres on any side: forwarded, or from a cache; nobody writes meanwhile."""
    others = [url for side, url in urls.items() if side != DIRECT]
    return sum(wrong_answers(urls[DIRECT], url, reads, protocol) for url in others)


def _milliseconds(url: str, text: str) -> float:
    """Return what a statement takes Postgres itself when nothing else is asked of it."""
    with psycopg.connect(url, autocommit=True) as connection:
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN ANALYZE {text}".encode()).fetchall())
    return float(plan.rpartition("Execution Time: ")[2].split()[0])


DASHBOARDS = Scenario(
    _NAME,
    "Dashboards",
    f"Joins and aggregates on generated orders (a million items), each with {_VARIANTS} values, by {_CLIENTS} clients, "
    "in transactions a second. Then an aggregate over 10,000 rows and one over 10,001: there must be no cliff.",
    measure_dashboards,
)
