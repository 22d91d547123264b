"""Hits: point SELECTs on a hot set of 1,000 rows, by all sides; bare, and each in a transaction block of its own."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, PGBOUNCER, PGPOOL, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, running_peers
from benchmarks.pgbench import MODES, Load
from benchmarks.scenarios.accounts import HOT_READ, HOT_ROWS, READ, hot_reads, make_accounts

_CLIENTS = (1, 8, 32, 256)
_IN_BLOCKS = f"\\set id random(1, {HOT_ROWS})\nBEGIN;\n{READ}COMMIT;\n"
_PGPOOL_WARM_CLIENTS = 32  # more of them take it longer to be warm: each child asks the catalog about each table


def measure_hits(run: Run) -> Iterator[Case]:
    """Measure all four, by protocol and number of clients."""
    with running_peers(partial(make_accounts, rows=HOT_ROWS)) as peers:
        for protocol in MODES[:1] if run.quick else MODES:
            for clients in (8,) if run.quick else _CLIENTS:
                with peers.sides(protocol, clients) as urls:
                    load = Load(HOT_READ, protocol, clients, run.seconds)
                    yield _measure(peers, urls, run, load, "hits", _targets(protocol, clients))


def measure_blocks(run: Run) -> Iterator[Case]:
    """Measure reads in blocks of their own, as object mappers and JDBC send them."""
    with running_peers(partial(make_accounts, rows=HOT_ROWS)) as peers:
        for protocol in MODES[:1] if run.quick else MODES:
            with peers.sides(protocol, 8, pgpool=False) as urls:
                load = Load(_IN_BLOCKS, protocol, 8, run.seconds)
                yield _measure(peers, urls, run, load, "blocks", (Target(DIRECT, 1.0),))


def _measure(
    peers: Peers, urls: dict[str, str], run: Run, load: Load, scenario: str, targets: tuple[Target, ...]
) -> Case:
    peers.warm(load)
    if PGPOOL in urls:
        peers.rate(urls[PGPOOL], replace(load, seconds=1 + load.clients // _PGPOOL_WARM_CLIENTS))
    samples = interleaved(run.rounds, {side: partial(peers.rate, url, load) for side, url in urls.items()})
    return Case(
        scenario,
        f"{load.mode}, {load.clients} client{'s' * (load.clients > 1)}",
        "1/s",
        samples,
        targets,
        wrong_answers(urls[DIRECT], urls[TIDEGATE], hot_reads(), load.mode),
        facets={"protocol": load.mode, "clients": load.clients},
    )


def _targets(protocol: str, clients: int) -> tuple[Target, ...]:
    if clients == 1:
        return (Target(DIRECT, 1.0),)
    if clients not in (8, 32):
        return ()
    targets = [Target(PGBOUNCER, 3.0)]
    if protocol == "prepared":
        targets.append(Target(PGPOOL, 8.0))
    if clients == 32:
        targets.append(Target(DIRECT, 1.5))
    return tuple(targets)


HITS = Scenario(
    "hits",
    "Hits",
    "Point SELECTs by primary key on 1,000 hot rows, in transactions a second; pgbench beside them, with one thread.",
    measure_hits,
)
BLOCKS = Scenario(
    "blocks",
    "Hits in transaction blocks",
    "The same reads, each between BEGIN and COMMIT of its own, by 8 clients.",
    measure_blocks,
    in_suite=False,
)
