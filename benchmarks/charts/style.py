"""How the charts look: the same colour for a side everywhere, on a white card that is read on light and dark pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.measurement import DIRECT, PGBOUNCER, PGPOOL, TIDEGATE

mpl.use("Agg")

COLOURS = {TIDEGATE: "#0f766e", DIRECT: "#475569", PGBOUNCER: "#d97706", PGPOOL: "#9f5fb5"}
LIGHTER = "#5eb5ab"  # Tidegate once more, in another set-up
_INK, _PALE = "#1f2937", "#d7dce3"
_LOOK: dict[Any, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _PALE,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#eceff3",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "svg.hashsalt": "tidegate",  # the same figures make the same file
    "svg.fonttype": "path",
}
_FORMATS: dict[str, dict[str, Any]] = {"svg": {"metadata": {"Date": None}}, "png": {"dpi": 144}}


@contextmanager
def chart(title: str, folder: Path, name: str, written: list[Path], **layout: Any) -> Iterator[list[Axes]]:
    """Give the axes of a chart, and write it in all formats.

    Args:
        title: Its heading.
        folder: Where the files go.
        name: Theirs, without an ending.
        written: Where their paths are noted.
        layout: What `pyplot.subplots` is told.
    """
    with mpl.rc_context(_LOOK):
        figure, axes = plt.subplots(squeeze=False, layout="constrained", **layout)
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        yield list(axes.flat)
        folder.mkdir(parents=True, exist_ok=True)
        for ending, options in _FORMATS.items():
            path = folder / f"{name}.{ending}"
            figure.savefig(path, bbox_inches="tight", pad_inches=0.25, **options)
            written.append(path)
        plt.close(figure)


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """Put one legend under all axes."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)


def colour(side: str) -> str:
    """Return the colour of a side; of Tidegate in another set-up, a lighter one."""
    return COLOURS.get(side, LIGHTER)
