"""All curves, one after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from benchmarks.scale.clients import clients_curve
from benchmarks.scale.curve import Curve
from benchmarks.scale.entries import entries_curve, full_curve, recent_curve
from benchmarks.scale.relations import relations_curve
from benchmarks.scale.statements import shapes_curve, templates_curve
from benchmarks.scale.tags import tags_curve
from benchmarks.scale.writes import writes_curve

_ENTRIES = (1_000, 10_000, 100_000, 1_000_000)


def curves(seconds: int) -> Mapping[str, Callable[[], Curve]]:
    """Return what measures each curve, by its name.

    Args:
        seconds: Of a load, at each size.
    """
    return {
        "entries": partial(entries_curve, _ENTRIES),
        "full": partial(full_curve, _ENTRIES),
        "recent": partial(recent_curve, _ENTRIES),
        "templates": partial(templates_curve, (10, 100, 1_000, 10_000)),
        "shapes": partial(shapes_curve, (1, 8, 64)),
        "tags": partial(tags_curve, (1, 10, 100, 1_000)),
        "clients": partial(clients_curve, (1, 10, 100, 1_000), seconds),
        "relations": partial(relations_curve, (10, 100, 1_000)),
        "writes": partial(writes_curve, (0, 100, 1_000, 2_500, 5_000), seconds),
    }


def measure_scale(seconds: int, chosen: Sequence[str] = ()) -> Iterator[Curve]:
    """Measure curves by name; none named: all."""
    for name, measure in curves(seconds).items():
        if not chosen or name in chosen:
            yield measure()
