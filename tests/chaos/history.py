"""What a workload did: every write and every read with its times, as the clients saw them.

All times are seconds of CLOCK_BOOTTIME, taken in one process before a statement is sent and after its answer has come.
What happened inside Postgres lies between the two, so nothing that is found is the fault of the measurement.

Every write sets a key to a *version*, a number that is used once, by `… AND version < new`: the versions of a key only
grow in Postgres, whatever the order in which statements arrive, and a statement that was overtaken changes nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import CLOCK_BOOTTIME, clock_gettime

MISSING = -1
"""The version of a row that an answer should have held."""

NEVER = math.inf
ALWAYS = -math.inf


def now() -> float:
    """Return the time in seconds since the machine started."""
    return clock_gettime(CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Write:
    """One key set to one version.

    Attributes:
        key: What was written.
        version: To what.
        sent: When the statement that makes it visible was sent; `ALWAYS` for what was there before.
        acknowledged: When Postgres's answer came; `NEVER` if none did, and nobody knows what became of it.
        session: The session that wrote it.
        applied: False where Postgres answered that a newer version had been there already.
        undone: When it was gone for certain, of one that a crash took although it had been acknowledged, or that a
            replaced primary has and its successor has not.
    """

    key: str
    version: int
    sent: float
    acknowledged: float
    session: str = ""
    applied: bool = True
    undone: float = NEVER


@dataclass(frozen=True, slots=True)
class Read:
    """One answer.

    Attributes:
        session: The session that asked.
        begin: When the query was sent.
        end: When its answer had come.
        values: Each key that it should tell of, with the version that it told, or `MISSING`. All of one instant.
    """

    session: str
    begin: float
    end: float
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A statement or a connection that failed: when, whose, and what was said."""

    at: float
    session: str
    message: str


@dataclass(slots=True)
class History:
    """Everything that was written and read. Threads append to it; it is looked at when they have ended."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def undo(self, survived: Mapping[str, int], at: float) -> int:
        """Note that whatever was written beyond these versions, by key, is gone; return how many writes that are.

        Nobody may be writing these keys.
        """
        gone = [write for write in self.writes if write.version > survived.get(write.key, write.version)]
        for write in gone:
            self.writes[self.writes.index(write)] = replace(write, undone=at)
        return len(gone)
