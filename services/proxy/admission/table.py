"""The decisions as a table for people. Pure."""

from collections.abc import Sequence

from services.proxy.admission.economies import Decision
from services.proxy.admission.economy import Keeps

_HEADINGS = (
    "cached",
    "hit ratio",
    "pays from",
    "reused",
    "hits",
    "misses",
    "turned away",
    "evicted",
    "postgres us",
    "a miss adds us",
    "hit us",
    "redis hits",
    "template",
)
_MOST_ROWS = 500
_LONGEST_TEMPLATE = 400


def decision_table(decisions: Sequence[Decision]) -> str:
    """Return a line for each template, the most used first, in columns."""
    lines = [_HEADINGS, *(_cells(decision) for decision in decisions[:_MOST_ROWS])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS) - 1)]
    rows = ["  ".join([*map(str.rjust, line[:-1], widths), line[-1]]) for line in lines]
    if len(decisions) > _MOST_ROWS:
        rows.append(f"and {len(decisions) - _MOST_ROWS} that are used less")
    return "".join(f"{row}\n" for row in rows)


def _cells(decision: Decision) -> tuple[str, ...]:
    return (
        _kept(decision),
        "-" if decision.ratio is None else f"{decision.ratio:.1%}",
        "never" if decision.ratio_needed > 1 else f"{decision.ratio_needed:.1%}",
        "-" if decision.reuse is None else f"{decision.reuse:.1%}",
        f"{decision.hits:,}",
        f"{decision.misses:,}",
        f"{decision.turned_away:,}",
        f"{decision.evicted:,}",
        *(f"{seconds * 1e6:,.0f}" for seconds in (decision.origin, decision.overhead, decision.hit)),
        f"{decision.l2_hits:,}/{decision.l2_lookups:,}",
        decision.template[:_LONGEST_TEMPLATE],
    )


def _kept(decision: Decision) -> str:
    if decision.keeps is Keeps.SAMPLE:
        return f"1 in {decision.sampled}"
    some = decision.keeps is Keeps.SEEN_BEFORE and decision.one_in > 1
    return f"{decision.keeps.value}, 1 in {decision.one_in}" if some else decision.keeps.value
