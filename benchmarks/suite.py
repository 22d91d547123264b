"""Runs scenarios, says how far they are, and keeps what they find, unless an answer was wrong or a server failed."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case_tables import case_line, case_table, missed
from benchmarks.machine import describe_run, machine_line
from benchmarks.measurement import Case, Run, Scenario, WrongAnswer
from benchmarks.results import FIGURES, TABLES, keep_cases, keep_table
from tests.servers.processes import ServerError


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where results go.

    Attributes:
        tables: The Markdown; None for nowhere.
        figures: The JSON; None for nowhere.
    """

    tables: Path | None = TABLES
    figures: Path | None = FIGURES


def run_suite(scenarios: Sequence[Scenario], run: Run, keeping: Keeping) -> bool:
    """Run them, one after the other, and tell whether all ran to their end and all answers were right."""
    began = time.monotonic()
    void: list[str] = []
    unmet: list[str] = []
    for number, scenario in enumerate(scenarios, 1):
        _say(f"[{number}/{len(scenarios)}, {time.monotonic() - began:.0f} s] {scenario.title}")
        try:
            unmet += missed(_run(scenario, run, keeping))
        except WrongAnswer as wrong:
            void.append(f"WRONG ANSWERS, {scenario.name}: {wrong}")
        except ServerError as error:
            void.append(f"FAILED, {scenario.name}: {error}")
    _say(f"{len(scenarios)} scenarios in {time.monotonic() - began:.0f} s")
    for line in () if run.quick else unmet:
        _say(f"missed: {line}")
    for line in void:
        _say(f"nothing of it was kept: {line}")
    return not void


def _run(scenario: Scenario, run: Run, keeping: Keeping) -> list[Case]:
    command = f"python -m benchmarks {scenario.name} --rounds {run.rounds} --seconds {run.seconds}"
    about = describe_run(command)
    cases: list[Case] = []
    for case in scenario.measure(run):
        _say(f"  {case_line(case)}")
        cases.append(case)
    if wrong := sum(case.wrong_answers for case in cases):
        raise WrongAnswer(f"{wrong} answers that were not Postgres's")
    how = f"`{command}`: medians of {run.rounds}, interleaved. {about['date']}, {machine_line(about['machine'])}."
    table = f"{scenario.said}\n\n{how}\n\n{case_table(cases)}"
    print(table, end="\n\n")
    if keeping.tables is not None:
        keep_table(scenario.name, table, scenario.title, keeping.tables)
    if keeping.figures is not None:
        keep_cases(scenario.name, about, cases, keeping.figures)
    return cases


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
