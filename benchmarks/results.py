"""Where results are kept: tables in benchmarks/RESULTS.md, figures in benchmarks/results.json.

A section that was run again replaces what it was; the others stay, each with the command, the machine and the date of
its own run.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measurement import Case

TABLES = Path(__file__).with_name("RESULTS.md")
FIGURES = Path(__file__).with_name("results.json")


def keep_table(section: str, table: str, title: str | None = None, path: Path = TABLES) -> None:
    """Put a table in its place."""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    block = f"{begin}\n{table}\n{end}"
    if begin in text:
        text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, text, flags=re.DOTALL)
    else:
        text = f"{text}\n## {title or section.capitalize()}\n\n{block}\n"
    path.write_text(text, encoding="utf-8")


def keep_cases(section: str, about: Mapping[str, Any], cases: Sequence[Case], path: Path = FIGURES) -> None:
    """Put the figures of a scenario in their place, with what is to be known about the run."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept[section] = dict(about) | {"cases": [case_figures(case) for case in cases]}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def case_figures(case: Case) -> dict[str, Any]:
    """Return a case for programs: samples, medians, and the ratios asked for."""
    return {
        "name": case.name,
        "facets": dict(case.facets),
        "unit": case.unit,
        "medians": {side: case.median(side) for side in case.samples},
        "samples": {side: list(figures) for side, figures in case.samples.items()},
        "targets": [
            dataclasses.asdict(target) | {"ratio": case.ratio(target), "kept": target.kept(case.ratio(target))}
            for target in case.targets
        ],
        "wrong_answers": case.wrong_answers,
        "remarks": dict(case.remarks),
    }
