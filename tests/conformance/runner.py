"""One suite from beginning to end: rounds of direct, cold and warm runs until it is clear what differs."""

import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.conformance.outcomes import Comparison, Outcomes, Round, Suspect, companions, count, suspects_of
from tests.conformance.sides import CachedReads, Side, direct_side, proxied_side
from tests.servers.postgres import PostgresServer

PASSES = ("cold", "warm")


class Suite(Protocol):
    """What a suite has to offer."""

    @property
    def name(self) -> str:
        """How it is called on the command line."""

    @property
    def database(self) -> str:
        """The database that is cached."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """Server settings that it wants."""

    @property
    def leaves_traces(self) -> bool:
        """Whether a second run in the same database comes out otherwise, so that it needs a direct one beside it."""

    def prepare(self, server: PostgresServer) -> None:
        """Make in a new server what it expects to find."""

    def run(self, side: Side, only: Collection[str] | None, label: str) -> Outcomes:
        """Run it, or some of its tests; `label` tells runs apart."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run, for the report.

    Attributes:
        label: `direct`, or the pass.
        counts: How many tests ended in each way.
        seconds: How long it took.
        cached: What the cache was asked and answered.
    """

    label: str
    counts: Mapping[str, int]
    seconds: float
    cached: CachedReads


@dataclass(slots=True)
class Verdict:
    """What is known of a suite.

    Attributes:
        suite: Its name.
        runs: The runs of the first round.
        suspects: Every test that ended otherwise at least once.
    """

    suite: str
    runs: list[Ran] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)

    @property
    def differing(self) -> list[Suspect]:
        """The tests that differ."""
        return [suspect for suspect in self.suspects if suspect.differs]

    @property
    def unsteady(self) -> list[Suspect]:
        """The tests that ended otherwise once, and alike once."""
        return [suspect for suspect in self.suspects if not suspect.differs]


def judge(suite: Suite, version: str, only: Collection[str] | None, reruns: int) -> Verdict:
    """Run a suite on both sides, and what ended otherwise again.

    Args:
        suite: The suite.
        version: Postgres's major version.
        only: Which of its tests; None for all.
        reruns: How often what ended otherwise is run again, each time on new servers.
    """
    verdict = Verdict(suite.name)
    first = _round(suite, version, only, "", verdict.runs)
    verdict.suspects = suspects_of(first)
    for number in range(1, reruns + 1):
        pending = verdict.differing
        if not pending:
            break
        again = companions(pending, first["cold"].direct)
        say(f"{suite.name}: {len(pending)} tests ended otherwise; they run again with their companions ({len(again)})")
        comparisons = _round(suite, version, again or [one.test for one in pending], f"-again-{number}", [])
        for suspect in pending:
            suspect.add(comparisons)
    return verdict


def _round(suite: Suite, version: str, only: Collection[str] | None, suffix: str, runs: list[Ran]) -> Round:
    """Run the suite directly, cold and warm, on new servers."""
    comparisons: dict[str, Comparison] = {}
    with (
        direct_side(version, suite.prepare, suite.settings) as direct,
        proxied_side(version, suite.prepare, suite.settings, suite.database) as proxied,
    ):
        outcomes: Outcomes = {}
        for name in PASSES:
            if not comparisons or suite.leaves_traces:
                outcomes = _run(suite, direct, only, name + suffix, runs)
            comparisons[name] = Comparison(outcomes, _run(suite, proxied, only, name + suffix, runs))
    return comparisons


def _run(suite: Suite, side: Side, only: Collection[str] | None, label: str, runs: list[Ran]) -> Outcomes:
    cached, started = side.cached_reads(), time.monotonic()
    outcomes = suite.run(side, only, label)
    if side.stack is None:
        label = f"direct {label}" if suite.leaves_traces else "direct"
    ran = Ran(label, count(outcomes), time.monotonic() - started, side.cached_reads() - cached)
    runs.append(ran)
    say(f"{suite.name}, {label}: {len(outcomes)} tests in {ran.seconds:.0f} s")
    return outcomes


def say(line: str) -> None:
    """Tell the person who waits; what is piped on is the report alone."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
