"""How growth is told, that the curves of this process can be drawn, and where they are kept."""

import json
from pathlib import Path

import pytest

from benchmarks.scale import entries, statements, tags
from benchmarks.scale.curve import Curve, curve_table, gathered
from benchmarks.scale.keep import keep_curves

_CURVE = Curve(
    "rows", "Rows", "What rows cost.", "rows", (10, 100, 1_000), {"µs": (1.0, 9.0, 90.0), "MiB": (5.0, 5.0, 5.0)}
)


def test_growth_is_an_exponent_of_the_last_two_sizes() -> None:
    assert _CURVE.exponent("µs") == pytest.approx(1.0)
    assert _CURVE.exponent("MiB") == 0.0
    square = Curve("x", "X", "", "n", (1, 10), {"s": (0.5, 50.0)})
    assert square.exponent("s") == pytest.approx(2.0)


def test_a_curve_is_a_table_with_its_growth() -> None:
    lines = curve_table(_CURVE).splitlines()
    assert lines[0] == "What rows cost."
    assert "| 1,000 | 90 | 5 |" in lines
    assert lines[-1] == "| *growth, last two* | n^1.0 | n^0.0 |"


def test_curves_are_kept_each_in_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, figures = tmp_path / "scale.md", tmp_path / "scale.json"
    page.write_text("# Scale\n\n<!-- rows -->\nold\n<!-- /rows -->\n\nWhat follows from it.\n")
    keep_curves([_CURVE], 4, page, figures)
    text = page.read_text()
    assert "| 1,000 | 90 | 5 |" in text
    assert "old" not in text
    assert text.endswith("What follows from it.\n")
    assert json.loads(figures.read_text())["rows"]["figures"]["µs"] == [1.0, 9.0, 90.0]
    assert "python -m benchmarks scale --curves rows --seconds 4" in capsys.readouterr().out


def test_figures_are_gathered_by_heading() -> None:
    assert gathered([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]) == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_what_is_measured_in_this_process_can_be() -> None:
    rows = [
        entries._measure_l1(50),
        entries._measure_full(50),
        entries._measure_recent(50),
        statements._measure_templates(20),
        statements._measure_shapes(5),
        tags._measure_l1(3),
    ]
    assert all(row and all(value >= 0 for heading, value in row.items() if "resident" not in heading) for row in rows)
