"""What a person sees at the end: how fast, how fresh, how right."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.measure import Measurement, Workload
from demo.queries import QUERIES


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; NaN of nothing.

    Args:
        values: In any order.
        share: From 0 to 1.
    """
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def format_microseconds(value: float) -> str:
    """Write a latency with three digits and its unit."""
    if value != value:  # NaN: nothing was read
        return "–"
    if value < 1000:
        return f"{value:.0f} µs"
    return f"{value / 1000:.3g} ms" if value < 1_000_000 else f"{value / 1_000_000:.3g} s"


def show(console: Console, load: Workload, measured: Measurement) -> None:
    """Print it all."""
    console.print()
    console.print(latency_table(load, measured))
    console.print(Panel(Group(freshness_table(load, measured), Text(), verdict_line(measured)), box=box.ROUNDED))


def latency_table(load: Workload, measured: Measurement) -> Table:
    """Return latencies query by query, direct and through Tidegate."""
    table = Table(
        title="The shop, read by visitors while rows change",
        caption=_throughput(load, measured),
        box=box.SIMPLE_HEAVY,
        title_style="bold",
        caption_style="",
        caption_justify="left",
    )
    table.add_column("page", no_wrap=True)
    table.add_column("Postgres p50", justify="right", no_wrap=True)
    table.add_column("p99", justify="right", style="dim", no_wrap=True)
    table.add_column("Tidegate p50", justify="right", style="bold green", no_wrap=True)
    table.add_column("p99", justify="right", style="dim", no_wrap=True)
    table.add_column("faster", justify="right", style="bold", no_wrap=True)
    for query in QUERIES:
        direct, cached = measured.direct.get(query.name, []), measured.cached.get(query.name, [])
        figures = [percentile(values, share) for values in (direct, cached) for share in (0.5, 0.99)]
        faster = f"{figures[0] / figures[2]:.1f}×" if direct and cached else "–"
        table.add_row(query.title, *map(format_microseconds, figures), faster)
    return table


def _throughput(load: Workload, measured: Measurement) -> str:
    direct, cached = (
        sum(len(values) for values in latencies.values()) / load.seconds
        for latencies in (measured.direct, measured.cached)
    )
    return (
        f"{load.connections} connections: {direct:,.0f} reads a second from Postgres, "
        f"{cached:,.0f} through Tidegate (hits and misses together)"
    )


def freshness_table(load: Workload, measured: Measurement) -> Table:
    """Return what is to be said of hits, evictions and freshness."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    counters, verdict = measured.counters, measured.cached_verdict
    asked = counters.hits + counters.misses
    table.add_row("hit ratio", f"[bold]{counters.hits / max(asked, 1):.1%}[/]  of {asked:,} cacheable reads")
    table.add_row("changes", f"{measured.changes:,} directly in Postgres, {counters.evicted:,} answers evicted")
    for name, delays in (("while busy", measured.seen_under_load), ("when idle", measured.seen_idle)):
        micros = [delay * 1e6 for delay in delays]
        p50, p99 = (format_microseconds(percentile(micros, share)) for share in (0.5, 0.99))
        table.add_row(f"commit → seen {name}", f"p50 [bold]{p50}[/]  p99 {p99}  ({len(delays)} changes)")
    table.add_row(
        "answers checked",
        f"{verdict.checked:,} in motion, each against every version that Postgres had; "
        f"{measured.comparison.pages:,} pages at rest ({measured.comparison.hits:,} hits)",
    )
    table.add_row(
        "stalest answer",
        f"{format_microseconds(verdict.stalest_seconds * 1e6)} old  (allowed: "
        f"{format_microseconds(load.max_staleness_seconds * 1e6)}); {verdict.stale:,} were out of date at all",
    )
    return table


def verdict_line(measured: Measurement) -> Text:
    """Return the line that matters most."""
    if measured.direct_verdict.wrong:  # Postgres itself cannot be wrong, so the check is
        return Text(
            f"the check is broken: {len(measured.direct_verdict.wrong)} of Postgres's own answers", style="bold red"
        )
    if measured.wrong_answers:
        examples = [read.page for read in measured.cached_verdict.wrong[:3]] + list(measured.comparison.different[:3])
        return Text(f"✗ wrong answers: {measured.wrong_answers}, such as {', '.join(examples)}", style="bold red")
    return Text("✓ wrong answers: 0", style="bold green")
