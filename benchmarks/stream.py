"""The change stream: how fast a backlog is decoded, and how fast it is evicted, beside pg_recvlogical reading the same.

The services have made their slot and are stopped; a backlog is written; pg_recvlogical and our decoder read it from
copies of the slot; then the services are started and drain it, through Kafka into Redis. Nothing is collapsed: bulk
transactions are kept below the bound of `services/cdc/transactions.py`.
"""

import asyncio
import pstats
import resource
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from benchmarks.decoding import decode
from benchmarks.recvlogical import copied_slot, receive
from benchmarks.stream_latency import commit_to_evicted, produce_to_consume
from benchmarks.stream_services import (
    SERVICES,
    TABLE,
    RunningServices,
    Site,
    bucket_of,
    evicted_up_to,
    made_site,
    prepare,
    running_services,
    wait_for_confirmation,
    wait_for_stream,
)
from services.shared.lsn import Lsn
from tests.servers.processes import ServerError

BULK_ROWS = 4_000  # of one transaction: below the 5,000 from which on it is collapsed
_TABLE_ROWS = 100_000
_LATENCY_RATE = 1_000  # writes a second
_WARM_SECONDS = 2.0
_PROFILE_LINES = 25

BULK, SINGLE = "bulk", "single rows"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: Of each side; the median counts.
        changes: Row changes of a backlog of bulk transactions.
        transactions: Transactions of a backlog of single rows.
        latency_seconds: Length of one round of writes at a steady rate.
    """

    rounds: int
    changes: int
    transactions: int
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class Drained:
    """Medians for one kind of backlog.

    Attributes:
        kind: What its transactions are like.
        transactions: How many they are.
        changes: How many rows they changed.
        receive_rate: Row changes a second of pg_recvlogical.
        decode_rate: The same of our decoder.
        evict_rate: The same from the socket to evicted.
        peak_bytes: The most memory that each service had in any round.
    """

    kind: str
    transactions: int
    changes: int
    receive_rate: float
    decode_rate: float
    evict_rate: float
    peak_bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians of the rounds' percentiles, in seconds."""

    name: str
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class StreamResults:
    """Everything, and which share of the machine's processors something else had meanwhile."""

    others: float
    drained: list[Drained]
    latencies: list[Latency]
    latency_peak_bytes: dict[str, int]


def measure_stream(size: Size, profile: Path | None = None) -> StreamResults:
    """Measure.

    Args:
        size: How much.
        profile: Where one more drain of each kind leaves its profiles; none: none is made.
    """
    before = _processor_seconds()
    with made_site(_TABLE_ROWS) as site:
        prepare(site)
        drained = [_measure_kind(site, kind, size) for kind in (BULK, SINGLE)]
        with running_services(site) as services:
            latencies = _measure_latencies(site, services, size)
            peaks = {service: services.peak_bytes(service) for service in SERVICES}
        if profile is not None:
            for kind in (BULK, SINGLE):
                _profile(site, kind, size, profile)
    everybody, ours, available = (now - then for now, then in zip(_processor_seconds(), before, strict=True))
    return StreamResults((everybody - ours) / available, drained, latencies, peaks)


def _processor_seconds() -> tuple[float, float, float]:
    """Return what was used of the processors so far: by everybody, by us and what we started, and what there was."""
    times = psutil.cpu_times()
    idle = times.idle + times.iowait
    ours = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    everything = sum(times[:8])  # guests are counted in user and nice
    return everything - idle, ours, everything


def _measure_kind(site: Site, kind: str, size: Size) -> Drained:
    receiving, decoding, draining = [], [], []
    peaks = dict.fromkeys(SERVICES, 0)
    for _ in range(size.rounds):
        transactions, changes, end = _write_backlog(site, kind, size)
        with copied_slot(site.postgres, site.settings.slot) as copy:
            receiving.append(changes / receive(site.postgres, copy, site.settings.publication, end))
        with copied_slot(site.postgres, site.settings.slot) as copy:
            decoded = decode(site.postgres.url(), copy, site.settings.publication, end)
        _expect(decoded.rows, changes, "row changes decoded")
        decoding.append(changes / decoded.seconds)
        with running_services(site) as services:
            draining.append(changes / _drain(site, services, changes, end))
            peaks = {service: max(peaks[service], services.peak_bytes(service)) for service in SERVICES}
    received, read, drained = map(statistics.median, (receiving, decoding, draining))
    return Drained(kind, transactions, changes, received, read, drained, peaks)


def _write_backlog(site: Site, kind: str, size: Size) -> tuple[int, int, Lsn]:
    """Write a backlog; return how many transactions and changes it has, and where it ends."""
    rows = BULK_ROWS if kind == BULK else 1
    transactions = size.changes // BULK_ROWS if kind == BULK else size.transactions
    last_start = _TABLE_ROWS - rows
    site.postgres.execute(
        f"""
        DO $$ BEGIN
            FOR number IN 0 .. {transactions - 1} LOOP
                UPDATE {TABLE} SET price = price + 1
                WHERE id BETWEEN number * {rows} % {last_start} + 1 AND number * {rows} % {last_start} + {rows};
                COMMIT;
            END LOOP;
        END $$
        """
    )
    return transactions, transactions * rows, site.insert_lsn()


def _drain(site: Site, services: RunningServices, changes: int, end: Lsn) -> float:
    """Return the seconds from when the CDC service streams until the backlog is evicted."""
    wait_for_stream(site, services)
    began = time.perf_counter()

    async def evicted() -> float:
        async with bucket_of(site) as (bucket, _):
            await evicted_up_to(bucket, services, end)
            return time.perf_counter()

    seconds = asyncio.run(evicted()) - began
    _expect(services.counter("cdc", "changes"), changes, "row changes published")
    _expect(services.counter("cdc", "wide_changes"), 0, "changes collapsed")
    wait_for_confirmation(site, services, end)
    return seconds


def _expect(found: int, expected: int, what: str) -> None:
    if found != expected:
        raise ServerError(f"{found:,} {what}, and {expected:,} were expected")


def _measure_latencies(site: Site, services: RunningServices, size: Size) -> list[Latency]:
    ways = {"commit to evicted": commit_to_evicted, "bare round trip": produce_to_consume}
    found: dict[str, list[list[float]]] = {name: [] for name in ways}

    async def settled() -> None:
        async with bucket_of(site) as (bucket, _):
            await evicted_up_to(bucket, services, site.insert_lsn())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(settled())
        for way in ways.values():
            runner.run(way(site, _LATENCY_RATE, _WARM_SECONDS))
        for _ in range(size.rounds):
            for name, way in ways.items():
                delays = runner.run(way(site, _LATENCY_RATE, size.latency_seconds))
                found[name].append(statistics.quantiles(delays, n=100))
    return [
        Latency(name, *(statistics.median(quantiles[at] for quantiles in rounds) for at in (49, 98)))
        for name, rounds in found.items()
    ]


def _profile(site: Site, kind: str, size: Size, folder: Path) -> None:
    """Drain one more backlog under cProfile, and print where the time went."""
    folder.mkdir(parents=True, exist_ok=True)
    _, changes, end = _write_backlog(site, kind, size)
    with running_services(site, folder) as services:
        seconds = _drain(site, services, changes, end)
    for service in SERVICES:
        kept = (folder / f"{service}.prof").rename(folder / f"{service}-{kind.replace(' ', '-')}.prof")
        print(f"\n{service}, {kind}, {changes / seconds:,.0f} row changes a second under cProfile")
        pstats.Stats(str(kept)).sort_stats("tottime").print_stats(_PROFILE_LINES)
