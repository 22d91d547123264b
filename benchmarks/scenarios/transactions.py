"""pgbench's own transaction, like TPC-B: a block of five statements that reads one row, changes three and adds one."""

import random
from collections.abc import Iterator
from functools import partial

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, at_level, running_peers
from benchmarks.pgbench import Load, initialise
from benchmarks.shop.statements import Statement, statement

_SCALE = 10
_ACCOUNTS = 100_000 * _SCALE
_SCRIPT = f"""\\set aid random(1, {_ACCOUNTS})
\\set bid random(1, {_SCALE})
\\set tid random(1, {10 * _SCALE})
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
"""
_PROTOCOLS, _CLIENTS = ("simple", "prepared"), (1, 8)
_OFF = f"{TIDEGATE}, off"
_CHECKED_READS = 300
_TARGETS = (Target(_OFF, 0.85),)


def measure_transactions(run: Run) -> Iterator[Case]:
    """Measure each protocol with one client and with eight."""
    with running_peers(lambda url: None) as peers:
        initialise(peers.program, peers.server.url(), _SCALE)
        for protocol in _PROTOCOLS[1:] if run.quick else _PROTOCOLS:
            for clients in _CLIENTS[1:] if run.quick else _CLIENTS:
                yield _measure(peers, run, protocol, clients)


def _measure(peers: Peers, run: Run, protocol: str, clients: int) -> Case:
    load = Load({_SCRIPT: 1}, protocol, clients, run.seconds)
    urls = {DIRECT: peers.url(DIRECT), PGBOUNCER: peers.url(PGBOUNCER)}
    urls |= {_OFF: at_level(peers.url(TIDEGATE), "off"), TIDEGATE: peers.url(TIDEGATE)}
    samples = interleaved(run.rounds, {side: partial(peers.rate, url, load) for side, url in urls.items()})
    wrong = wrong_answers(urls[DIRECT], urls[TIDEGATE], _reads(), protocol)
    facets: dict[str, str | float] = {"protocol": protocol, "clients": clients}
    return Case(TRANSACTIONS.name, f"{protocol}, {clients}", "1/s", samples, _TARGETS, wrong, facets=facets)


def _reads() -> Iterator[Statement]:
    """Yield reads of what the transactions change."""
    chooser = random.Random(1)
    yield statement("SELECT sum(bbalance) FROM pgbench_branches WHERE bid > $1", 0)
    yield statement("SELECT sum(delta) FROM pgbench_history WHERE bid > $1", 0)
    for _ in range(_CHECKED_READS):
        yield statement("SELECT tbalance FROM pgbench_tellers WHERE tid = $1", chooser.randint(1, 10 * _SCALE))
        yield statement("SELECT abalance FROM pgbench_accounts WHERE aid = $1", chooser.randint(1, _ACCOUNTS))


TRANSACTIONS = Scenario(
    "transactions",
    "Transaction blocks that write",
    "Transactions a second of pgbench's own script, like TPC-B: BEGIN, a read, three updates, an insert, END, each a "
    "round trip; scale 10. Nothing of that can be cached: it is the price of a proxy, and of the change stream, which "
    "reads four rows of each transaction on all sides. *Tidegate, off* forwards everything.",
    measure_transactions,
)
