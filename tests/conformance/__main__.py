"""`make conformance`: run the suites, say what differs, and fail when something does without an explanation.

python -m tests.conformance                                          all suites
python -m tests.conformance asyncpg --only tests/test_pool.py::TestPool::test_pool_01
python -m tests.conformance verdicts                                 what is cached, with Postgres as the judge
python -m tests.conformance regression --postgres 18 --postgres-source ~/postgres
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.conformance.driver_suites import DRIVER_SUITES
from tests.conformance.environment import CACHE, pinned_versions, postgres_release
from tests.conformance.known import KnownError, read_known
from tests.conformance.postgres_source import regression_directory
from tests.conformance.psql_script import repeat_reads
from tests.conformance.regression import RegressionSuite
from tests.conformance.report import details, document_known, document_results, problems, table
from tests.conformance.runner import Suite, Verdict, judge, say
from tests.servers.processes import ServerError
from tests.verdicts.findings import Findings
from tests.verdicts.report import document as document_verdicts
from tests.verdicts.report import faults, keep_refused
from tests.verdicts.report import tables as verdict_tables
from tests.verdicts.suite import examine_all

_RESULTS = CACHE / "results"
_VERDICTS = "verdicts"


def main() -> int:
    """Run what was asked for; return 0 when nothing differs that is not explained."""
    arguments = _arguments()
    verdicts: list[Verdict] = []
    found: list[str] = []
    try:
        known = read_known()
        for name in arguments.suites or [*_suites(arguments), _VERDICTS]:
            if name == _VERDICTS:
                found += _judge_verdicts(arguments)
                continue
            suite = _suites(arguments)[name]()
            verdict = judge(suite, arguments.postgres, arguments.only, arguments.reruns)
            verdicts.append(verdict)
            found += problems(verdict, known, whole=arguments.only is None)
    except (ServerError, KnownError) as error:
        say(f"make conformance: {error}")
        return 2
    results = table(verdicts) if verdicts else ""
    if arguments.document and verdicts:
        pinned = (f"{name} {version}" for name, version in pinned_versions().items())
        document_results(results, [postgres_release(arguments.postgres), *pinned])
        document_known(known)
    told = [*filter(None, map(details, verdicts)), results, "\n".join(found)]
    sys.stdout.write("\n\n".join(filter(None, told)) + "\n")
    return 1 if found else 0


def _judge_verdicts(arguments: argparse.Namespace) -> list[str]:
    """Hold what would be cached of large corpora against what Postgres says; return what is wrong."""
    source = regression_directory(arguments.postgres, arguments.postgres_source)
    found: list[Findings] = []
    for one in examine_all(arguments.postgres, source, _RESULTS):
        say(f"{_VERDICTS}: {one.name}: {one.total:,} statements, {one.cached:,} cacheable, {len(one.faults):,} faults")
        found.append(one)
    if arguments.document:
        document_verdicts(found, postgres_release(arguments.postgres))
    keep_refused(found, _RESULTS / _VERDICTS / "refused")
    sys.stdout.write(f"{verdict_tables(found)}\n")
    return faults(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("suites", nargs="*", help="which suites; all when none is named")
    parser.add_argument("--only", nargs="+", metavar="TEST", help="which tests of the suite, as the report names them")
    parser.add_argument("--postgres", default="15", metavar="VERSION", help="major version of Postgres (default 15)")
    parser.add_argument("--postgres-source", type=Path, metavar="DIR", help="a Postgres source tree of that version")
    parser.add_argument("--reruns", type=int, default=3, help="how often what ended otherwise runs again (default 3)")
    parser.add_argument("--document", action="store_true", help="put the result into docs/conformance.md")
    arguments = parser.parse_args()
    suites = [*_suites(arguments), _VERDICTS]
    if unknown := set(arguments.suites) - set(suites):
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(suites)}")
    return arguments


def _suites(arguments: argparse.Namespace) -> dict[str, Callable[[], Suite]]:
    def regression(name: str, rewrite: Callable[[str], str] | None) -> Callable[[], Suite]:
        return lambda: RegressionSuite(
            name, regression_directory(arguments.postgres, arguments.postgres_source), _RESULTS, rewrite
        )

    return {suite.name: partial(_same, suite) for suite in DRIVER_SUITES} | {
        "regression": regression("regression", None),
        "regression-repeated": regression("regression-repeated", repeat_reads),
    }


def _same(suite: Suite) -> Suite:
    return suite


if __name__ == "__main__":
    sys.exit(main())
