"""A pytest plugin: it picks tests by their names, and writes down how each one ended.

Suites make tests during collection (SQLAlchemy makes a class per backend), so that a name from an earlier run cannot be
given on the command line.
"""

import pytest

from .exchange import asked_for, write_outcome

_ended: dict[str, tuple[str, str]] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop every test that was not asked for."""
    wanted = asked_for()
    if wanted is None:
        return
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
        detail = str(report.longrepr)
    _ended[report.nodeid] = how, detail
    if report.when == "teardown":
        write_outcome(report.nodeid, how, detail)


def _name(report: pytest.TestReport) -> str:
    if report.outcome == "skipped":
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    return "failed" if report.when == "call" else f"error in {report.when}"
