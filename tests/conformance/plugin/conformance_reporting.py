"""A pytest plugin that runs inside a suite: it picks tests by their names, and writes down how each one ended.

Suites make tests during collection (SQLAlchemy makes a class per backend), so that a name from an earlier run cannot be
given on the command line. It is loaded into environments that know nothing of Tidegate, so it imports nothing of it.
"""

import json
import os
from pathlib import Path

import pytest

OUTCOMES = "TIDEGATE_CONFORMANCE_OUTCOMES"  # the file that outcomes are appended to, one JSON object a line
ONLY = "TIDEGATE_CONFORMANCE_ONLY"  # a file of test names, one a line; unset: all

_ended: dict[str, tuple[str, str]] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop every test that was not asked for."""
    listed = os.environ.get(ONLY)
    if listed is None:
        return
    wanted = set(Path(listed).read_text(encoding="utf-8").splitlines())
    dropped = [item for item in items if item.nodeid not in wanted]
    items[:] = [item for item in items if item.nodeid in wanted]
    config.hook.pytest_deselected(items=dropped)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Fold the three phases of a test into one outcome, and write it when the last one is over."""
    how, detail = _ended.get(report.nodeid, ("", ""))
    if report.when == "setup" or not how:
        how, detail = "passed", ""
    if report.outcome != "passed":
        how = _name(report)
        detail = str(report.longrepr)[-2000:]
    _ended[report.nodeid] = how, detail
    if report.when == "teardown":
        line = {"test": report.nodeid, "how": how, "detail": detail}
        with Path(os.environ[OUTCOMES]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _name(report: pytest.TestReport) -> str:
    if report.outcome == "skipped":
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    return "failed" if report.when == "call" else f"error in {report.when}"
