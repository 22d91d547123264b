"""Cases as tables: figures, ratios, and whether what was asked for was reached."""

from benchmarks.case_tables import case_line, case_table, figure, missed
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Target

_KEPT, _MISSED = Target(PGBOUNCER, 3.0), Target(DIRECT, 1.0)
_HITS = Case(
    "hits", "simple, 8 clients", "1/s", {DIRECT: [90_000, 70_000, 80_000], PGBOUNCER: [20_000], TIDEGATE: [60_000]},
    (_KEPT, _MISSED), remarks={"µs": "7"},
)  # fmt: skip
_LATENCY = Case(
    "misses", "missed", "ms", {PGBOUNCER: [0.10], TIDEGATE: [0.114]}, (Target(PGBOUNCER, 1.15, at_least=False),), 2
)


def test_a_line_holds_medians_and_what_became_of_the_ratios() -> None:
    line = case_table([_HITS]).splitlines()[-1]
    assert line == (
        "| simple, 8 clients | 80,000 | 20,000 | 60,000 "
        "| 3.00 × PgBouncer (≥ 3: kept); 0.75 × Postgres direct (≥ 1: **missed**) | 7 | 0 |"
    )


def test_what_differs_in_its_unit_has_a_table_of_its_own() -> None:
    first, second = case_table([_HITS, _LATENCY]).split("\n\n")
    assert first.startswith("| a second | Postgres direct | PgBouncer | Tidegate | asked for | µs | wrong answers |")
    assert second.splitlines()[-1] == "| missed | 0.1 | 0.114 | 1.14 × PgBouncer (≤ 1.15: kept) | 2 |"


def test_a_side_that_a_case_has_not_leaves_its_cell_empty() -> None:
    alone = Case("hits", "alone", "1/s", {TIDEGATE: [5.0]})
    assert case_table([_HITS, alone]).splitlines()[-1] == "| alone |  |  | 5 |  |  | 0 |"


def test_what_was_missed_is_named() -> None:
    assert missed([_HITS, _LATENCY]) == ["hits, simple, 8 clients: 0.75 × Postgres direct (≥ 1: **missed**)"]


def test_wrong_answers_stand_out_on_the_terminal() -> None:
    assert "2 WRONG ANSWERS" in case_line(_LATENCY)
    assert "WRONG" not in case_line(_HITS)


def test_figures_are_short() -> None:
    assert [figure(value) for value in (0, 0.01234, 2.718, 31.41, 123.4, 123456)] == [
        "0", "0.0123", "2.72", "31.4", "123", "123,456",
    ]  # fmt: skip
