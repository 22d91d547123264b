"""How an incarnation begins: does it go on with the history that the event log holds, or start another? Pure.

A history (stream epoch) goes on if everything that identifies it is as the newest record says. Where the slot was
confirmed beyond what the log holds (it was advanced by hand, or the log has lost its end), the epoch still goes on: its
readers notice the gap themselves. But then there may be commits that nobody sees yet and that will never be streamed,
so the birth barrier stands before the first watermark (consistency contract, section 4.2).

What identifies a history also stands in every copy of the data directory of a server that was stopped. Put back later,
it shows by its LSNs, which lie below what the log has heard of; or, once more has been written than was lost, by the
incarnation that is noted in it: the log has heard of a later one (H36).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.encoding import SchemaError, decode
from schemas.watermark import Watermark
from services.shared.epoch import StreamEpoch
from services.shared.lsn import NO_LSN, Lsn, parse_lsn

TAIL_RECORDS = 1_000
"""How much of each partition's end is read to find its last watermark. One follows every batch of changes; if none is
found, the log counts as holding nothing, which is safe."""


@dataclass(frozen=True, slots=True)
class LogEnd:
    """What the end of the event log says.

    Attributes:
        epoch: Stream epoch of the newest record of every partition; None if there is none, or they differ.
        settled: The c of the last watermark of that epoch, the least over the partitions; 0 where one is missing.
        incarnation: The latest incarnation that wrote one of them.
        newest: The largest LSN that the newest records speak of: the primary's WAL has been at least there.
    """

    epoch: StreamEpoch | None
    settled: Lsn
    incarnation: Lsn = NO_LSN
    newest: Lsn = NO_LSN


def read_log_end(tails: Sequence[Sequence[bytes]]) -> LogEnd:
    """Read the ends of all partitions.

    Args:
        tails: The newest records of each partition, oldest first.
    """
    nothing = LogEnd(None, NO_LSN)
    epochs, settled, incarnations, heard_of = set(), [], [NO_LSN], [NO_LSN]
    for tail in tails:
        try:
            events = [decode(record) for record in tail]
        except SchemaError:
            return nothing  # written by another version of this program
        if not events:
            return nothing
        epoch = events[-1].epoch
        epochs.add(epoch)
        watermarks = [event for event in events if isinstance(event, Watermark) and event.epoch == epoch]
        settled.append(parse_lsn(watermarks[-1].settled) if watermarks else NO_LSN)
        incarnations.append(parse_lsn(events[-1].incarnation))
        heard_of += [parse_lsn(mark.watermark) for mark in watermarks[-1:]]
    if len(epochs) != 1:
        return nothing
    latest = max(incarnations)
    return LogEnd(StreamEpoch.parse(epochs.pop()), min(settled), latest, max(latest, *heard_of))


def reason_for_new_epoch(end: LogEnd, now: StreamEpoch, incarnation: Lsn, *, noted: Lsn, slot_is_new: bool) -> str:
    """Say why the history cannot go on; empty if it can.

    Args:
        end: What the event log says.
        now: What is found now; its canary is empty where the table is.
        incarnation: LSN of the record that was written just now.
        noted: The incarnation that last wrote to the log, as the database has it.
        slot_is_new: Whether the slot was created just now.
    """
    if end.epoch is None:
        return "the event log holds no stream epoch"
    before = end.epoch
    reasons = (
        (now.system != before.system or now.database != before.database, "it is another database"),
        (now.timeline != before.timeline, "the timeline of the primary has changed"),
        (not now.canary, "the canary is gone: the primary has recovered from a crash"),
        (now.canary != before.canary, "the canary is another one"),
        (now.slot != before.slot, "the replication slot has another name"),
        (now.log != before.log, "the event log was made anew"),
        (slot_is_new, "the replication slot is new"),
        (
            noted < end.incarnation or incarnation <= end.newest,
            "the primary's WAL has gone back: it runs on an older copy of its data",
        ),
    )
    return next((reason for applies, reason in reasons if applies), "")
