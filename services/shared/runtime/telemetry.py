"""What a process tells about itself: `/metrics` for Prometheus, `/healthz` (alive) and `/readyz` (doing its work).

Nothing here is called on a hot path. A service counts in plain `int` attributes of objects of its own and registers the
objects once; they are read when somebody scrapes.

    class HitCounts:                                   telemetry.counts("proxy", counts, {"hits": "Answers from L1."})
        def __init__(self) -> None:                    -> tidegate_proxy_hits_total{process="proxy-0",cache="shop"}
            self.hits = 0
"""

import asyncio
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CollectorRegistry, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from services.shared.runtime.addresses import split_address
from services.shared.runtime.http_pages import Handler, Page, serve_pages

NAMESPACE = "tidegate"

LATENCY_SECONDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
"""Bounds of buckets for latencies, from a hit in memory to a time-out."""

HealthCheck = Callable[[], str | None]
"""Returns None when all is well, else what is wrong."""

_Sample = tuple[str, dict[str, str], float]  # suffix of the name, labels, value


class Histogram:
    """Counts of observations by size. Cheap: one bisection, two additions, no lock (one loop observes)."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = LATENCY_SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation, in the unit of the bounds."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def samples(self, labels: dict[str, str]) -> Iterator[_Sample]:
        """Yield it as Prometheus wants it: cumulative buckets, count, sum."""
        cumulative = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            cumulative += count
            yield "_bucket", labels | {"le": "+Inf" if bound == float("inf") else repr(float(bound))}, cumulative
        yield "_count", labels, cumulative
        yield "_sum", labels, self.total


@dataclass(frozen=True, slots=True)
class _Series:
    """One metric of one cache; `read` is called at a scrape."""

    name: str
    kind: str
    description: str
    read: Callable[[], Iterable[_Sample]]


class Telemetry:
    """The metrics and health checks of one process; `for_cache` gives the same with a cache's label.

    Attributes:
        process: Name of the process, a label of every metric.
        cache: Name of the cache, a label of every metric; empty for what belongs to the process.
        registry: What is scraped.
    """

    def __init__(self, process: str) -> None:
        self.process = process
        self.cache = ""
        self.registry = CollectorRegistry(auto_describe=False)
        self._collector = _SeriesCollector()
        self._health: dict[str, HealthCheck] = {}
        self._readiness: dict[str, HealthCheck] = {}
        self._pages: dict[str, Handler] = {}
        self.registry.register(self._collector)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def for_cache(self, cache: str) -> "Telemetry":
        """Return a view whose metrics and checks carry the cache's name; registry and endpoint are shared."""
        view = object.__new__(Telemetry)
        view.__dict__.update(self.__dict__)
        view.cache = cache
        return view

    def counts(self, subsystem: str, source: object, descriptions: Mapping[str, str]) -> None:
        """Register attributes that only grow: `tidegate_<subsystem>_<attribute>_total`.

        Args:
            subsystem: First part of the name: `proxy`, `cdc`, …
            source: The object; the attributes are `int` and read at a scrape.
            descriptions: Attribute to what it counts.
        """
        for attribute, description in descriptions.items():

            def read(attribute: str = attribute) -> float:
                return float(getattr(source, attribute))

            self._add(f"{subsystem}_{attribute}", "counter", description, self._one("_total", read))

    def counts_by(
        self, subsystem: str, name: str, label: str, description: str, read: Callable[[], Mapping[str, int]]
    ) -> None:
        """Register a counter with one more label: `tidegate_<subsystem>_<name>_total{<label>="…"}`.

        Args:
            subsystem: First part of the name.
            name: Second part.
            label: Name of the label, such as `reason`.
            description: What it counts.
            read: Returns the counts by the label's value.
        """
        labels = self._labels()

        def samples() -> Iterable[_Sample]:
            return [("_total", labels | {label: value}, float(count)) for value, count in list(read().items())]

        self._add(f"{subsystem}_{name}", "counter", description, samples)

    def gauge(self, subsystem: str, name: str, description: str, read: Callable[[], float | None]) -> None:
        """Register a value that goes up and down; None is left out of the scrape (it is not known)."""
        self._add(f"{subsystem}_{name}", "gauge", description, self._one("", read))

    def histogram(
        self, subsystem: str, name: str, description: str, bounds: Sequence[float] = LATENCY_SECONDS
    ) -> Histogram:
        """Register a histogram and return it; whoever owns it observes."""
        histogram, labels = Histogram(bounds), self._labels()
        self._add(f"{subsystem}_{name}", "histogram", description, lambda: histogram.samples(labels))
        return histogram

    def health_check(self, name: str, check: HealthCheck) -> None:
        """Add a check to `/healthz`: a process that fails it should be started again."""
        self._health[self._qualified(name)] = check

    def readiness_check(self, name: str, check: HealthCheck) -> None:
        """Add a check to `/readyz`: a process that fails it should get no work yet."""
        self._readiness[self._qualified(name)] = check

    def page(self, path: str, text: Callable[[], str]) -> None:
        """Serve a text for people, too; the caches of a process follow one another on it, each under its name."""
        before, heading = self._pages.get(path), f"# {self.cache}\n" if self.cache else ""

        def show() -> Page:
            body = before().body if before is not None else b""
            return Page(HTTPStatus.OK, body + f"{heading}{text()}".encode())

        self._pages[path] = show

    async def serve(self, listen: str) -> tuple[asyncio.Server, int]:
        """Answer on an address `HOST:PORT`; return the server, which the caller closes, and its port.

        Raises:
            OSError: The port is taken, or the host is none of ours.
        """
        host, port = split_address(listen)
        self._pages["/metrics"] = lambda: Page(HTTPStatus.OK, generate_latest(self.registry), CONTENT_TYPE_LATEST)
        self._pages["/healthz"] = lambda: _verdict(self._health)
        self._pages["/readyz"] = lambda: _verdict(self._health | self._readiness)
        server = await serve_pages(host, port, self._pages)
        return server, server.sockets[0].getsockname()[1]

    def _labels(self) -> dict[str, str]:
        return {"process": self.process, "cache": self.cache}

    def _qualified(self, name: str) -> str:
        return f"{self.cache}/{name}" if self.cache else name

    def _one(self, suffix: str, read: Callable[[], float | None]) -> Callable[[], Iterable[_Sample]]:
        labels = self._labels()

        def samples() -> Iterable[_Sample]:
            value = read()
            return [] if value is None else [(suffix, labels, value)]

        return samples

    def _add(self, name: str, kind: str, description: str, read: Callable[[], Iterable[_Sample]]) -> None:
        self._collector.series.append(_Series(f"{NAMESPACE}_{name}", kind, description, read))


class _SeriesCollector(Collector):
    """Reads all series at a scrape; those of one name (one per cache) become one metric."""

    def __init__(self) -> None:
        self.series: list[_Series] = []

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics in the order in which they were registered."""
        metrics: dict[str, Metric] = {}
        for series in self.series:
            metric = metrics.setdefault(series.name, Metric(series.name, series.description, series.kind))
            for suffix, labels, value in series.read():
                metric.add_sample(series.name + suffix, labels, value)
        return metrics.values()


def _verdict(checks: Mapping[str, HealthCheck]) -> Page:
    wrong = {name: reason for name, check in checks.items() if (reason := check()) is not None}
    body = {"status": "failing" if wrong else "ok", "wrong": wrong}
    status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
    return Page(status, json.dumps(body).encode() + b"\n", "application/json")
