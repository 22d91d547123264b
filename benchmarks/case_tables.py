"""Cases as Markdown: one line each, a column for each side, and what became of the ratios asked of them. Pure."""

from collections.abc import Sequence

from benchmarks.measurement import TIDEGATE, Case, Target

_UNITS = {"1/s": "a second"}
_NONE = ""


def case_table(cases: Sequence[Case]) -> str:
    """Return the table of a scenario; several, if its cases differ in the unit."""
    units = dict.fromkeys(case.unit for case in cases)
    return "\n\n".join(_table(unit, [case for case in cases if case.unit == unit]) for unit in units)


def case_line(case: Case) -> str:
    """Return a case as one line for a terminal."""
    medians = ", ".join(f"{side} {figure(case.median(side))}" for side in case.samples)
    verdicts = "; ".join(_target(case, target) for target in case.targets)
    wrong = f"; {case.wrong_answers} WRONG ANSWERS" if case.wrong_answers else ""
    return f"{case.name}: {medians} {case.unit}{'; ' if verdicts else ''}{verdicts}{wrong}"


def missed(cases: Sequence[Case]) -> list[str]:
    """Return what was asked for and not reached."""
    return [
        f"{case.scenario}, {case.name}: {_target(case, target)}"
        for case in cases
        for target in case.targets
        if not target.kept(case.ratio(target))
    ]


def figure(value: float) -> str:
    """Return a figure in three to four digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def _table(unit: str, cases: Sequence[Case]) -> str:
    sides = list(dict.fromkeys(side for case in cases for side in case.samples))
    remarks = list(dict.fromkeys(heading for case in cases for heading in case.remarks))
    asked = any(case.targets for case in cases)
    headings = [_UNITS.get(unit, unit), *sides, *(["asked for"] if asked else []), *remarks, "wrong answers"]
    lines = [_row(headings), "|" + "---|" * len(headings)]
    for case in cases:
        cells = [case.name]
        cells += [figure(case.median(side)) if side in case.samples else _NONE for side in sides]
        if asked:
            cells.append("; ".join(_target(case, target) for target in case.targets))
        cells += [case.remarks.get(heading, _NONE) for heading in remarks]
        lines.append(_row([*cells, str(case.wrong_answers)]))
    return "\n".join(lines)


def _target(case: Case, target: Target) -> str:
    ratio = case.ratio(target)
    side = "" if target.side == TIDEGATE else f"{target.side} "
    asked = f"{'≥' if target.at_least else '≤'} {target.bound:g}"
    verdict = "kept" if target.kept(ratio) else "**missed**"
    return f"{side}{ratio:.2f} × {target.peer} ({asked}: {verdict})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
