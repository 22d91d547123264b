"""What a person reads of the corpora: how much is cached, why the rest is not, what is wrong. Pure but for the docs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.report import put_between
from tests.verdicts.findings import Findings

_MARKS = ("<!-- verdicts -->", "<!-- /verdicts -->")
_MOST_FAULTS = 20


def tables(found: Sequence[Findings]) -> str:
    """Return what came out as two Markdown tables: the corpora, and the reasons of refusals."""
    lines = [
        "| corpus | statements, for Postgres | that read tables | of these, cacheable | with `ageing_ttl` | as a view "
        "| twice | faults |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        lines.append(
            f"| {one.name} | {one.total:,} | {one.reading:,} | {one.cached:,} ({one.cached / max(one.reading, 1):.0%}) "
            f"| {one.ageing:,} more | {one.viewed:,} | {one.compared:,} | {len(one.faults):,} |"
        )
    counts = [{reason: len(texts) for reason, texts in one.refused.items()} for one in found]
    reasons = [reason for reason, _ in sum(map(Counter, counts), Counter[str]()).most_common()]
    lines += [
        "",
        "| refused, of those that read tables | " + " | ".join(one.name for one in found) + " |",
        "|---|" + "---|" * len(found),
        *(f"| `{reason}` | " + " | ".join(f"{of.get(reason, 0):,}" for of in counts) + " |" for reason in reasons),
    ]
    return "\n".join(lines)


def keep_refused(found: Sequence[Findings], place: Path) -> None:
    """Write what is refused into a file for each reason, for a person to read."""
    place.mkdir(parents=True, exist_ok=True)
    for reason in sorted({reason for one in found for reason in one.refused}):
        texts = [f"-- {one.name}\n{text};\n" for one in found for text in one.refused.get(reason, ())]
        (place / f"{reason}.sql").write_text("\n".join(texts), encoding="utf-8")


def faults(found: Sequence[Findings]) -> list[str]:
    """Return what is wrong, the first of each corpus in full."""
    told: list[str] = []
    for one in found:
        told += [f"{one.name}: {fault}" for fault in one.faults[:_MOST_FAULTS]]
        if len(one.faults) > _MOST_FAULTS:
            told.append(f"{one.name}: and {len(one.faults) - _MOST_FAULTS} more")
    return told


def document(found: Sequence[Findings], release: str) -> None:
    """Put the tables into the document."""
    put_between(_MARKS, f"{release}, `make conformance ARGS=verdicts`:\n\n{tables(found)}")
