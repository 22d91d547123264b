"""How tests ended, and what it takes for two runs of the same tests to differ. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended.

    Attributes:
        how: What is compared: `passed`, `failed`, `skipped`, or a digest of what it printed.
        detail: What helps a person: a message, a file. Not compared.
    """

    how: str
    detail: str = ""


Outcomes = Mapping[str, Outcome]
_NOT_RUN = Outcome(NOT_RUN)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pass through the proxy, and the direct run that it is compared with."""

    direct: Outcomes
    proxied: Outcomes

    def differing(self) -> list[str]:
        """Return the tests that ended otherwise through the proxy, or ran on one side only; in the runs' order."""
        tests = dict.fromkeys([*self.direct, *self.proxied])
        return [test for test in tests if self.ended(test)[0].how != self.ended(test)[1].how]

    def ended(self, test: str) -> tuple[Outcome, Outcome]:
        """Return how a test ended directly and through the proxy."""
        return self.direct.get(test, _NOT_RUN), self.proxied.get(test, _NOT_RUN)


Round = Mapping[str, Comparison]
"""The passes of one round by name: cold, warm."""


@dataclass(slots=True)
class Suspect:
    """A test that ended otherwise at least once.

    Attributes:
        test: Its name.
        passes: In which passes it did.
        direct: How it ended in each direct run so far.
        proxied: How it ended in each run through the proxy so far.
    """

    test: str
    passes: list[str] = field(default_factory=list)
    direct: list[Outcome] = field(default_factory=list)
    proxied: list[Outcome] = field(default_factory=list)

    def add(self, comparisons: Round) -> None:
        """Note how it ended in one more round: in the passes that it is suspected in."""
        for name in self.passes:
            direct, proxied = comparisons[name].ended(self.test)
            self.direct.append(direct)
            self.proxied.append(proxied)

    @property
    def differs(self) -> bool:
        """Whether it never ended through the proxy as it ended directly.

        One common outcome is enough to call the test unsteady: where Postgres alone can give the answer that came
        through the proxy, the proxy has not been shown to change it.
        """
        return not {outcome.how for outcome in self.direct} & {outcome.how for outcome in self.proxied}


def suspects_of(first: Round) -> list[Suspect]:
    """Return the tests that ended otherwise in one of the passes of a round."""
    suspects: dict[str, Suspect] = {}
    for name, comparison in first.items():
        for test in comparison.differing():
            suspects.setdefault(test, Suspect(test)).passes.append(name)
    for suspect in suspects.values():
        suspect.add(first)
    return list(suspects.values())


def companions(suspects: Iterable[Suspect], outcomes: Outcomes) -> list[str]:
    """Return the suspects with all tests of their classes: what one of them left behind may be what upset another."""
    groups = {_group(suspect.test) for suspect in suspects}
    return [test for test in outcomes if _group(test) in groups]


def _group(test: str) -> str:
    return test.partition("[")[0].rpartition("::")[0] or test


def count(outcomes: Outcomes) -> dict[str, int]:
    """Return how many tests ended in each way."""
    counts: dict[str, int] = {}
    for outcome in outcomes.values():
        counts[outcome.how] = counts.get(outcome.how, 0) + 1
    return counts
