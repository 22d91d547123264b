"""When a test counts as different, and when it is only unsteady."""

from tests.conformance.outcomes import Comparison, Outcome, Outcomes, companions, count, suspects_of


def ended(**hows: str) -> Outcomes:
    return {name: Outcome(how) for name, how in hows.items()}


def test_a_test_that_ends_alike_is_no_suspect() -> None:
    same = ended(one="passed", two="failed")
    assert suspects_of({"cold": Comparison(same, same), "warm": Comparison(same, same)}) == []


def test_a_test_that_ends_otherwise_is_suspected_in_the_passes_where_it_did() -> None:
    direct = ended(one="passed", two="failed")
    cold, warm = Comparison(direct, ended(one="passed", two="passed")), Comparison(direct, direct)
    (suspect,) = suspects_of({"cold": cold, "warm": warm})
    assert (suspect.test, suspect.passes, suspect.differs) == ("two", ["cold"], True)


def test_a_test_that_runs_on_one_side_only_differs() -> None:
    (lost,) = Comparison(ended(one="passed", two="passed"), ended(one="passed")).differing()
    (found,) = Comparison(ended(), ended(three="failed")).differing()
    assert (lost, found) == ("two", "three")


def test_what_ended_alike_once_is_unsteady() -> None:
    first = {"cold": Comparison(ended(one="passed"), ended(one="failed"))}
    (suspect,) = suspects_of(first)
    suspect.add(first)
    assert suspect.differs
    suspect.add({"cold": Comparison(ended(one="failed"), ended(one="failed"))})
    assert not suspect.differs


def test_only_the_suspected_passes_of_a_further_round_count() -> None:
    direct = ended(one="passed")
    alike, otherwise = Comparison(direct, direct), Comparison(direct, ended(one="failed"))
    (suspect,) = suspects_of({"cold": alike, "warm": otherwise})
    suspect.add({"cold": alike, "warm": otherwise})
    assert suspect.differs
    assert len(suspect.proxied) == 2


def test_suspects_run_again_with_their_class() -> None:
    names = ("a.py::A::one", "a.py::A::two[x]", "a.py::B::one", "b.py::three", "join")
    outcomes = {name: Outcome("passed") for name in names}
    direct = Comparison(outcomes, outcomes | {"a.py::A::two[x]": Outcome("failed"), "join": Outcome("failed")})
    suspects = suspects_of({"cold": direct})
    assert companions(suspects, outcomes) == ["a.py::A::one", "a.py::A::two[x]", "join"]


def test_outcomes_are_counted() -> None:
    assert count(ended(one="passed", two="passed", three="failed")) == {"passed": 2, "failed": 1}
