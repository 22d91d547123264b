"""Plays each trace to each cache at each size: how many reads hit, how many bytes of answers, what a read costs.

python -m benchmarks replacement --operations 100000
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.replacement.policies import Foresight, Lru, Ours, Policy, SecondChance
from benchmarks.replacement.shop_trace import shop_trace
from benchmarks.replacement.traces import Read, synthetic_traces

_SIZES_MIB = (4, 16, 64)
_SHOP_SIZES_MIB = (1, 4, 16)  # the shop has 40 MB of answers
_SHOP_WRITES = 0.05

_POLICIES: dict[str, Callable[[int, Sequence[Read]], Policy]] = {
    "S3-FIFO (ours)": lambda capacity, _: Ours(capacity),
    "second chance (before)": lambda capacity, _: SecondChance(capacity),
    "LRU": lambda capacity, _: Lru(capacity),
    "foresight": Foresight,
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """What a cache did with a trace.

    Attributes:
        hits: Share of the reads.
        bytes_hit: Share of the bytes of their answers.
        nanoseconds: Of processor time for a read.
    """

    hits: float
    bytes_hit: float
    nanoseconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All caches of one size beside each other."""

    trace: str
    size_mib: int
    by_policy: dict[str, Ratio]


def measure_replacement(count: int) -> Iterator[Comparison]:
    """Play all traces, each of about so many reads."""
    for name, reads in synthetic_traces(count).items():
        yield from _compare(name, reads, _SIZES_MIB)
    yield from _compare(f"shop, {_SHOP_WRITES:.0%} writes", shop_trace(count, _SHOP_WRITES), _SHOP_SIZES_MIB)


def replacement_table(count: int) -> str:
    """Return the results as text."""
    lines = [
        f"`python -m benchmarks replacement --operations {count}` ({dt.datetime.now(dt.UTC):%Y-%m-%d}): of traces of "
        f"{count:,} reads each, how many are hits, in brackets of how many bytes, by the room of the cache. The last "
        "line: nanoseconds of processor time for a read, hit or miss, median of all.",
        "",
        f"| trace | MiB | {' | '.join(_POLICIES)} |",
        f"|---|---|{'---|' * len(_POLICIES)}",
    ]
    comparisons = list(measure_replacement(count))
    for one in comparisons:
        cells = (f"{ratio.hits:.1%} ({ratio.bytes_hit:.0%})" for ratio in one.by_policy.values())
        lines.append(f"| {one.trace} | {one.size_mib} | {' | '.join(cells)} |")
    costs = (_median([one.by_policy[name].nanoseconds for one in comparisons]) for name in _POLICIES)
    lines.append(f"| ns a read | | {' | '.join(f'{cost:,.0f}' for cost in costs)} |")
    return "\n".join(lines)


def _compare(trace: str, reads: Sequence[Read], sizes_mib: Sequence[int]) -> Iterator[Comparison]:
    for size_mib in sizes_mib:
        made = {name: make(size_mib << 20, reads) for name, make in _POLICIES.items()}
        yield Comparison(trace, size_mib, {name: _play(policy, reads) for name, policy in made.items()})


def _play(policy: Policy, reads: Sequence[Read]) -> Ratio:
    began = time.process_time()
    hit = [policy.read(read) for read in reads]
    nanoseconds = (time.process_time() - began) / len(reads) * 1e9
    bytes_hit = sum(read.size for read, was_hit in zip(reads, hit, strict=True) if was_hit)
    return Ratio(sum(hit) / len(reads), bytes_hit / sum(read.size for read in reads), nanoseconds)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
