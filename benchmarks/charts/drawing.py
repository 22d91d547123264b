"""The charts of docs/charts, each from the figures of one scenario; one that was not run has none."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.case_tables import figure
from benchmarks.charts.figures import Figures, cases_of, facets_of, points, sides_of
from benchmarks.charts.style import COLOURS, chart, colour, legend_below
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE

FOLDER = Path(__file__).parents[2] / "docs" / "charts"
_STYLES = {"Tidegate, bounded": "--", "Tidegate, off": ":"}


def draw_charts(path: Path, folder: Path = FOLDER) -> list[Path]:
    """Draw what the figures of a run allow, and return the files."""
    figures: Figures = json.loads(path.read_text(encoding="utf-8"))
    written: list[Path] = []
    for scenario, draw in _CHARTS.items():
        if cases_of(figures, scenario):
            draw(figures, folder, written)
    return written


def _hits(figures: Figures, folder: Path, written: list[Path]) -> None:
    protocols = facets_of(figures, "hits", "protocol")
    title = "Hits: point SELECTs a second, in thousands"
    with chart(title, folder, "hits", written, ncols=len(protocols), figsize=(11, 3.9), sharey=True) as all_axes:
        for axes, protocol in zip(all_axes, protocols, strict=True):
            cases = cases_of(figures, "hits", protocol=protocol)
            groups = [f"{case['facets']['clients']:g}" for case in cases]
            sides = sides_of(cases)
            _bars(axes, groups, {side: [case["medians"].get(side, 0) / 1000 for case in cases] for side in sides})
            axes.set_title(protocol)
            axes.set_xlabel("clients")
        legend_below(_figure(all_axes), all_axes[0], 4)


def _mix(figures: Figures, folder: Path, written: list[Path], scenario: str = "mix", where: str = "") -> None:
    mixes = facets_of(figures, scenario, "mix")
    title = f"Reads and writes of the same rows{where}: throughput as a multiple of Postgres direct"
    with chart(title, folder, scenario, written, ncols=len(mixes), figsize=(11, 3.9)) as all_axes:
        for axes, mix in zip(all_axes, mixes, strict=True):
            cases = cases_of(figures, scenario, mix=mix)
            places = {case["facets"]["writes_percent"]: place for place, case in enumerate(cases)}
            direct = dict(points(cases, "writes_percent", DIRECT))
            for side in sides_of(cases):
                found = dict(points(cases, "writes_percent", side))
                ratios = [found[percent] / direct[percent] for percent in places]
                style = _STYLES.get(side, "-")
                axes.plot(list(places.values()), ratios, style, marker="o", color=colour(side), label=side, lw=2)
            axes.set_xticks(list(places.values()), [f"{percent:g} %" for percent in places])
            axes.set_yscale("log")
            _plain_numbers(axes, "×")
            axes.set_title(mix)
            axes.set_xlabel("share of writes")
        legend_below(_figure(all_axes), all_axes[0], 6)


def _misses(figures: Figures, folder: Path, written: list[Path]) -> None:
    counts = facets_of(figures, "misses", "clients")
    title = "What is not cached: mean milliseconds of a point SELECT"
    with chart(title, folder, "misses", written, ncols=len(counts), figsize=(11, 3.6)) as all_axes:
        for axes, clients in zip(all_axes, counts, strict=True):
            forwarded = cases_of(figures, "misses", clients=clients, kind="forwarded")
            missed = cases_of(figures, "misses", clients=clients, kind="missed")
            bars = {side: [case["medians"][side] for case in forwarded] for side in (DIRECT, PGBOUNCER)}
            bars["Tidegate, forwarded"] = [case["medians"][TIDEGATE] for case in forwarded]
            bars["Tidegate, missed"] = [case["medians"][TIDEGATE] for case in missed]
            shades = [COLOURS[DIRECT], COLOURS[PGBOUNCER], "#5eb5ab", COLOURS[TIDEGATE]]
            _bars(axes, [case["facets"]["protocol"] for case in forwarded], bars, shades)
            axes.set_title(f"{clients:g} client{'s' * (clients > 1)}")
        legend_below(_figure(all_axes), all_axes[0], 4)


def _dashboards(figures: Figures, folder: Path, written: list[Path]) -> None:
    cases = cases_of(figures, "dashboards", protocol="prepared") or cases_of(figures, "dashboards")
    cases = [case for case in cases if "statement" in case["facets"]]
    title = "Dashboards, 8 clients: answers a second"
    with chart(title, folder, "dashboards", written, figsize=(11, 3.9)) as (axes,):
        sides = sides_of(cases)
        groups = [str(case["facets"]["statement"]) for case in cases]
        _bars(axes, groups, {side: [case["medians"].get(side, 0) for case in cases] for side in sides})
        axes.set_yscale("log")
        _plain_numbers(axes, "")
        legend_below(_figure([axes]), axes, 4)


def _warm_up(figures: Figures, folder: Path, written: list[Path]) -> None:
    cases = [case for case in cases_of(figures, "warm-up") if "end" in case["facets"]]
    title = "From an empty cache on: reads a second, in thousands"
    with chart(title, folder, "warm-up", written, figsize=(11, 3.6)) as (axes,):
        for side in sides_of(cases):
            found = [(case["facets"]["begin"] + case["facets"]["end"], case["medians"][side]) for case in cases]
            style = "--" if side not in COLOURS else "-"
            seconds, rates = [twice / 2 for twice, _ in found], [rate / 1000 for _, rate in found]
            axes.plot(seconds, rates, style, color=colour(side), label=side, lw=2)
        axes.set_xlabel("seconds since the first read")
        axes.set_ylim(bottom=0)
        legend_below(_figure([axes]), axes, 4)


def _distances(figures: Figures, folder: Path, written: list[Path]) -> None:
    counts = facets_of(figures, "distances", "clients")
    title = "Postgres further away: mean milliseconds of a point SELECT on a hot set"
    with chart(title, folder, "distances", written, ncols=len(counts), figsize=(11, 3.6), sharey=True) as all_axes:
        for axes, clients in zip(all_axes, counts, strict=True):
            cases = cases_of(figures, "distances", clients=clients)
            names = [f"{case['facets']['distance_ms']:g} ms" for case in cases]
            for side in (DIRECT, PGBOUNCER, TIDEGATE):
                found = [case["medians"][side] for case in cases]
                axes.plot(names, found, marker="o", color=colour(side), label=side, lw=2)
            axes.set_yscale("log")
            _plain_numbers(axes, "")
            axes.set_title(f"{clients:g} client{'s' * (clients > 1)}")
            axes.set_xlabel("there and back")
        legend_below(_figure(all_axes), all_axes[0], 3)


def _bars(axes: Axes, groups: Sequence[str], bars: dict[str, list[float]], shades: Sequence[str] | None = None) -> None:
    """Draw groups of bars, one for each side, with a number on each of the last side's."""
    width = 0.8 / len(bars)
    for number, (side, heights) in enumerate(bars.items()):
        places = [group + (number - (len(bars) - 1) / 2) * width for group in range(len(groups))]
        shade = shades[number] if shades else colour(side)
        drawn = axes.bar(places, heights, width * 0.92, color=shade, label=side)
        if number == len(bars) - 1:
            axes.bar_label(drawn, labels=[figure(height) for height in heights], fontsize=8, padding=2)
    axes.set_xticks(range(len(groups)), list(groups))


def _plain_numbers(axes: Axes, unit: str) -> None:
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}{unit}")


def _figure(all_axes: Sequence[Axes]) -> Figure:
    figure = all_axes[0].get_figure()
    assert isinstance(figure, Figure)
    return figure


_CHARTS: dict[str, Callable[[Figures, Path, list[Path]], None]] = {
    "hits": _hits,
    "mix": _mix,
    "mix-away": partial(_mix, scenario="mix-away", where=", Postgres a millisecond away"),
    "misses": _misses,
    "dashboards": _dashboards,
    "warm-up": _warm_up,
    "distances": _distances,
}
