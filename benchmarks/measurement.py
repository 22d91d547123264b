"""What a scenario of the benchmark suite is given and returns: samples by side, and the ratios asked of their medians.

A scenario starts what it needs (`benchmarks/peers.py`) and yields a `Case` for each line of its table.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

TIDEGATE, DIRECT, PGBOUNCER, PGPOOL = "Tidegate", "Postgres direct", "PgBouncer", "pgpool-II"


class WrongAnswer(Exception):
    """An answer that its level does not allow: whatever was measured beside it is void."""


@dataclass(frozen=True, slots=True)
class Run:
    """How long a scenario may take.

    Attributes:
        rounds: Of each side; the median counts.
        seconds: Of one round.
        quick: Only to see that it works: few rows, the first of many cases.
    """

    rounds: int = 3
    seconds: int = 2
    quick: bool = False


def interleaved(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure each side in turn, several times, so that what else the machine does meets all of them."""
    samples: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, measure in sides.items():
            samples[side].append(measure())
    return samples


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that has to be kept within one run.

    Attributes:
        peer: Whose figure ours is divided by.
        bound: The ratio.
        at_least: Whether it is a lower bound (rates); else an upper one (latencies, memory).
        side: Which of ours, where there are several.
    """

    peer: str
    bound: float
    at_least: bool = True
    side: str = TIDEGATE

    def kept(self, ratio: float) -> bool:
        """Tell whether a ratio is on the right side."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a scenario: the same work through each of several sides, interleaved.

    Attributes:
        scenario: Its name, as on the command line.
        name: What was run: protocol, clients, share of writes.
        unit: Of the samples: "1/s", "ms", "MB/s", "KiB".
        samples: One figure for each round, by side (a peer, or ours in several set-ups), in the order of the table.
        targets: What is asked of it.
        wrong_answers: How many answers differed from Postgres's: any voids the run.
        remarks: What else is worth a column, by its heading.
        facets: What was run, for programs and charts: `{"protocol": "simple", "clients": 8}`.
    """

    scenario: str
    name: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    targets: tuple[Target, ...] = ()
    wrong_answers: int = 0
    remarks: Mapping[str, str] = field(default_factory=dict)
    facets: Mapping[str, str | float] = field(default_factory=dict)

    def median(self, side: str) -> float:
        """Return the median of a side's rounds."""
        return statistics.median(self.samples[side])

    def ratio(self, target: Target) -> float:
        """Return ours by the peer's: of medians, since the sides were interleaved."""
        return self.median(target.side) / self.median(target.peer)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One section of the results.

    Attributes:
        name: As on the command line.
        title: Its heading.
        said: What is measured and how, for those who read the table.
        measure: Does it.
        in_suite: Whether it belongs to a run of everything.
    """

    name: str
    title: str
    said: str
    measure: Callable[[Run], Iterator[Case]]
    in_suite: bool = True
