"""How Django's runner tells how its tests ended."""

import io
import unittest

from tests.conformance.plugin.tidegate_conformance.django_runner import Result


class _Several(unittest.TestCase):
    __test__ = False  # pytest leaves it to us

    def test_passes(self) -> None: ...

    def test_fails(self) -> None:
        self.fail("as it has to")

    def test_breaks(self) -> None:
        raise ValueError

    @unittest.skip("not here")
    def test_is_skipped(self) -> None: ...

    @unittest.expectedFailure
    def test_fails_as_expected(self) -> None:
        self.fail("as expected")

    @unittest.expectedFailure
    def test_passes_unexpectedly(self) -> None: ...

    def test_has_a_subtest_that_fails(self) -> None:
        for number in range(3):
            with self.subTest(number=number):
                assert number != 1


class _Unprepared(unittest.TestCase):
    __test__ = False

    @classmethod
    def setUpClass(cls) -> None:
        raise ValueError

    def test_never_runs(self) -> None: ...


def ended(case: type[unittest.TestCase]) -> dict[str, str]:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    runner = unittest.TextTestRunner(io.StringIO(), resultclass=Result)  # type: ignore[arg-type]  # typeshed: a function
    result = runner.run(suite)
    assert isinstance(result, Result)
    return {name: how for name, how, _ in result.outcomes()}


def test_every_test_has_an_outcome_and_a_subtest_counts_for_its_test() -> None:
    assert ended(_Several) == {
        f"{__name__}._Several::{name}": how
        for name, how in {
            "test_passes": "passed",
            "test_fails": "failed",
            "test_breaks": "error",
            "test_is_skipped": "skipped",
            "test_fails_as_expected": "xfailed",
            "test_passes_unexpectedly": "passed, which nobody expected",
            "test_has_a_subtest_that_fails": "failed",
        }.items()
    }


def test_a_class_that_cannot_be_set_up_is_an_outcome_of_its_own() -> None:
    (outcome,) = ended(_Unprepared).items()
    assert outcome == (f"setUpClass ({__name__}::_Unprepared)", "error")
