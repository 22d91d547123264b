"""Rows are kept while the code stays as it is, and only then."""

from dataclasses import replace
from pathlib import Path

from tests.chaos.ledger import in_order, ledger_of_code, row_key
from tests.unit.chaos.test_report import OUTCOME


def test_rows_of_two_runs_stand_side_by_side_and_the_later_one_counts(tmp_path: Path) -> None:
    ledger_of_code(tmp_path).add_row(OUTCOME)
    ledger_of_code(tmp_path).add_row(replace(OUTCOME, log="Redis"))
    ledger_of_code(tmp_path).add_row(replace(OUTCOME, reads=7))
    ledger_of_code(tmp_path).add_bite("no_gate", OUTCOME)
    found = ledger_of_code(tmp_path)
    assert [(row.log, row.reads) for row in found.rows.values()] == [("Kafka", 7), ("Redis", 12_345)]
    assert found.bites == {"no_gate": OUTCOME}


def test_other_code_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "one.py").write_text("1")
    ledger_of_code(tmp_path).add_row(OUTCOME)
    (tmp_path / "services" / "one.py").write_text("2")
    assert ledger_of_code(tmp_path).rows == {}


def test_what_is_not_played_any_more_is_left_out() -> None:
    found = {row_key("a", "Kafka"): OUTCOME, row_key("b", "Redis"): OUTCOME}
    assert list(in_order(found, ["b (redis)", "c (redis)", "a (kafka)"])) == ["b (redis)", "a (kafka)"]
