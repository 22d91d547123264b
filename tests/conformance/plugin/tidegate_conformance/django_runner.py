"""Django's test runner, which also picks tests by their names, and writes down how each one ended."""

import unittest
from collections.abc import Iterator, Sequence

from django.test.runner import DiscoverRunner
from django.test.utils import iter_test_cases

from .exchange import asked_for, write_outcome


class Result(unittest.TextTestResult):
    """Remembers which tests ran: otherwise it knows only those that did not pass."""

    def startTestRun(self) -> None:  # noqa: N802 - unittest's name
        super().startTestRun()
        self.ran: list[str] = []

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self.ran.append(test.id())

    def outcomes(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name of each test, how it ended, and what it said. What a class's set-up does has a name too."""
        ended = dict.fromkeys(self.ran, ("passed", ""))
        groups: tuple[tuple[str, Sequence[tuple[unittest.TestCase, str]]], ...] = (
            ("skipped", self.skipped),
            ("xfailed", self.expectedFailures),
            ("failed", self.failures),
            ("error", self.errors),
            ("passed, which nobody expected", [(test, "") for test in self.unexpectedSuccesses]),
        )
        for how, tests in groups:
            for test, said in tests:
                ended[getattr(test, "test_case", test).id()] = how, said  # a subtest's counts for its test
        for name, (how, said) in ended.items():
            yield _named(name), how, said


class Runner(DiscoverRunner):
    """Runs what was asked for."""

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        """Return what gathers the results."""
        return Result

    def build_suite(self, *labels: object, **options: object) -> unittest.TestSuite:
        """Return the tests, without those that were not asked for."""
        tests = iter_test_cases(super().build_suite(*labels, **options))
        wanted = asked_for()
        return unittest.TestSuite(test for test in tests if wanted is None or _named(test.id()) in wanted)

    def run_suite(self, suite: unittest.TestSuite, **options: object) -> Result:
        """Run the tests, and write down how they ended."""
        result: Result = super().run_suite(suite, **options)
        for outcome in result.outcomes():
            write_outcome(*outcome)
        return result


def _named(identity: str) -> str:
    """Return a test's name as pytest would put it: its class, and what it is called there."""
    group, _, name = identity.rpartition(".")
    return f"{group}::{name}"
