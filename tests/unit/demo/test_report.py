"""The report says what was measured."""

import math
from dataclasses import replace

from rich.console import Console

from demo.audit import Read, Verdict
from demo.measure import Comparison, Counters, Measurement, Workload
from demo.queries import QUERIES
from demo.report import format_microseconds, percentile, show
from demo.shop import ShopSize

_LOAD = Workload(ShopSize.scaled(0.01), 2.0, 4, 100.0, 10.0, 1.0)
_GOOD = Measurement(
    direct={query.name: [400, 500, 9_000] for query in QUERIES},
    cached={query.name: [40, 50, 900] for query in QUERIES},
    counters=Counters(hits=90, misses=10, evicted=7),
    changes=20,
    direct_postgres_cores=0.5,
    cached_postgres_cores=0.1,
    direct_verdict=Verdict(10, (), 0.0, 0),
    cached_verdict=Verdict(12, (), 0.004, 3),
    seen_under_load=[0.004, 0.005],
    seen_idle=[0.002, 0.003],
    comparison=Comparison(
        pages=50,
        hits=45,
        different=(),
        hit_microseconds={query.name: [20, 25, 30] for query in QUERIES},
        direct_microseconds={query.name: [200, 250, 300] for query in QUERIES},
    ),
)


def _text(measured: Measurement) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        show(console, _LOAD, measured)
    return capture.get()


def test_a_good_run_names_the_speed_up_the_hit_ratio_and_no_wrong_answer() -> None:
    text = _text(_GOOD)

    assert "10.0×" in text
    assert "90.0%" in text
    assert "0.50 cores" in text
    assert "wrong answers: 0" in text


def test_wrong_answers_are_counted_and_named() -> None:
    wrong = Verdict(12, (Read("product/3", 0, 1, "x"),), 0.0, 0)
    measured = replace(_GOOD, cached_verdict=wrong, comparison=Comparison(50, 45, ("category/1",), {}, {}))

    assert measured.wrong_answers == 2
    assert "wrong answers: 2, such as product/3, category/1" in _text(measured)


def test_percentiles_are_of_what_was_measured() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.99) == 100
    assert math.isnan(percentile([], 0.5))


def test_latencies_have_two_digits_at_least_and_a_unit() -> None:
    assert format_microseconds(87.4) == "87 µs"
    assert format_microseconds(8_740) == "8.7 ms"
    assert format_microseconds(87_400) == "87 ms"
    assert format_microseconds(1_500_000) == "1.5 s"
    assert format_microseconds(float("nan")) == "–"
