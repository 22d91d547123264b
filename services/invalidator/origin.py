"""Where a bucket epoch begins. Pure.

At a record, when it does not follow from what was applied; or, when the bucket knows no place, in the log's tail: the
cache is empty, so nothing older needs to be read. Then each partition begins *at its last watermark*: the position is
that of the watermark's predecessor, so the watermark is applied next, and an idle database is warm again at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.encoding import Event
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.watermark import Watermark
from services.invalidator.events import end_of, followed_by, owner_of, position_of
from services.shared.epoch import StreamEpoch
from services.shared.keyspace.state import BucketState, EpochBegin, Followed
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import START, Position


@dataclass(frozen=True, slots=True)
class TailRecord:
    """A record of the log's tail, and where it stands."""

    place: str
    next_place: str
    event: Event


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest records of a partition, oldest first, and where reading goes on after them."""

    records: Sequence[TailRecord]
    end: str


def begin_at_record(
    state: BucketState, partition: int, record: TailRecord, places: Sequence[str], reason: str
) -> EpochBegin:
    """Return the bucket epoch that begins at a record.

    Args:
        state: The bucket as it is.
        partition: The record's partition.
        record: The record. It is the first to be applied, unless it begins its incarnation: such a one does nothing.
        places: How far each partition was read.
        reason: Why an epoch begins.
    """
    event, position, place = record.event, position_of(record.event), record.next_place
    if position.k > 0:
        position, place = Position(position.incarnation, position.k - 1), record.place
    if event.epoch == state.stream_epoch:
        positions, next_places = list(state.positions), list(state.places)
    else:  # it has yet to begin in the other partitions
        positions, next_places = [START] * len(places), list(places)
    positions[partition], next_places[partition] = position, place
    return EpochBegin(
        stream_epoch=event.epoch,
        owner=owner_of(event.epoch),
        positions=tuple(positions),
        places=tuple(next_places),
        reason=reason,
        highest_commit=max(state.highest_commit, end_of(event)),
    )


def begin_at_tail(tails: Sequence[Tail], reason: str) -> EpochBegin | None:
    """Return the bucket epoch that begins in the log's tail.

    Args:
        tails: One for each partition.
        reason: Why an epoch begins.

    Returns:
        The beginning; None if the log holds nothing yet.
    """
    epochs = [epoch for epoch in map(_newest_epoch, tails) if epoch]
    if not epochs:
        return None
    stream_epoch = epochs[0]
    for epoch in epochs[1:]:
        if _supersedes(epoch, stream_epoch, tails):
            stream_epoch = epoch
    starts = [_start(tail, stream_epoch) for tail in tails]
    records = [record for tail in tails for record in tail.records if record.event.epoch == stream_epoch]
    return EpochBegin(
        stream_epoch=stream_epoch,
        owner=owner_of(stream_epoch),
        positions=tuple(position for position, _ in starts),
        places=tuple(place for _, place in starts),
        reason=reason,
        highest_commit=max((end_of(record.event) for record in records), default=NO_LSN),
        followed=_followed(records),
    )


def _newest_epoch(tail: Tail) -> str:
    """Return the stream epoch that a partition is in at its end; empty if it has no records.

    A record of a history that was left can still be written, by a CDC service that does not know yet. So what counts is
    the last epoch that was begun, and only without one the last record.
    """
    begun = [record.event.epoch for record in tail.records if isinstance(record.event, EpochStart)]
    if begun:
        return begun[-1]
    return tail.records[-1].event.epoch if tail.records else ""


def _supersedes(epoch: str, other: str, tails: Sequence[Tail]) -> bool:
    """Tell which of two stream epochs at the ends of partitions is the later one.

    Partitions can differ for a moment: an epoch begins in one after the other. Within one cluster timelines, then
    incarnations, rise; otherwise whichever the first partition is in stands.
    """
    one, two = StreamEpoch.parse(epoch), StreamEpoch.parse(other)
    if one.system != two.system:
        return False
    return (int(one.timeline, 16), _highest(tails, epoch)) > (int(two.timeline, 16), _highest(tails, other))


def _highest(tails: Sequence[Tail], epoch: str) -> Lsn:
    positions = [position_of(record.event) for tail in tails for record in tail.records if record.event.epoch == epoch]
    return max(positions, default=START).incarnation


def _start(tail: Tail, stream_epoch: str) -> tuple[Position, str]:
    """Return where a partition begins: position that counts as applied, and place to read on from."""
    records = [record for record in tail.records if record.event.epoch == stream_epoch]
    for record in reversed(records):
        if isinstance(record.event, Watermark) and record.event.k > 0:
            incarnation, k = position_of(record.event)
            return Position(incarnation, k - 1), record.place
    if records:
        return position_of(records[-1].event), records[-1].next_place
    return START, tail.end  # the epoch has yet to begin in this partition


def _followed(records: Sequence[TailRecord]) -> dict[int, Followed]:
    """Return the relations that the records call followed. All are described again from time to time."""
    followed: dict[int, Followed] = {}
    for record in records:
        event = record.event
        if isinstance(event, RelationSchema):
            followed[event.relation] = followed_by(event)
        elif isinstance(event, RelationWide) and event.op == "unfollowed":
            followed.pop(event.relation, None)
    return followed
