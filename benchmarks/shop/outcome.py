"""What came of a trace: hit ratios by tenths of the run and by class of read, stale and wrong answers. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.shop.counting import Hits
from benchmarks.shop.on_paper import OnPaper
from benchmarks.shop.player import reads_of, tenths
from benchmarks.shop.reads import CLASSES, READ_KINDS
from benchmarks.shop.trace import Trace

TIDEGATE_FULL, TIDEGATE_DEFAULT = "Tidegate, FULL", "Tidegate, DEFAULT"
PERFECT = "a perfect cache"
PGPOOL_SIMPLE, PGPOOL_EXTENDED = "pgpool-II, simple", "pgpool-II, extended"

_FAMILIES = {kind.name: kind.family for kind in READ_KINDS}


@dataclass(frozen=True, slots=True)
class ShopOutcome:
    """What came of one peer.

    Attributes:
        write_share: Share of the operations that wrote.
        peer: Who it was.
        hits: By tenth of the run.
        stale: Answers that were not Postgres's own at that moment.
        wrong: Those of them that the peer's promise does not allow; None: it promises nothing.
        reasons: Why turns went to Postgres, where the peer tells.
        seconds: How long it took, where it was played to in time.
    """

    write_share: float
    peer: str
    hits: tuple[Hits, ...]
    stale: int
    wrong: int | None
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """Hits of all reads."""
        return hit_ratio(self.hits)

    def by_family(self) -> dict[str, float] | None:
        """Return hit ratios by class of read; None where they are not known."""
        counts: dict[str, list[int]] = {family: [0, 0] for family in CLASSES}
        for part in self.hits:
            if part.by_kind is None:
                return None
            for kind, (reads, hits) in part.by_kind.items():
                counts[_FAMILIES[kind]][0] += reads
                counts[_FAMILIES[kind]][1] += hits
        return {family: hits / max(1, reads) for family, (reads, hits) in counts.items()}


def hit_ratio(parts: Iterable[Hits]) -> float:
    """Return the share of hits among all reads."""
    parts = tuple(parts)
    return sum(part.hits for part in parts) / max(1, sum(part.reads for part in parts))


def paper_hits(trace: Trace, outcome: OnPaper) -> tuple[Hits, ...]:
    """Return the hits of a cache that was played on paper, by tenth."""
    found: list[Hits] = []
    for part in tenths(len(trace.operations)):
        reads = reads_of(trace, part)
        hits = Counter(trace.operations[index].kind for index in part if index in outcome.hits)
        by_kind = {kind: (count, hits[kind]) for kind, count in reads.items()}
        found.append(Hits(reads.total(), hits.total(), by_kind))
    return tuple(found)
