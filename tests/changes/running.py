"""Plays histories one after the other. One that shows a violation is made shorter, shown, and written down to be kept.

A history has a name, `seed/number`, which is all that it takes to make it again.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from tests.changes.grammar import DEFAULT_STEPS, make_history
from tests.changes.history import History
from tests.changes.log_oracle import Precision
from tests.changes.notation import write_history
from tests.changes.playing import Playing, play
from tests.changes.shrinking import smallest
from tests.changes.stage import Stage

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / ".cache" / "changes"

_AGAIN = 2  # times that a whole history is played again before it counts as unsteady


@dataclass(slots=True)
class Tally:
    """What came of many histories.

    Attributes:
        histories: How many were played.
        statements: How many statements they had.
        failed: Those that failed, by SQLSTATE.
        harmed: Those among them that failed because of our publication.
        reads: Answers that were compared.
        hits: How many of them came from the cache.
        precision: What was told beside what changed.
    """

    histories: int = 0
    statements: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    harmed: int = 0
    reads: int = 0
    hits: int = 0
    precision: Precision = field(default_factory=Precision)

    @property
    def hit_share(self) -> float:
        """Share of the answers that came from the cache."""
        return self.hits / max(1, self.reads)

    @property
    def success_share(self) -> float:
        """Share of the statements that did what they say."""
        return 1 - self.failed.total() / max(1, self.statements)

    def add(self, playing: Playing) -> None:
        """Count a history."""
        self.histories += 1
        self.statements += playing.statements
        self.failed += playing.failed
        self.harmed += playing.harmed
        self.reads += playing.reads
        self.hits += playing.hits
        for one in fields(Precision):
            total = getattr(self.precision, one.name) + getattr(playing.precision, one.name)
            setattr(self.precision, one.name, total)

    def __str__(self) -> str:
        told = self.precision
        return (
            f"{self.histories} histories, {self.statements} statements ({self.success_share:.0%} succeeded,"
            f" {self.harmed} refused because a table is published),\n"
            f"{self.reads} answers compared, {self.hit_share:.0%} of them from the cache;"
            f" {told.tables} changes of a table judged: {told.changed} rows came or went, {told.rows} told one by one,"
            f" {told.wide} times a whole table, {told.vain} of these in vain"
        )


class Violation(AssertionError):
    """A promise was not kept."""


def judge(stage: Stage, history: History, tally: Tally) -> None:
    """Play a history.

    Raises:
        Violation: It shows one.
    """
    playing = play(stage, history)
    tally.add(playing)
    if playing.violations:
        raise Violation("\n".join((history.why, write_history(history), *playing.violations)))


def judge_made(
    stage: Stage, names: Iterable[str], tally: Tally, shrink_seconds: float, steps: int = DEFAULT_STEPS
) -> None:
    """Make histories and play them, up to the first that shows a violation.

    Args:
        stage: Where.
        names: Of the histories.
        tally: To be added to.
        shrink_seconds: How long to look for a shorter one that shows one too.
        steps: About how many steps each has.

    Raises:
        Violation: With the shortest history, what is wrong, and where the history was stored.
    """
    for name in names:
        history = make_history(name, stage.version, steps)
        playing = play(stage, history)
        tally.add(playing)
        if playing.violations:
            raise _made_shorter(
                name, history, playing.violations, lambda one: play(stage, one).violations, shrink_seconds
            )


def _made_shorter(
    name: str, history: History, violations: list[str], found_in: Callable[[History], list[str]], shrink_seconds: float
) -> Violation:
    """Return the error that shows the shortest history."""
    said = "\n".join(violations)
    if not any(found_in(history) for _ in range(_AGAIN)):
        path = _store(replace(history, why=f"violated once: {violations[0].splitlines()[0]}"))
        return Violation(f"history {name} violated once, and not when it was played again ({path}):\n{said}")
    found = smallest(history, lambda shorter: bool(found_in(shorter)), shrink_seconds)
    path = _store(replace(found, why="found by chance: say here what was wrong"))
    again = "\n".join(found_in(found)) or f"(not when it was played once more; of the whole history:)\n{said}"
    return Violation(f"history {name}, made shorter and kept in {path}:\n{write_history(found)}\n{again}")


def _store(history: History) -> Path:
    text = write_history(history)
    path = FOUND / f"found-{hashlib.sha256(text.encode()).hexdigest()[:8]}.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
