"""Is a history of transactions over lists serializable, or a snapshot history? Pure.

The method of Elle's list-append test, for the anomalies that matter here: every transaction reads lists and appends
numbers that are used once, so a list that was read tells which appends came before it and in which order. From that
follow dependencies between transactions: one that appended what another read or appended to (ww, wr), and one that read
a list without what another appended (rw). A cycle of ww and wr alone is wrong from READ COMMITTED on; one with a single
rw is wrong under REPEATABLE READ, which is snapshot isolation in Postgres; any cycle under SERIALIZABLE.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise


class Level(IntEnum):
    """How many rw dependencies make a cycle that may be: fewer are an anomaly."""

    REPEATABLE_READ = 2
    SERIALIZABLE = 1_000_000


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that was committed.

    Attributes:
        number: Its own.
        reads: List → what it held, before this transaction's own append.
        appends: List → what was appended.
    """

    number: int
    reads: Mapping[int, tuple[int, ...]]
    appends: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Edge:
    to: int
    rw: bool


def anomalies(committed: Sequence[Transaction], final: Mapping[int, tuple[int, ...]], level: Level) -> list[str]:
    """Describe what is wrong with a history.

    Args:
        committed: The transactions whose commit was acknowledged.
        final: What the lists held in the end. It may hold appends of transactions whose fate was never heard.
        level: What was promised.
    """
    wrong = [*_wrong_reads(committed, final), *_lost_appends(committed, final)]
    return wrong or list(_cycles(_dependencies(committed, final), level))


def _wrong_reads(committed: Sequence[Transaction], final: Mapping[int, tuple[int, ...]]) -> Iterator[str]:
    """A list that was read is the beginning of what it was in the end: else something aborted was seen, or torn."""
    for transaction in committed:
        for key, seen in transaction.reads.items():
            if final[key][: len(seen)] != seen:
                yield f"transaction {transaction.number} read {seen} in list {key}, which came to be {final[key]}"


def _lost_appends(committed: Sequence[Transaction], final: Mapping[int, tuple[int, ...]]) -> Iterator[str]:
    for transaction in committed:
        for key, value in transaction.appends.items():
            if value not in final[key]:
                yield f"transaction {transaction.number} appended {value} to list {key}, where it is not"


def _dependencies(committed: Sequence[Transaction], final: Mapping[int, tuple[int, ...]]) -> dict[int, list[_Edge]]:
    """Return who has to come before whom."""
    appended_by = {
        (key, value): transaction.number for transaction in committed for key, value in transaction.appends.items()
    }
    after: dict[int, list[_Edge]] = defaultdict(list)

    def edge(one: int | None, other: int | None, *, rw: bool = False) -> None:
        if one is not None and other is not None and one != other:
            after[one].append(_Edge(other, rw))

    for key, values in final.items():
        for before, value in pairwise(values):
            edge(appended_by.get((key, before)), appended_by.get((key, value)))
    for transaction in committed:
        for key, seen in transaction.reads.items():
            if seen:
                edge(appended_by.get((key, seen[-1])), transaction.number)
            for unseen in final[key][len(seen) : len(seen) + 1]:
                edge(transaction.number, appended_by.get((key, unseen)), rw=True)
    return after


def _cycles(after: Mapping[int, Sequence[_Edge]], level: Level) -> Iterator[str]:
    """Find, for each dependency, the way back that has the fewest rw; tell of those that have too few for the level."""
    for start, edges in after.items():
        for first in edges:
            back = _fewest_rw(after, first.to, start, level)
            if back is not None and back + first.rw < level:
                yield f"transactions {start} and {first.to} come before each other, with {back + first.rw} rw between"
                return


def _fewest_rw(after: Mapping[int, Sequence[_Edge]], begin: int, end: int, limit: int) -> int | None:
    """Return the fewest rw dependencies on a way from one transaction to another; None if there is no way."""
    layer, seen, count = [begin], {begin}, 0
    while layer and count < limit:
        following: list[int] = []
        while layer:
            here = layer.pop()
            if here == end:
                return count
            for edge in after.get(here, ()):
                if edge.rw:
                    following.append(edge.to)
                elif edge.to not in seen:
                    seen.add(edge.to)
                    layer.append(edge.to)
        layer = [number for number in following if number not in seen]
        seen.update(layer)
        count += 1
    return None
