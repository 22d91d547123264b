"""What a person reads at the end: the table of runs, and each test that needs a look. Pure but for the docs' table."""

import datetime as dt
from collections.abc import Iterable, Sequence

from tests.conformance.known import Known, as_list, stale, unexplained
from tests.conformance.outcomes import Suspect
from tests.conformance.runner import Ran, Verdict
from tests.servers.compose import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "conformance.md"
RESULTS = ("<!-- results -->", "<!-- /results -->")
KNOWN = ("<!-- known -->", "<!-- /known -->")
_DETAIL_LINES = 12


def problems(verdict: Verdict, known: Sequence[Known], *, whole: bool) -> list[str]:
    """Return why a suite's verdict is none to be content with; nothing when it is.

    Args:
        verdict: Of a suite.
        known: What is known to differ.
        whole: The whole suite ran, so that an entry whose test did not differ is one too many.
    """
    found = [
        f"{verdict.suite}: {test} differs, and known_differences.toml says nothing of it"
        for test in unexplained(verdict.suite, (one.test for one in verdict.differing), known)
    ]
    if whole:
        seen = {one.test for one in verdict.suspects}
        found += [
            f"{verdict.suite}: {test} does not differ any more; take it out of known_differences.toml"
            for test in stale(verdict.suite, seen, known)
        ]
    return found


def table(verdicts: Iterable[Verdict]) -> str:
    """Return the runs of all suites as a Markdown table."""
    lines = [
        "| suite | run | ended | seconds | answers from the cache | ended otherwise | of these, always |",
        "|---|---|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        for ran in verdict.runs:
            suspects = [one for one in verdict.suspects if ran.label in one.passes]
            lines.append(
                f"| {verdict.suite} | {ran.label} | {_ended(ran)} | {ran.seconds:.0f} | "
                + ("| | |" if ran.label.startswith("direct") else _comparison(ran, suspects))
            )
    return "\n".join(lines)


def _ended(ran: Ran) -> str:
    counted = sorted(ran.counts.items(), key=lambda item: -item[1])
    if len(counted) > len(("passed", "failed", "skipped", "xfailed", "error in setup", "error in teardown")):
        return f"{sum(ran.counts.values()):,} outputs"  # digests
    return ", ".join(f"{number:,} {how}" for how, number in counted)


def _comparison(ran: Ran, suspects: Sequence[Suspect]) -> str:
    return f"{ran.cached} | {len(suspects)} | {sum(one.differs for one in suspects)} |"


def details(verdict: Verdict) -> str:
    """Return what is known of each test that ended otherwise."""
    lines: list[str] = []
    for heading, suspects in (("always differs", verdict.differing), ("unsteady", verdict.unsteady)):
        for one in suspects:
            lines.append(f"{verdict.suite}: {heading}: {one.test} ({', '.join(one.passes)})")
            lines.append(f"    direct:  {', '.join(ended.how for ended in one.direct)}")
            lines.append(f"    proxied: {', '.join(ended.how for ended in one.proxied)}")
            detail = one.proxied[0].detail or one.direct[0].detail
            lines.extend(f"    | {line}" for line in detail.splitlines()[-_DETAIL_LINES:])
    return "\n".join(lines)


def document_results(results: str, versions: Sequence[str]) -> None:
    """Put the table of runs into the documentation, with the day and with the versions of what ran."""
    put_between(RESULTS, f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {', '.join(versions)}:\n\n{results}")


def document_known(known: Sequence[Known]) -> None:
    """Put the known differences into the documentation."""
    put_between(KNOWN, as_list(known))


def put_between(marks: tuple[str, str], content: str) -> None:
    """Replace what stands between two marks of the documentation."""
    begin, end = marks
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    DOCUMENT.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")
