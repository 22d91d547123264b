"""The shop's reads, and the same in many spellings: more statements, and more answers than the cache has room for.

So it is in an application of many queries. And what it costs when the catalog changes meanwhile.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from threading import Event

import psycopg

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, at_level, run_sql, running_peers
from benchmarks.pgbench import Load
from benchmarks.scenarios.mix import checked_reads
from benchmarks.scenarios.mix_scripts import SHOP, mixes
from benchmarks.shop.schema import ShopSize, setup_statements
from benchmarks.shop.statements import Statement

_SIZE = ShopSize()
_CLIENTS = 8
_PROTOCOL = "prepared"
_SPELLINGS = 7  # of each read: pgbench takes 128 scripts
_WARM_SECONDS, _LEAD_IN_SECONDS = 40, 1
_OFF = f"{TIDEGATE}, off"
_FORWARDING = (Target(_OFF, 0.85), Target(PGBOUNCER, 0.85))  # nothing may be slower by more than 15 %


def measure_spellings(run: Run) -> Iterator[Case]:
    """Measure the reads in one spelling and in several, and these while a table beside is truncated each second."""
    with running_peers(_make_shop) as peers:
        for spellings, changing in ((_SPELLINGS, False),) if run.quick else ((1, False), (7, False), (7, True)):
            yield _measure(peers, run, spellings, changing=changing)


def spelt(text: str, spelling: int) -> str:
    """Return a read in another spelling: another template, the same answers."""
    return text.replace("WHERE ", "WHERE " + "true AND " * spelling, 1)


def _make_shop(url: str) -> None:
    run_sql(url, *setup_statements(_SIZE), "CREATE TABLE staging (id int PRIMARY KEY)", "VACUUM ANALYZE")


def _measure(peers: Peers, run: Run, spellings: int, *, changing: bool) -> Case:
    reads = {script: weight for script, weight in mixes(_SIZE)[SHOP].reads.items() if "WHERE " in script}
    scripts = {spelt(script, number): weight for script, weight in reads.items() for number in range(spellings)}
    load = Load(scripts, _PROTOCOL, _CLIENTS, run.seconds)
    urls = {DIRECT: peers.url(DIRECT), PGBOUNCER: peers.url(PGBOUNCER)}
    urls |= {_OFF: at_level(peers.url(TIDEGATE), "off"), TIDEGATE: peers.url(TIDEGATE)}
    peers.rate(urls[TIDEGATE], replace(load, seconds=1 if run.quick else _WARM_SECONDS))

    def led_in(url: str) -> float:
        peers.rate(url, replace(load, seconds=_LEAD_IN_SECONDS))
        return peers.rate(url, load)

    with _truncated_each_second(urls[DIRECT]) if changing else nullcontext():
        samples = interleaved(run.rounds, {side: partial(led_in, url) for side, url in urls.items()})
    wrong = wrong_answers(urls[DIRECT], urls[TIDEGATE], _checked(spellings), _PROTOCOL)
    name = f"{len(scripts)} statements" + (", a table truncated each second" if changing else "")
    facets: dict[str, str | float] = {"statements": len(scripts), "clients": _CLIENTS, "changing": str(changing)}
    return Case(SPELLINGS.name, name, "1/s", samples, _FORWARDING, wrong, facets=facets)


@contextmanager
def _truncated_each_second(url: str) -> Iterator[None]:
    """Change the catalog each second, as who fills a staging table does: nobody reads it."""
    over = Event()

    def truncate() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.wait(1.0):
                connection.execute("TRUNCATE staging")

    with ThreadPoolExecutor(1) as beside:
        truncating = beside.submit(truncate)
        try:
            yield
        finally:
            over.set()
        truncating.result()  # what failed would have changed nothing


def _checked(spellings: int) -> Iterator[Statement]:
    chance = random.Random(spellings)
    for read in checked_reads(chance):
        yield replace(read, text=spelt(read.text, chance.randrange(spellings)))


SPELLINGS = Scenario(
    "spellings",
    "Many statements",
    f"Reads a second of {_CLIENTS} clients, prepared: the kinds of reads of the shop that have a condition, ids by "
    f"Zipf's law (exponent 1.05); the same in {_SPELLINGS} spellings, which makes as many statements, with answers of "
    "their own, more than there is room for. Then a table that nobody reads is truncated each second, which changes "
    "the catalog. *Tidegate, off* forwards everything.",
    measure_spellings,
)
