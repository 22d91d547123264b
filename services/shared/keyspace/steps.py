"""The steps that the invalidator takes in the bucket, one for each log record that it accepts. Pure.

Each names its predecessor's position. So a bucket that has gone back in time refuses, steps may be sent without waiting
for the outcome of the one before, and a step that is sent twice has no effect.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.shared.keyspace.entry import join_names
from services.shared.keyspace.state import Followed
from services.shared.lsn import Lsn, sortable
from services.shared.position import Position


@dataclass(frozen=True, slots=True)
class Milestone:
    """Where a log record stands.

    Attributes:
        partition: Its partition.
        previous: Position of the record accepted before it.
        position: Its own.
        next_place: Where reading of the log goes on after it.
    """

    partition: int
    previous: Position
    position: Position
    next_place: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the script wants to know of every record."""
        return (
            str(self.partition),
            str(self.previous),
            str(self.position),
            self.position.stream_id,
            self.next_place,
        )


@dataclass(frozen=True, slots=True)
class Evict:
    """Evict tags, and relations as a whole. `registry_version` is the one whose shapes the tags were found with."""

    at: Milestone
    registry_version: str
    tags: tuple[str, ...]
    relations: tuple[int, ...]
    end_lsn: Lsn

    what = "evict"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the script wants to know besides."""
        return (
            self.registry_version,
            sortable(self.end_lsn),
            join_names(self.tags),
            join_names(map(str, self.relations)),
        )


@dataclass(frozen=True, slots=True)
class MoveWatermark:
    """Take over w and c of a watermark record."""

    at: Milestone
    watermark: Lsn
    settled: Lsn

    what = "watermark"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the script wants to know besides."""
        return sortable(self.watermark), sortable(self.settled)


@dataclass(frozen=True, slots=True)
class Advance:
    """Pass a record that evicts nothing. A RESUME gives its F, and is a gap if the bucket's c is below it."""

    at: Milestone
    resume_from: Lsn | None = None

    what = "advance"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the script wants to know besides."""
        return ("" if self.resume_from is None else sortable(self.resume_from),)


@dataclass(frozen=True, slots=True)
class Follow:
    """Follow a relation from here on, or (with None) not any more."""

    at: Milestone
    relation: int
    followed: Followed | None

    what = "follow"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the script wants to know besides."""
        if self.followed is None:
            return str(self.relation), "", ""
        return str(self.relation), str(self.followed.publication_entry), self.followed.digest


Step = Evict | MoveWatermark | Advance | Follow

MOST_STEPS = 64
"""In one script: the cost of a call is shared, and Redis serves nobody else for about a millisecond."""

_ARGUMENT_CHARACTERS = 64 * 1024  # in one script, unless one step alone has more: several hundred tags


def script_calls(steps: Sequence[Step]) -> Iterator[list[str]]:
    """Yield the arguments of the scripts that take these steps in order; each call takes some of them."""
    arguments: list[str] = []
    count = size = 0
    for step in steps:
        more = [step.what, *step.at.arguments, *step.arguments]
        characters = sum(map(len, more))
        if count and (count == MOST_STEPS or size + characters > _ARGUMENT_CHARACTERS):
            yield arguments
            arguments, count, size = [], 0, 0
        arguments += more
        count, size = count + 1, size + characters
    if arguments:
        yield arguments
