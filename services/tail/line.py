"""One line of what `tidegate tail` shows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class LineKind(StrEnum):
    """What a line tells."""

    CHANGE = "change"  # of a row, or of a relation as a whole
    EVICT = "evict"
    FOLLOW = "follow"  # a relation is followed, with these columns
    WATERMARK = "mark"
    BEGIN = "begin"  # a history, or a run of the CDC service
    DEAD = "dead"  # a record that cannot be read
    NOTE = "note"  # what the reader itself has met with


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        kind: What it tells.
        at: When; None where nobody knows.
        table: `schema.table`; empty if it concerns none.
        operation: What happened; empty if that needs no word.
        parts: The rest, for people.
        facts: The same for programs, without what stands in the other fields.
    """

    kind: LineKind
    at: datetime | None
    table: str = ""
    operation: str = ""
    parts: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
