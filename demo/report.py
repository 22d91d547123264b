"""What a person sees at the end: how fast, how fresh, how right."""

import math
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
    """Write a latency with two digits at least, and its unit."""
    if math.isnan(value):  # nothing was read
        return "–"
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if value >= size:
            return f"{value / size:.{0 if value >= 10 * size else 1}f} {unit}"
    return f"{value:.0f} µs"


def show(console: Console, load: Workload, measured: Measurement) -> None:
    """Print it all."""
    console.print()
    console.print(latency_table(load, measured))
    console.print(Panel(Group(freshness_table(load, measured), Text(), verdict_line(measured)), box=box.ROUNDED))


def latency_table(load: Workload, measured: Measurement) -> Table:
    """Return latencies query by query: of all reads while rows change, and of hits at rest."""
    table = Table(
        title=f"{load.visitors} visitors read {load.reads_per_second:,.0f} pages a second, while rows change",
        caption="cached: hits and misses together · at rest: nobody writes",
        box=box.HORIZONTALS,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        title_style="bold",
        show_edge=False,
    )
    table.add_column("page", no_wrap=True)
    for heading, style in (
        ("direct\np50", ""),
        ("\np99", "dim"),
        ("cached\np50", "bold"),
        ("\np99", "dim"),
        ("direct\nat rest", "dim"),
        ("\na hit", "bold green"),
        ("\nfaster", "bold green"),
    ):
        table.add_column(heading, justify="right", style=style, no_wrap=True)
    for query in QUERIES:
        busy = [
            percentile(latencies.get(query.name, []), share)
            for latencies in (measured.direct, measured.cached)
            for share in (0.5, 0.99)
        ]
        at_rest, hit = (
            percentile(latencies.get(query.name, []), 0.5)
            for latencies in (measured.comparison.direct_microseconds, measured.comparison.hit_microseconds)
        )
        faster = "–" if math.isnan(at_rest / hit) else f"{at_rest / hit:,.1f}×"
        table.add_row(query.title, *map(format_microseconds, (*busy, at_rest, hit)), faster)
    return table


def freshness_table(load: Workload, measured: Measurement) -> Table:
    """Return what is to be said of hits, evictions and freshness."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    counters, verdict = measured.counters, measured.cached_verdict
    asked = counters.hits + counters.misses
    table.add_row("hit ratio", f"[bold]{counters.hits / max(asked, 1):.1%}[/]  of {asked:,} cacheable reads")
    table.add_row("changes", f"{measured.changes:,} directly in Postgres, {counters.evicted:,} answers evicted")
    table.add_row(
        "Postgres at work",
        f"{measured.direct_postgres_cores:.2f} cores without Tidegate, "
        f"[bold]{measured.cached_postgres_cores:.2f}[/] behind it",
    )
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
