"""Measure: readers on Postgres, then on Tidegate, while the writer changes rows; then, in peace, compare everything.

Readers and writer are programs of their own, so that they share no event loop with the supervisor or with each other.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from demo.audit import Verdict, digest_of, judge
from demo.processor import CpuMeter
from demo.programs import ProgramError, Programs
from demo.queries import BY_NAME, QUERIES, Instance
from demo.reader import ReaderOrder, ReaderResult
from demo.shop import ShopSize
from demo.writer import WriterOrder
from services.standalone.http import fetch
from services.standalone.ready_file import Endpoints

_WARM_UP_SECONDS = 1.0
_SAMPLES_IDLE = 100
_SAMPLE_PAUSE_SECONDS = (0.005, 0.035)  # uneven, so that no rhythm of Tidegate's is met
_UNSEEN_SECONDS = 10.0  # after which a change is called lost
_COMPARED_TIMES = 3  # the first read fills, the second hits, the third hits as a page does that is read often
_COMPARED_PAGES = 200  # of each query, at the end
_METRICS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Workload:
    """How the shop is used.

    Attributes:
        size: How big it is.
        seconds: How long visitors read, once from Postgres and once through Tidegate.
        visitors: How many of them read at once.
        reads_per_second: How many pages they read, all together.
        changes_per_second: How often the writer changes something.
        max_staleness_seconds: How old an answer may be.
        seed: Another seed, other visitors and changes.
    """

    size: ShopSize
    seconds: float
    visitors: int
    reads_per_second: float
    changes_per_second: float
    max_staleness_seconds: float
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Counters:
    """What the proxies have counted since they started."""

    hits: int
    misses: int
    evicted: int

    def since(self, earlier: "Counters") -> "Counters":
        """Return what was counted since an earlier look."""
        return Counters(self.hits - earlier.hits, self.misses - earlier.misses, self.evicted - earlier.evicted)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every popular page read several times through Tidegate and from Postgres, while nobody writes.

    Attributes:
        pages: How many pages were read.
        hits: How many of those answers came from the cache.
        different: The pages whose answers were not all the same.
        hit_microseconds: The latency of the last read through Tidegate, by query: a hit's.
        direct_microseconds: The latency of the last read from Postgres, by query.
    """

    pages: int
    hits: int
    different: tuple[str, ...]
    hit_microseconds: dict[str, list[int]]
    direct_microseconds: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that was measured.

    Latencies are in microseconds by query, commit-to-seen in seconds, Postgres's work in cores that it kept busy.
    """

    direct: dict[str, list[int]]
    cached: dict[str, list[int]]
    counters: Counters
    changes: int
    direct_postgres_cores: float
    cached_postgres_cores: float
    direct_verdict: Verdict
    cached_verdict: Verdict
    seen_under_load: list[float]
    seen_idle: list[float]
    comparison: Comparison

    @property
    def wrong_answers(self) -> int:
        """How many answers were wrong, in motion or at rest."""
        return len(self.cached_verdict.wrong) + len(self.comparison.different)


async def measure(
    endpoints: Endpoints, postgres: int, load: Workload, programs: Programs, on_step: Callable[[str], None]
) -> Measurement:
    """Run the whole measurement on a stack that is ready.

    Args:
        endpoints: Where it is.
        postgres: Process id of its Postgres.
        load: How the shop is used.
        programs: Runs readers and writer.
        on_step: Called with the title of each step as it begins.

    Raises:
        ProgramError: A reader or the writer failed, or a change was never seen.
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError, FetchError: A part of the stack went away meanwhile.
    """
    order = WriterOrder(endpoints.upstream_url, asdict(load.size), load.changes_per_second, load.seed)
    async with programs.write(order) as writer:
        on_step("reading from Postgres, while rows change")
        direct_meter = CpuMeter(postgres)
        direct = await _read(programs, endpoints.upstream_url, load)
        direct_cores = direct_meter.cores()
        on_step("reading through Tidegate, while rows change")
        before = await _counters(endpoints.metrics_url)
        cached_meter = CpuMeter(postgres)
        samples = int(load.seconds * 5)
        cached, seen_under_load = await asyncio.gather(
            _read(programs, endpoints.database_url, load), commit_to_seen(endpoints, load.size, samples)
        )
        cached_cores = cached_meter.cores()
        counters = (await _counters(endpoints.metrics_url)).since(before)
        changes, ledger = await writer.finish()
    last_write = time.monotonic()
    on_step("measuring how soon a change is seen")
    seen_idle = await commit_to_seen(endpoints, load.size, _SAMPLES_IDLE)
    on_step("comparing cached pages with Postgres")
    await asyncio.sleep(max(last_write + load.max_staleness_seconds - time.monotonic(), 0))
    return Measurement(
        direct=direct.microseconds,
        cached=cached.microseconds,
        counters=counters,
        changes=changes,
        direct_postgres_cores=direct_cores,
        cached_postgres_cores=cached_cores,
        direct_verdict=judge(direct.audited, ledger, 0.0),
        cached_verdict=judge(cached.audited, ledger, load.max_staleness_seconds),
        seen_under_load=seen_under_load,
        seen_idle=seen_idle,
        comparison=await compare(endpoints, load.size),
    )


async def commit_to_seen(endpoints: Endpoints, size: ShopSize, samples: int) -> list[float]:
    """Measure from outside how soon a change is seen.

    A row that is cached is changed directly in Postgres; from the moment when the commit is acknowledged, it is read
    through the proxy again and again until the new value comes.

    Returns:
        Seconds from the acknowledgement to the end of the first read that shows the change.

    Raises:
        ProgramError: A change was not seen at all.
    """
    query = BY_NAME["stock"]
    product = size.products  # the least popular one, which nobody else reads or writes
    pauses = random.Random(samples)
    direct, proxied = await asyncpg.connect(endpoints.upstream_url), await asyncpg.connect(endpoints.database_url)
    delays = []

    async def seen() -> int:
        (row,) = await proxied.fetch(query.sql, product)
        return int(row["quantity"])

    try:
        for _ in range(samples):
            await asyncio.sleep(pauses.uniform(*_SAMPLE_PAUSE_SECONDS))
            quantity = await seen() + 1
            await seen()
            await direct.execute("UPDATE inventory SET quantity = $2 WHERE product_id = $1", product, quantity)
            committed = time.monotonic()
            while await seen() != quantity:
                if time.monotonic() - committed > _UNSEEN_SECONDS:
                    raise ProgramError(f"A change was not seen within {_UNSEEN_SECONDS:.0f} s of its commit.")
            delays.append(time.monotonic() - committed)
    finally:
        await asyncio.gather(direct.close(), proxied.close())
    return delays


async def compare(endpoints: Endpoints, size: ShopSize) -> Comparison:
    """Read all popular pages through the proxy and from Postgres, again and again, while nobody writes."""
    pages = [
        Instance(query.name, number)
        for query in QUERIES
        for number in range(min(query.instances(size), _COMPARED_PAGES))
    ]
    before = await _counters(endpoints.metrics_url)
    cached, of_hits = await _read_repeatedly(endpoints.database_url, size, pages)
    hits = (await _counters(endpoints.metrics_url)).since(before).hits
    direct, of_postgres = await _read_repeatedly(endpoints.upstream_url, size, pages)
    different = [str(page) for page, *answers in zip(pages, *cached, *direct, strict=True) if len(set(answers)) != 1]
    return Comparison(len(pages), hits, tuple(different), of_hits, of_postgres)


async def _read_repeatedly(
    url: str, size: ShopSize, pages: Sequence[Instance]
) -> tuple[list[list[str]], dict[str, list[int]]]:
    """Read pages one after the other, all of them several times over one connection.

    Returns:
        The digests of the answers, time by time, and the latencies of the last time in microseconds by query.
    """
    connection = await asyncpg.connect(url)
    rounds = []
    try:
        for _ in range(_COMPARED_TIMES):
            digests, microseconds = [], {query.name: list[int]() for query in QUERIES}
            for page in pages:
                query = BY_NAME[page.query]
                parameters = query.parameters(size, page.number)
                started = time.monotonic_ns()
                rows = await connection.fetch(query.sql, *parameters)
                microseconds[page.query].append((time.monotonic_ns() - started) // 1000)
                digests.append(digest_of(rows))
            rounds.append(digests)
    finally:
        await connection.close()
    return rounds, microseconds


async def _read(programs: Programs, url: str, load: Workload) -> ReaderResult:
    """Let all visitors read at once. Returns what they saw together."""
    pace = load.reads_per_second / load.visitors
    orders = [
        ReaderOrder(url, asdict(load.size), _WARM_UP_SECONDS, load.seconds, pace, load.seed * 100 + number)
        for number in range(load.visitors)
    ]
    visits = await asyncio.gather(*(programs.read(order) for order in orders))
    microseconds = {
        query.name: [latency for visit in visits for latency in visit.microseconds.get(query.name, [])]
        for query in QUERIES
    }
    return ReaderResult(microseconds, [read for visit in visits for read in visit.audited])


async def _counters(metrics_url: str) -> Counters:
    place = urlsplit(metrics_url)
    page = await fetch(place.hostname or "", place.port or 0, place.path, _METRICS_SECONDS)
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(page.body.decode()):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value

    def total(*names: str) -> int:
        return int(sum(totals.get(f"tidegate_proxy_{name}_total", 0.0) for name in names))

    return Counters(total("hits", "hits_l2", "hits_joined"), total("misses"), total("evicted"))
