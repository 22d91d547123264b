"""What came of many pairs, and how precise evictions were, as a table."""

import re
from collections import Counter
from dataclasses import dataclass, field

_CLASSES = (
    ("set operation", re.compile(r"\b(?:union|intersect|except)\b", re.IGNORECASE)),
    ("CTE", re.compile(r"^with\b", re.IGNORECASE)),
    ("sub-query", re.compile(r"\(select\b", re.IGNORECASE)),
    ("outer join", re.compile(r"\b(?:left|right|full)\b", re.IGNORECASE)),
    ("inner join", re.compile(r"\bjoin\b|\bfrom [^(]*,", re.IGNORECASE)),
    ("aggregate", re.compile(r"\b(?:count|sum|max)\b|\bgroup by\b", re.IGNORECASE)),
)
_IDENTITIES = {"d": "default", "f": "full", "i": "index", "n": "nothing"}


@dataclass(slots=True)
class Cell:
    """Pairs of one class and identity.

    Attributes:
        pairs: In how many the transaction touched a relation of the query: eviction by tables evicts in all.
        changed: In how many of them the answer changed.
        evicted: In how many its entry was evicted.
    """

    pairs: int = 0
    changed: int = 0
    evicted: int = 0

    def add(self, other: "Cell") -> None:
        """Add another one."""
        self.pairs += other.pairs
        self.changed += other.changed
        self.evicted += other.evicted


@dataclass(slots=True)
class Tally:
    """What came of many pairs.

    Attributes:
        cached: Queries that were cached.
        refused: Queries that Postgres answers and that are not cached, by reason.
        wrong_queries: Made queries that Postgres refuses, by its message.
        unanswered: Pairs whose query failed before or after.
        ambiguous: Suspects whose answer depends on the order of rows.
        broken_worlds: Worlds whose tables Postgres refuses, by its message.
        pairs: How many touched a relation of the query. The others prove nothing.
        untouched: How many did not.
    """

    cached: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong_queries: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    ambiguous: int = 0
    broken_worlds: Counter[str] = field(default_factory=Counter)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    pairs: int = 0
    untouched: int = 0

    def pair(self, text: str, identities: set[str], *, changed: bool, evicted: bool) -> None:
        """Count a pair, whose transaction touched relations of these replica identities."""
        if not identities:
            self.untouched += 1
            return
        self.pairs += 1
        name = next((name for name, pattern in _CLASSES if pattern.search(text)), "one table")
        identity = _IDENTITIES[next(iter(identities))] if len(identities) == 1 else "several"
        cell = self.cells.setdefault((name, identity), Cell())
        cell.add(Cell(1, int(changed), int(evicted)))

    @property
    def cached_share(self) -> float:
        """Of the queries that Postgres answers, how many were cached."""
        return self.cached / max(1, self.cached + self.refused.total())

    def table(self) -> str:
        """Return the table, in Markdown."""
        lines = [
            "| query | identity | pairs | changed | evicted | of these, changed | of those that a table evicts |",
            "|---|---|---|---|---|---|---|",
        ]
        total = Cell()
        for (name, identity), cell in sorted(self.cells.items()):
            lines.append(_line(name, identity, cell))
            total.add(cell)
        return "\n".join([*lines, _line("all", "all", total)])


def _line(name: str, identity: str, cell: Cell) -> str:
    by_tag, by_table = cell.changed / max(1, cell.evicted), cell.changed / max(1, cell.pairs)
    counts = f"{cell.pairs:,} | {cell.changed:,} | {cell.evicted:,}"
    return f"| {name} | {identity} | {counts} | {by_tag:.0%} | {by_table:.0%} |"
