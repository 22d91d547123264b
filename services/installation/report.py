"""How the commands say what they have found: lines for people, JSON for machines. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from services.installation.setup import SetupReport
from services.shared.runtime.finding import Finding, Level, failed

_LEVEL_WIDTH = 5
_TOPIC_WIDTH = 12


def finding_line(finding: Finding) -> str:
    """Return one line: level, topic, text and remedy."""
    text = f"{finding.text} → {finding.remedy}" if finding.remedy else finding.text
    return f"{finding.level:<{_LEVEL_WIDTH}}{finding.topic:<{_TOPIC_WIDTH}}{' '.join(text.split())}"


def summary(findings: Sequence[Finding]) -> str:
    """Return the line below them."""
    to_mend = len(failed(findings))
    warnings = sum(finding.level is Level.WARN for finding in findings)
    hints = sum(finding.level is Level.HINT for finding in findings)
    better = f" {hints} hint{'s' * (hints != 1)}." if hints else ""
    if not to_mend and not warnings:
        return f"All is well.{better}"
    return f"{to_mend} to be mended, {warnings} to know about.{better}"


def findings_json(findings: Mapping[str, Sequence[Finding]]) -> str:
    """Return everything, by cache."""
    well = not any(map(failed, findings.values()))
    caches = {cache: [asdict(finding) for finding in found] for cache, found in findings.items()}
    return json.dumps({"well": well, "caches": caches}, indent=2, ensure_ascii=False)


def setup_script(report: SetupReport, place: str, slot: str, *, rehearsed: bool) -> Iterator[str]:
    """Yield the lines of a set-up as SQL, all that is not SQL in comments, so that it can be run as it is.

    Args:
        report: What was done, or would be.
        place: The cache and its database, for people.
        slot: Name of the replication slot.
        rehearsed: Whether nothing was run.
    """
    yield f"-- {place}"
    if report.first_for_administrator:
        yield "-- First an administrator has to run this, and then tidegate setup is to be run again:"
        yield from _statements(report.first_for_administrator)
    if report.statements:
        yield "-- This would be run:" if rehearsed else "-- This was run:"
        yield from _statements(report.statements)
    elif report.complete:
        yield "-- Everything is there: nothing to run."
    if report.then_for_administrator:
        yield "-- After that an administrator has to run this:"
        yield from _statements(report.then_for_administrator)
    if report.if_wanted:
        yield "-- If you like, a superuser may run this; then DDL is told at once, by an event trigger:"
        yield from _statements(report.if_wanted)
    for finding in [*report.before, *report.after]:
        if finding.level is not Level.OK or finding.tables:
            yield f"-- {finding_line(finding)}"
    if report.statements or report.complete:
        yield f"-- The CDC service makes the replication slot {slot} when it starts: {report.about_slot}."


def _statements(statements: Iterable[str]) -> Iterator[str]:
    for statement in statements:
        yield f"{statement};"
