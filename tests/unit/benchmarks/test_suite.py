"""A run of the suite: what is kept where, and that a wrong answer keeps all of it out and is told."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.measurement import DIRECT, TIDEGATE, Case, Run, Scenario, Target, WrongAnswer
from benchmarks.suite import Keeping, run_suite
from tests.servers.processes import ServerError

_RUN = Run(rounds=2, seconds=1)


@pytest.fixture
def keeping(tmp_path: Path) -> Keeping:
    return Keeping(tmp_path / "RESULTS.md", tmp_path / "results.json")


def scenario(name: str, rate: float, wrong: int = 0) -> Scenario:
    def measure(run: Run) -> Iterator[Case]:
        samples = {DIRECT: [10.0] * run.rounds, TIDEGATE: [rate] * run.rounds}
        yield Case(name, "one", "1/s", samples, (Target(DIRECT, 1.0),), wrong, facets={"clients": 8})

    return Scenario(name, name.capitalize(), f"What {name} says.", measure)


def kept(keeping: Keeping) -> tuple[str, dict[str, object]]:
    assert keeping.tables is not None
    assert keeping.figures is not None
    table = keeping.tables.read_text() if keeping.tables.exists() else ""
    return table, json.loads(keeping.figures.read_text()) if keeping.figures.exists() else {}


def test_a_run_is_kept_with_its_command_and_machine(keeping: Keeping) -> None:
    assert run_suite([scenario("hits", 20)], _RUN, keeping)
    table, figures = kept(keeping)
    assert "What hits says." in table
    assert "python -m benchmarks hits --rounds 2 --seconds 1" in table
    about = figures["hits"]
    assert isinstance(about, dict)
    assert about["machine"]["processors"] >= 1
    (case,) = about["cases"]
    assert case["medians"] == {DIRECT: 10.0, TIDEGATE: 20.0}
    assert case["facets"] == {"clients": 8}
    assert [(target["ratio"], target["kept"]) for target in case["targets"]] == [(2.0, True)]


def test_another_run_replaces_its_own_section_only(keeping: Keeping) -> None:
    run_suite([scenario("hits", 20), scenario("misses", 30)], _RUN, keeping)
    run_suite([scenario("hits", 40)], _RUN, keeping)
    table, figures = kept(keeping)
    assert "| one | 10 | 40 |" in table
    assert "| one | 10 | 30 |" in table
    assert "| one | 10 | 20 |" not in table
    assert list(figures) == ["hits", "misses"]


def test_a_wrong_answer_voids_the_scenario(keeping: Keeping, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run_suite([scenario("hits", 20, wrong=1), scenario("misses", 30)], _RUN, keeping)
    table, figures = kept(keeping)
    assert "hits" not in table
    assert list(figures) == ["misses"]
    assert "WRONG ANSWERS" in capsys.readouterr().err


def test_a_scenario_may_find_out_by_itself(keeping: Keeping) -> None:
    def measure(_: Run) -> Iterator[Case]:
        yield from ()
        raise WrongAnswer("seen")

    assert not run_suite([Scenario("odd", "Odd", "", measure)], _RUN, keeping)


def test_a_server_that_fails_does_not_take_the_other_scenarios_along(keeping: Keeping) -> None:
    def measure(_: Run) -> Iterator[Case]:
        yield from ()
        raise ServerError("gone")

    assert not run_suite([Scenario("odd", "Odd", "", measure), scenario("hits", 20)], _RUN, keeping)
    assert list(kept(keeping)[1]) == ["hits"]


def test_a_ratio_that_was_missed_is_said_and_no_failure(keeping: Keeping, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_suite([scenario("hits", 5)], _RUN, keeping)
    assert "missed: hits, one: 0.50 × Postgres direct" in capsys.readouterr().err
