"""Charts from the figures of a run: each from its scenario, the same file for the same figures."""

import json
from pathlib import Path

from benchmarks.charts.drawing import draw_charts
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case
from benchmarks.results import keep_cases

_MEDIANS = {DIRECT: [10.0], PGBOUNCER: [5.0], "Tidegate, bounded": [30.0], TIDEGATE: [20.0]}


def case(**facets: str | float) -> Case:
    return Case("any", "any", "1/s", _MEDIANS, facets=facets)


_CASES = {
    "hits": [case(protocol=protocol, clients=clients) for protocol in ("simple", "prepared") for clients in (1, 8)],
    "mix": [case(mix="keys", writes_percent=percent, clients=8) for percent in (0, 10)],
    "misses": [case(protocol="simple", clients=1, kind=kind) for kind in ("forwarded", "missed", "look-ups")],
    "dashboards": [case(statement="1 ms", protocol="prepared"), case()],
    "warm-up": [case(begin=0, end=1), case(begin=1, end=2), case()],
    "distances": [case(distance_ms=far, clients=1) for far in (0, 50)],
}


def test_each_scenario_has_a_chart_in_both_formats(tmp_path: Path) -> None:
    figures = tmp_path / "results.json"
    for scenario, cases in _CASES.items():
        keep_cases(scenario, {}, cases, figures)
    written = draw_charts(figures, tmp_path / "charts")
    assert {path.name for path in written} == {f"{name}.{ending}" for name in _CASES for ending in ("svg", "png")}
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in draw_charts(figures, tmp_path / "charts")] == before


def test_a_scenario_that_was_not_run_has_none(tmp_path: Path) -> None:
    figures = tmp_path / "results.json"
    figures.write_text(json.dumps({}))
    assert draw_charts(figures, tmp_path) == []
