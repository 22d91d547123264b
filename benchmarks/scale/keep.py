"""Where curves are kept: tables in docs/scale.md, each in its place, and figures in benchmarks/scale.json."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_run
from benchmarks.results import keep_table
from benchmarks.scale.curve import Curve, curve_figures, curve_table

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
FIGURES = Path(__file__).parents[1] / "scale.json"


def keep_curves(curves: Iterable[Curve], seconds: int, page: Path = PAGE, figures: Path = FIGURES) -> None:
    """Print curves as they come, and keep each."""
    for curve in curves:
        about = describe_run(f"python -m benchmarks scale --curves {curve.name} --seconds {seconds}")
        table = f"{curve_table(curve)}\n\n`{about['command']}` ({about['date']}, {_machine(about['machine'])})"
        print(table, end="\n\n", flush=True)
        keep_table(curve.name, table, curve.title, page)
        kept = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
        kept[curve.name] = dict(about) | curve_figures(curve)
        figures.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _machine(machine: Mapping[str, Any]) -> str:
    return f"{machine['processors']} processors with a load of {machine['load_average']}"
