"""Counts evictions by what was evicted: how many were necessary, by tags and by tables. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from benchmarks.shop.reads import AGGREGATE, BY_FOREIGN_KEY, BY_KEY, CLASSES, LIST_PAGE, READ_KINDS

EQUALITY_CLASSES = (BY_KEY, BY_FOREIGN_KEY, AGGREGATE)
"""Classes whose statements hold columns of their only table equal to values, and depend on all rows that have them."""

_TOGETHER = {
    "by equalities": EQUALITY_CLASSES,
    "by equalities, and list pages": (*EQUALITY_CLASSES, LIST_PAGE),  # they show only some of the rows
    "all": CLASSES,
}
_MOST_CAUSES = 3


class Template(NamedTuple):
    """A statement of the shop, and its class."""

    name: str
    family: str


@dataclass(slots=True)
class Evictions:
    """Evictions of some entries.

    Attributes:
        count: How many.
        necessary: Those whose answer had changed.
    """

    count: int = 0
    necessary: int = 0

    def add(self, other: "Evictions") -> None:
        """Add others."""
        self.count += other.count
        self.necessary += other.necessary

    @property
    def precision(self) -> float | None:
        """How many were necessary; None without any."""
        return self.necessary / self.count if self.count else None


@dataclass(slots=True)
class CacheTally:
    """What a cache did in a history."""

    hits: int = 0
    misses: int = 0
    evictions: dict[Template, Evictions] = field(default_factory=dict)

    def evict(self, template: Template, *, changed: bool) -> None:
        """Count an entry that was evicted."""
        self.evictions.setdefault(template, Evictions()).add(Evictions(1, int(changed)))

    def of(self, families: Iterable[str]) -> Evictions:
        """Return the evictions of some classes."""
        total, wanted = Evictions(), frozenset(families)
        for template, evictions in self.evictions.items():
            if template.family in wanted:
                total.add(evictions)
        return total

    @property
    def hit_ratio(self) -> float:
        """Hits of all reads."""
        return self.hits / max(1, self.hits + self.misses)


@dataclass(slots=True)
class PrecisionTally:
    """What came of a history.

    Attributes:
        by_tags: Tidegate.
        by_tables: A cache that evicts whatever reads a written table.
        in_vain: Evictions by tags of answers that had not changed, by template and what was written.
        refused: Reads that are not cached, by template.
    """

    by_tags: CacheTally = field(default_factory=CacheTally)
    by_tables: CacheTally = field(default_factory=CacheTally)
    in_vain: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def causes(self, families: Iterable[str]) -> str:
        """Say what was evicted in vain most often, and by what."""
        names = {kind.name for kind in READ_KINDS if kind.family in frozenset(families)}
        most = Counter({pair: count for pair, count in self.in_vain.items() if pair[0] in names})
        return ", ".join(f"{name} by {write} {count:,}" for (name, write), count in most.most_common(_MOST_CAUSES))


def precision_table(tallies: dict[str, PrecisionTally]) -> str:
    """Return the table, in Markdown."""
    lines = [
        "| class | identity | evicted by tables | of these, changed | evicted by tags | of these, changed "
        "| most often in vain |",
        "|---|---|---|---|---|---|---|",
    ]
    rows: dict[str, tuple[str, ...]] = {family: (family,) for family in CLASSES} | _TOGETHER
    for name, families in rows.items():
        for identity, tally in tallies.items():
            by_tables, by_tags = tally.by_tables.of(families), tally.by_tags.of(families)
            lines.append(
                f"| {name} | {identity} | {by_tables.count:,} | {_percent(by_tables.precision)} "
                f"| {by_tags.count:,} | {_percent(by_tags.precision)} | {tally.causes(families)} |"
            )
    ratios = [
        f"{identity}: by tables {_percent(tally.by_tables.hit_ratio)}, by tags {_percent(tally.by_tags.hit_ratio)}"
        for identity, tally in tallies.items()
    ]
    return "\n".join([*lines, "", f"Hit ratios of the two caches. {'; '.join(ratios)}."])


def precision_json(tallies: dict[str, PrecisionTally]) -> dict[str, Any]:
    """Return what the table says, and more, for programs."""
    return {identity: _tally_json(tally) for identity, tally in tallies.items()}


def _tally_json(tally: PrecisionTally) -> dict[str, Any]:
    nothing = Evictions()
    return {
        "hit_ratio_by_tags": tally.by_tags.hit_ratio,
        "hit_ratio_by_tables": tally.by_tables.hit_ratio,
        "equality_precision": tally.by_tags.of(EQUALITY_CLASSES).precision,
        "refused": dict(tally.refused),
        "templates": [
            {
                "name": kind.name,
                "class": kind.family,
                "evicted_by_tables": asdict(tally.by_tables.evictions.get(Template(kind.name, kind.family), nothing)),
                "evicted_by_tags": asdict(tally.by_tags.evictions.get(Template(kind.name, kind.family), nothing)),
                "in_vain_by_write": {
                    write: count for (name, write), count in tally.in_vain.items() if name == kind.name
                },
            }
            for kind in READ_KINDS
        ],
    }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
