"""What a look at somebody's servers has found: a plain sentence, and what to do about it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    HINT = "hint"  # all is well, and could be better
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: How much it matters.
        topic: What it is about, in one or two words.
        text: What was found: a sentence without its full stop.
        remedy: What to do; empty where there is nothing to be done.
        sql: The part of it that somebody with more rights than our role has to run.
        tables: The tables that it is about, all of them; the text may name only the first.
        statements: What would mend it, where a person has to choose or to own a table: one for each table.
    """

    level: Level
    topic: str
    text: str
    remedy: str = ""
    sql: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """Return what has to be mended."""
    return [finding for finding in findings if finding.level is Level.FAIL]
