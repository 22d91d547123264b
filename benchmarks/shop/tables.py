"""The outcomes of the shop as tables for people, in Markdown, and as JSON. Pure."""

from collections.abc import Sequence
from typing import Any

from benchmarks.shop.outcome import PGPOOL_EXTENDED, PGPOOL_SIMPLE, TIDEGATE_FULL, ShopOutcome, hit_ratio
from benchmarks.shop.reads import CLASSES

_MOST_REASONS = 6


def shop_tables(outcomes: Sequence[ShopOutcome]) -> str:
    """Return hit ratios in all and over time, by class of read, and why reads were forwarded."""
    return "\n\n".join((_over_time(outcomes), _by_class(outcomes), _reasons(outcomes)))


def shop_json(outcomes: Sequence[ShopOutcome]) -> list[dict[str, Any]]:
    """Return what the tables say, for programs."""
    return [
        {
            "write_share": outcome.write_share,
            "peer": outcome.peer,
            "reads": sum(part.reads for part in outcome.hits),
            "hits": sum(part.hits for part in outcome.hits),
            "hit_ratio": outcome.ratio,
            "hit_ratio_by_tenth": [hit_ratio([part]) for part in outcome.hits],
            "hit_ratio_by_class": outcome.by_family(),
            "stale_answers": outcome.stale,
            "wrong_answers": outcome.wrong,
            "times_pgpool": _times_pgpool(outcome, outcomes),
            "forwarded_by_reason": outcome.reasons,
            "seconds": outcome.seconds,
        }
        for outcome in outcomes
    ]


def _times_pgpool(outcome: ShopOutcome, outcomes: Sequence[ShopOutcome]) -> float:
    """Return a hit ratio in multiples of pgpool-II's with the same share of writes, in the better of its modes."""
    best = max(
        one.ratio
        for one in outcomes
        if one.write_share == outcome.write_share and one.peer in (PGPOOL_SIMPLE, PGPOOL_EXTENDED)
    )
    return outcome.ratio / best if best else float("inf")


def _over_time(outcomes: Sequence[ShopOutcome]) -> str:
    lines = [
        "| writes | cache | hit ratio | by tenth of the run | times pgpool-II's | stale answers | wrong answers |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        by_tenth = " ".join(f"{hit_ratio([part]) * 100:.0f}" for part in outcome.hits)
        wrong = "-" if outcome.wrong is None else outcome.wrong
        lines.append(
            f"| {outcome.write_share:.0%} | {outcome.peer} | {outcome.ratio:.1%} | {by_tenth} "
            f"| {_times_pgpool(outcome, outcomes):.1f} | {outcome.stale} | {wrong} |"
        )
    return "\n".join(lines)


def _by_class(outcomes: Sequence[ShopOutcome]) -> str:
    lines = [f"| writes | cache | {' | '.join(CLASSES)} |", "|---|---|" + "---|" * len(CLASSES)]
    for outcome in outcomes:
        ratios = outcome.by_family()
        if ratios is not None:
            cells = " | ".join(f"{ratios[family]:.0%}" for family in CLASSES)
            lines.append(f"| {outcome.write_share:.0%} | {outcome.peer} | {cells} |")
    return "\n".join(lines)


def _reasons(outcomes: Sequence[ShopOutcome]) -> str:
    """Say why turns went to Postgres, those of writes among them, and how long the trace took on this machine."""
    lines = ["| writes | seconds | turns that Tidegate forwarded (FULL), by reason |", "|---|---|---|"]
    for outcome in outcomes:
        if outcome.peer == TIDEGATE_FULL:
            most = sorted(outcome.reasons.items(), key=lambda item: -item[1])[:_MOST_REASONS]
            told = ", ".join(f"{name} {count:,}" for name, count in most)
            lines.append(f"| {outcome.write_share:.0%} | {outcome.seconds:.0f} | {told} |")
    return "\n".join(lines)
