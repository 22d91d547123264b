"""Measure: readers on Postgres, then on Tidegate, while the writer changes rows; then, in peace, compare everything.

Readers and writer are programs of their own (`demo.reader`, `demo.writer`), so that they share no event loop with the
supervisor or with each other. Orders go to their standard input (a URL holds a password), results come as JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from demo.audit import Read, Verdict, Version, digest_of, judge
from demo.queries import BY_NAME, QUERIES, Instance
from demo.reader import ReaderOrder, ReaderResult
from demo.shop import ShopSize
from demo.writer import WriterOrder
from services.standalone.http import fetch
from services.standalone.ready_file import Endpoints

_REPOSITORY = Path(__file__).parent.parent
_WARM_UP_SECONDS = 1.0
_LARGEST_RESULT = 256 * 1024 * 1024  # bytes of JSON from a reader
_SAMPLES_IDLE = 100
_SAMPLE_PAUSE_SECONDS = (0.005, 0.035)  # uneven, so that no rhythm of Tidegate's is met
_UNSEEN_SECONDS = 10.0  # after which a change is called lost
_COMPARED_PAGES = 250  # of each query, at the end
_COMPARING_CONNECTIONS = 4
_METRICS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Workload:
    """How the shop is used.

    Attributes:
        size: How big it is.
        seconds: How long visitors read, once from Postgres and once through Tidegate.
        connections: How many of them read at once.
        changes_per_second: How often the writer changes something.
        max_staleness_seconds: How old an answer may be.
        seed: Another seed, other visitors and changes.
    """

    size: ShopSize
    seconds: float
    connections: int
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
    """Every popular page read through Tidegate and from Postgres while nobody writes."""

    pages: int
    hits: int
    different: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that was measured. Latencies in microseconds by query, commit-to-seen in seconds."""

    direct: dict[str, list[int]]
    cached: dict[str, list[int]]
    counters: Counters
    changes: int
    direct_verdict: Verdict
    cached_verdict: Verdict
    seen_under_load: list[float]
    seen_idle: list[float]
    comparison: Comparison

    @property
    def wrong_answers(self) -> int:
        """How many answers were wrong, in motion or at rest."""
        return len(self.cached_verdict.wrong) + len(self.comparison.different)


async def measure(endpoints: Endpoints, load: Workload, on_step: Callable[[str], None]) -> Measurement:
    """Run the whole measurement on a stack that is ready.

    Args:
        endpoints: Where it is.
        load: How the shop is used.
        on_step: Called with the title of each step as it begins.

    Raises:
        RuntimeError: A reader or the writer failed, or a change was never seen.
    """
    async with _writer(endpoints.upstream_url, load) as writer:
        on_step("reading from Postgres, while rows change")
        direct = await _read(endpoints.upstream_url, load)
        on_step("reading through Tidegate, while rows change")
        before = await _counters(endpoints.metrics_url)
        samples = int(load.seconds * 5)
        cached, seen_under_load = await asyncio.gather(
            _read(endpoints.database_url, load), commit_to_seen(endpoints, load.size, samples)
        )
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
        RuntimeError: A change was not seen at all.
    """
    query = BY_NAME["stock"]
    product = size.products  # the least popular one, which nobody else reads or writes
    pauses = random.Random(samples)
    direct, proxied = await asyncpg.connect(endpoints.upstream_url), await asyncpg.connect(endpoints.database_url)
    delays = []
    try:
        for _ in range(samples):
            await asyncio.sleep(pauses.uniform(*_SAMPLE_PAUSE_SECONDS))
            quantity = (await proxied.fetchval(query.sql, product)) + 1
            await proxied.fetchval(query.sql, product)
            await direct.execute("UPDATE inventory SET quantity = $2 WHERE product_id = $1", product, quantity)
            committed = time.monotonic()
            while await proxied.fetchval(query.sql, product) != quantity:
                if time.monotonic() - committed > _UNSEEN_SECONDS:
                    raise RuntimeError(f"a change was not seen within {_UNSEEN_SECONDS:.0f} s of its commit")
            delays.append(time.monotonic() - committed)
    finally:
        await asyncio.gather(direct.close(), proxied.close())
    return delays


async def compare(endpoints: Endpoints, size: ShopSize) -> Comparison:
    """Read all popular pages through the proxy and from Postgres, while nobody writes: they must be equal."""
    pages = [
        Instance(query.name, number)
        for query in QUERIES
        for number in range(min(query.instances(size), _COMPARED_PAGES))
    ]
    before = await _counters(endpoints.metrics_url)
    waiting = iter(pages)
    different: list[str] = []

    async def work() -> None:
        direct, proxied = await asyncpg.connect(endpoints.upstream_url), await asyncpg.connect(endpoints.database_url)
        try:
            for page in waiting:
                query = BY_NAME[page.query]
                parameters = query.parameters(size, page.number)
                answers = [await connection.fetch(query.sql, *parameters) for connection in (proxied, proxied, direct)]
                if len({digest_of(rows) for rows in answers}) != 1:
                    different.append(str(page))
        finally:
            await asyncio.gather(direct.close(), proxied.close())

    await asyncio.gather(*(work() for _ in range(_COMPARING_CONNECTIONS)))
    hits = (await _counters(endpoints.metrics_url)).since(before).hits
    return Comparison(len(pages), hits, tuple(different))


async def _read(url: str, load: Workload) -> ReaderResult:
    order = ReaderOrder(url, asdict(load.size), load.connections, _WARM_UP_SECONDS, load.seconds, load.seed)
    async with _program("demo.reader", asdict(order)) as process:
        assert process.stdout is not None, "it was started with a pipe"
        result = json.loads(await process.stdout.readline() or "null")
    if result is None:
        raise RuntimeError("a reader failed; what it said is above")
    return ReaderResult(result["microseconds"], [Read(**read) for read in result["audited"]])


class _Writer:
    """The writer's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def finish(self) -> tuple[int, dict[str, list[Version]]]:
        """Let it stop. Returns the number of changes and the versions of every audited page."""
        assert self._process.stdin is not None, "it was started with pipes"
        assert self._process.stdout is not None, "it was started with pipes"
        self._process.stdin.close()
        result = json.loads(await self._process.stdout.readline() or "null")
        if result is None:
            raise RuntimeError("the writer failed; what it said is above")
        ledger = {page: [Version(**version) for version in versions] for page, versions in result["ledger"].items()}
        return int(result["changes"]), ledger


@asynccontextmanager
async def _writer(url: str, load: Workload) -> AsyncIterator[_Writer]:
    order = WriterOrder(url, asdict(load.size), load.changes_per_second, load.seed)
    async with _program("demo.writer", asdict(order)) as process:
        assert process.stdout is not None, "it was started with a pipe"
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the writer failed; what it said is above")
        yield _Writer(process)


@asynccontextmanager
async def _program(module: str, order: dict[str, object]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one of the demo's programs; it is ended when it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LARGEST_RESULT,
        cwd=_REPOSITORY,
        start_new_session=True,  # Ctrl-C at the terminal is for the demo alone
    )  # fmt: skip
    try:
        assert process.stdin is not None, "it was started with a pipe"
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdin.drain()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


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
