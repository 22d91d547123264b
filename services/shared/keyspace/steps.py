"""The steps that the invalidator takes in the bucket, one for each log record that it accepts. Pure.

Each names its predecessor's position. So a bucket that has gone back in time refuses, steps may be sent without waiting
for the outcome of the one before, and a step that is sent twice has no effect.
"""

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
        """What every script wants to know of the record."""
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

    script = "evict"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the script after those of the milestone."""
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

    script = "watermark"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the script after those of the milestone."""
        return sortable(self.watermark), sortable(self.settled)


@dataclass(frozen=True, slots=True)
class Advance:
    """Pass a record that evicts nothing. A RESUME gives its F, and is a gap if the bucket's c is below it."""

    at: Milestone
    resume_from: Lsn | None = None

    script = "advance"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the script after those of the milestone."""
        return ("" if self.resume_from is None else sortable(self.resume_from),)


@dataclass(frozen=True, slots=True)
class Follow:
    """Follow a relation from here on, or (with None) not any more."""

    at: Milestone
    relation: int
    followed: Followed | None

    script = "follow"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the script after those of the milestone."""
        if self.followed is None:
            return str(self.relation), "", ""
        return str(self.relation), str(self.followed.publication_entry), self.followed.digest


Step = Evict | MoveWatermark | Advance | Follow
