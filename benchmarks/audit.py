"""What the auditor costs: hits on a hot set through proxies that differ in `audit_rate` alone.

They are proxies of one stack, so cache, database and watermarks are the same, and each has one worker. What counts is
the processor time that the worker takes for a read: a machine that others use as well disturbs it less than a rate.
Rounds are short and interleaved, in an order that turns; the ratios are those within a round. At the default rate that
is below what can be told apart. So a rate a hundred times as high is measured too, and what one sample costs is worked
out from that: the auditor's cost is so much a second, however many hits there are.
"""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import pgbench_program
from benchmarks.pgbench import Load, transactions_a_second
from benchmarks.scenarios.accounts import HOT_READ, HOT_ROWS, make_accounts
from tests.chaos.service import Service
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError, free_port
from tests.servers.stack import RunningStack, running_stack

RATES = (0.0, 1.0, 100.0)
MODES = ("simple", "prepared")
_WARM_SECONDS = 2
_CPU, _HITS = "process_cpu_seconds_total", "tidegate_proxy_hits_total"
_SAMPLES = "tidegate_audit_samples_total"


class Round(NamedTuple):
    """What one proxy did in one round."""

    cpu: float  # seconds
    hits: float
    samples: float

    @property
    def for_a_read(self) -> float:
        """Seconds of processor time for a hit, and all that was done besides."""
        return self.cpu / self.hits


@dataclass(frozen=True, slots=True)
class AuditCost:
    """Of one mode and rate.

    Attributes:
        mode: pgbench's.
        rate: Samples a second that were asked for.
        microseconds: Median of the worker's processor time for a read.
        ratio: Median of the ratios to that without an auditor.
        spread: From the lower to the upper quartile of these.
        samples: Taken in a second, in truth.
        sample_microseconds: Median of the processor time that a sample took more than a hit; of the highest rate only.
        worker_share: Of the time, that the auditor itself spent in the worker.
        violations: Found; there are none.
    """

    mode: str
    rate: float
    microseconds: float
    ratio: float
    spread: tuple[float, float]
    samples: float
    sample_microseconds: float | None
    worker_share: float
    violations: float


def measure_audit(clients: int, rounds: int, seconds: int) -> list[AuditCost]:
    """Measure all rates, interleaved, in every mode.

    Args:
        clients: How many at once.
        rounds: Of each rate.
        seconds: Length of one.
    """
    results: list[AuditCost] = []
    with PostgresServer(shared_buffers="256MB", max_connections=400) as server, tempfile.TemporaryDirectory() as folder:
        program = pgbench_program(server)
        make_accounts(server.url(), HOT_ROWS)
        with (
            running_stack(server.url(), "--workers", "1", environ={"TIDEGATE_TLS": "off"}) as stack,
            _proxies(server, stack, Path(folder)) as proxies,
        ):
            for mode in MODES:
                load = Load(HOT_READ, mode, clients, seconds)
                results += _measure(program, server, proxies, load, rounds, Path(folder))
    return results


@contextmanager
def _proxies(server: PostgresServer, stack: RunningStack, folder: Path) -> Iterator[dict[float, tuple[Service, int]]]:
    """Start a proxy for each rate; each with its port."""
    ports = {rate: free_port() for rate in RATES}
    shared = {"database_url": server.url(), "redis_url": stack.redis_url, "tls": "off", "keep": "true"}
    proxies = {
        rate: Service(
            f"proxy-{rate:g}",
            "proxy",
            shared | {"listen": f"127.0.0.1:{port}", "audit_rate": f"{rate:g}", "workers": "1"},
            folder,
        )
        for rate, port in ports.items()
    }
    try:
        for proxy in proxies.values():
            proxy.start().wait_ready()
        yield {rate: (proxy, ports[rate]) for rate, proxy in proxies.items()}
    finally:
        for proxy in proxies.values():
            proxy.destroy()


def _measure(
    program: Path,
    server: PostgresServer,
    proxies: dict[float, tuple[Service, int]],
    load: Load,
    rounds: int,
    folder: Path,
) -> list[AuditCost]:
    urls = {rate: server.url().replace(f":{server.port}/", f":{port}/") for rate, (_, port) in proxies.items()}
    for url in urls.values():
        transactions_a_second(program, url, replace(load, seconds=_WARM_SECONDS), folder)
    before = {rate: _counted(proxy) for rate, (proxy, _) in proxies.items()}
    found: list[dict[float, Round]] = []
    for number in range(rounds):
        found.append({})
        for rate in _turned(RATES, number):
            began = _counted(proxies[rate][0])
            transactions_a_second(program, urls[rate], load, folder)
            ended = _counted(proxies[rate][0])
            found[-1][rate] = Round(*(ended[name] - began[name] for name in (_CPU, _HITS, _SAMPLES)))
    after = {rate: _counted(proxy) for rate, (proxy, _) in proxies.items()}
    return [_cost(rate, load, found, before[rate], after[rate]) for rate in RATES]


def _counted(proxy: Service) -> dict[str, float]:
    found = proxy.metrics()
    if found is None:
        raise ServerError("the proxy does not tell its metrics")
    return found


def _turned(rates: Sequence[float], by: int) -> tuple[float, ...]:
    by %= len(rates)
    return (*rates[by:], *rates[:by])


def _cost(
    rate: float, load: Load, found: list[dict[float, Round]], before: dict[str, float], after: dict[str, float]
) -> AuditCost:
    ratios = [one[rate].for_a_read / one[0.0].for_a_read for one in found]
    more = [
        (one[rate].cpu - one[0.0].for_a_read * one[rate].hits) / one[rate].samples for one in found if one[rate].samples
    ]
    low, _, high = statistics.quantiles(ratios, n=4)
    played = load.seconds * len(found)

    def grown(name: str) -> float:
        return after[f"tidegate_audit_{name}_total"] - before[f"tidegate_audit_{name}_total"]

    return AuditCost(
        load.mode,
        rate,
        statistics.median(one[rate].for_a_read for one in found) * 1e6,
        statistics.median(ratios),
        (low, high),
        grown("samples") / played,
        statistics.median(more) * 1e6 if rate == max(RATES) else None,
        grown("seconds") / played,
        grown("violations"),
    )
