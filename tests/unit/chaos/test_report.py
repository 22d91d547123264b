"""The table of what was played."""

import datetime as dt
from dataclasses import replace

from tests.chaos.play import Outcome
from tests.chaos.report import render

OUTCOME = Outcome(
    fault="cdc killed -9",
    log="Kafka",
    reads=12_345,
    hits=6_789,
    stale=0,
    wrong=0,
    lost=0,
    bypass_seconds=1.26,
    recovery_seconds=0.3,
    oldest_seconds=0.5,
    troubles=0,
    remarks=("first", "second"),
    details=(),
)


def test_a_row_for_each_fault_and_for_each_broken_cache() -> None:
    broken = replace(OUTCOME, fault="nothing", stale=17, details=("one",))
    text = render([OUTCOME], {"no_gate": broken}, 1.0, dt.date(2026, 1, 2))
    assert "| cdc killed -9 | Kafka | 12,345 | 6,789 | 0 | 0 | 0 | 1.3 | 0.3 | first; second |" in text
    assert "| no_gate | nothing | 12,345 | 17 | 0 | 0 |" in text
    assert "(2026-01-02)" in text


def test_rows_have_as_many_cells_as_the_head() -> None:
    lines = [line for line in render([OUTCOME], {}, 1.0, dt.date(2026, 1, 2)).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


def test_an_outcome_with_details_is_not_clean() -> None:
    assert OUTCOME.is_clean
    assert not replace(OUTCOME, details=("something",)).is_clean
