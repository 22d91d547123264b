"""A measured curve: figures at several sizes, how fast each grows, and how that looks as a table and as JSON. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.case_tables import figure

_LEAST = 1e-9  # a figure of 0 has no logarithm


@dataclass(frozen=True, slots=True)
class Curve:
    """One measurement at several sizes.

    Attributes:
        name: As on the command line.
        title: Its heading.
        said: What was measured and how.
        axis: What grows.
        sizes: How large it was, ascending.
        figures: At each size, by heading with unit.
        remarks: What is to be said about the result.
    """

    name: str
    title: str
    said: str
    axis: str
    sizes: Sequence[float]
    figures: Mapping[str, Sequence[float]]
    remarks: Sequence[str] = field(default_factory=tuple)

    def exponent(self, heading: str) -> float:
        """Return how a figure grows between the two largest sizes: 0 not at all, 1 as they do, 2 as their square."""
        sizes, figures = self.sizes, [max(value, _LEAST) for value in self.figures[heading]]
        return math.log(figures[-1] / figures[-2]) / math.log(sizes[-1] / sizes[-2])


def curve_table(curve: Curve) -> str:
    """Return a curve as Markdown: a line for each size, and one for how it grows at the end."""
    headings = [curve.axis, *curve.figures]
    lines = [_row(headings), "|" + "---|" * len(headings)]
    for number, size in enumerate(curve.sizes):
        lines.append(_row([f"{size:,.0f}", *(figure(values[number]) for values in curve.figures.values())]))
    if len(curve.sizes) > 1 and curve.sizes[-2] > 0:
        growth = [f"n^{curve.exponent(heading):.1f}".replace("n^-0.0", "n^0.0") for heading in curve.figures]
        lines.append(_row(["*growth, last two*", *growth]))
    return "\n".join([curve.said, "", *lines, *(f"\n{remark}" for remark in curve.remarks)])


def curve_figures(curve: Curve) -> dict[str, Any]:
    """Return a curve for programs."""
    return {
        "name": curve.name,
        "title": curve.title,
        "axis": curve.axis,
        "sizes": list(curve.sizes),
        "figures": {heading: list(values) for heading, values in curve.figures.items()},
        "remarks": list(curve.remarks),
    }


def gathered(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return figures by heading from those of each size."""
    return {heading: [row[heading] for row in rows] for heading in rows[0]}


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
