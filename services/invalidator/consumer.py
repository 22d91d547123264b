"""Follows the event log and moves the bucket along: the heart of the invalidator. Consistency contract, 5 and 6.

Nothing of value is kept here. Where reading goes on stands in the bucket, stored with the effects by the same scripts;
so a restart resumes exactly, a bucket that went back in time is caught up, and twins do not disturb each other. What is
kept is a copy, and every step that is built on it is checked in the bucket.

Whenever the copy and the bucket differ, `_adopt` takes the bucket's word. Whenever records are missing, a new bucket
epoch begins: a cold cache, which is always right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.encoding import Event
from schemas.epoch import EpochStart
from services.invalidator.events import link_of
from services.invalidator.evictor import Accepted, Evictor
from services.invalidator.origin import Tail, TailRecord, begin_at_record, begin_at_tail
from services.invalidator.reasons import EpochReason, NothingToFollowError, OtherOwnerError
from services.invalidator.records import RecordReader
from services.invalidator.statistics import InvalidatorStatistics
from services.shared.epoch import StreamEpoch
from services.shared.eventlog.chain import Chain, Link, LinkKind, Verdict
from services.shared.eventlog.log import EventLogReader, LogGap, LogRecord
from services.shared.keyspace.keys import format_text
from services.shared.keyspace.outcome import Outcome
from services.shared.keyspace.scripts import Bucket, BucketState, EpochBegin
from services.shared.keyspace.steps import MOST_STEPS, Milestone
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import START, Position
from services.shared.runtime.cancellation import raise_if_cancelled
from services.shared.runtime.logging import get_logger

_READ_WAIT_SECONDS = 0.5  # a silent log is left this often, to look at the bucket
_TAIL_RECORDS = (
    2_000  # what is followed is described again every ten seconds; the rest of the tail need not be complete
)

_log = get_logger(__name__)


@dataclass(slots=True)
class _Track:
    """How far a partition has been read."""

    chain: Chain
    place: str


class Consumer:
    """One invalidator of one cache."""

    def __init__(
        self,
        reader: EventLogReader,
        bucket: Bucket,
        evictor: Evictor,
        statistics: InvalidatorStatistics,
        records: RecordReader,
        *,
        log_beside_bucket: bool,
    ) -> None:
        """Prepare.

        Args:
            reader: The event log, opened.
            bucket: The bucket.
            evictor: What takes the steps.
            statistics: Where to count.
            records: What reads events.
            log_beside_bucket: The log is in the same Redis under the same name, so the bucket's owner is the log's.
        """
        self._reader = reader
        self._bucket = bucket
        self._evictor = evictor
        self._statistics = statistics
        self._records = records
        self._log_beside_bucket = log_beside_bucket
        self._tracks: list[_Track] = []
        self._state: BucketState | None = None  # as adopted
        self._left: set[str] = set()  # stream epochs that were left while this object followed
        self._pending: list[Accepted] = []
        self._wanted: EpochReason | None = None

    @property
    def epoch(self) -> str:
        """The bucket epoch that is followed; empty while none is."""
        return self._state.bucket_epoch if self._state is not None else ""

    def ask_for_epoch(self, reason: EpochReason) -> None:
        """Have a new bucket epoch begun, within half a second."""
        self._wanted = reason

    async def run(self) -> None:
        """Follow the log until something fails. It can be run again after every failure but the last.

        Raises:
            BucketUnavailable: Redis does not answer.
            LogUnavailable: The event log does not answer.
            LogGap: It has vanished.
            NothingToFollowError: It is empty.
            OtherOwnerError: The bucket is not ours.

        Cancel-safe: yes; progress is kept with the effects.
        """
        await self._adopt()
        while True:
            raise_if_cancelled()
            if self._wanted is not None:
                reason, self._wanted = self._wanted, None
                await self._begin_unless_others_did(reason, "asked for")
            await self._read_once()

    async def _read_once(self) -> None:
        places = {partition: track.place for partition, track in enumerate(self._tracks)}
        try:
            records = await self._reader.read(places, _READ_WAIT_SECONDS)
        except LogGap as gap:
            await self._meet_log_gap(gap)
            return
        if records:
            await self._take(records)
        else:
            await self._compare()

    async def _compare(self) -> None:
        """See to a bucket that changed while the log was silent: no step would ever meet with a refusal."""
        state = await self._bucket.state()
        behind = any(
            theirs < track.chain.position for theirs, track in zip(state.positions, self._tracks, strict=False)
        )
        if state.bucket_epoch != self.epoch or behind:
            self._statistics.rewinds += 1
            await self._adopt()

    async def _take(self, records: Sequence[LogRecord]) -> None:
        """Apply records, until the bucket has to be adopted anew; what is left is read again from its place."""
        self._pending.clear()
        for record in records:
            if not await self._take_one(record):
                return
            if len(self._pending) >= MOST_STEPS and not await self._flush():
                return
        await self._flush()

    async def _take_one(self, record: LogRecord) -> bool:
        """Judge a record. False when the bucket was adopted anew, and reading starts over."""
        track = self._tracks[record.partition]
        event = self._records.read(record)
        if event is None:
            track.place = record.next_place
            return True
        link, previous = link_of(event), track.chain.position
        settled = NO_LSN
        if link.kind is LinkKind.RESUME:
            if not await self._flush():
                return False
            settled = await self._settled(record.partition)
        verdict = self._judge(link, track.chain, settled)
        if verdict in (Verdict.NEW_EPOCH, Verdict.GAP):
            if await self._flush():
                await self._begin_at_record(record, event, previous)
            return False
        track.place = record.next_place
        if verdict is Verdict.DUPLICATE:
            self._statistics.duplicates += 1
        elif verdict is Verdict.IGNORED:
            self._statistics.ignored += 1
        else:
            at = Milestone(record.partition, previous, link.position, record.next_place)
            self._pending.append(Accepted(at, event))
        return True

    def _judge(self, link: Link, chain: Chain, settled: Lsn) -> Verdict:
        """Ask the chain; and know what it cannot, since it is made anew with every epoch.

        A stream epoch begins in one partition after the other. Where it has yet to begin, the position is START,
        records of the epoch before may still come, and the epoch record is one like any other. So may the beginning of
        an epoch that was passed over: whoever left it may have died since, and nobody remembers.
        """
        waits = chain.position == START
        if link.epoch != self._stream_epoch:
            if link.epoch in self._left or (waits and (link.kind is not LinkKind.EPOCH or self._is_earlier(link))):
                return Verdict.IGNORED
            return chain.accept(link, settled)
        verdict = chain.accept(link, settled)
        return Verdict.NEXT if waits and verdict is Verdict.NEW_EPOCH else verdict

    def _is_earlier(self, link: Link) -> bool:
        """Tell whether a record is of before the epoch that is followed: on one timeline incarnations only rise."""
        epoch, followed = StreamEpoch.parse(link.epoch), StreamEpoch.parse(self._stream_epoch)
        begun = max(track.chain.position.incarnation for track in self._tracks)
        same_history = (epoch.system, epoch.timeline) == (followed.system, followed.timeline)
        return same_history and link.position.incarnation < begun

    async def _flush(self) -> bool:
        """Apply what is pending. False when the bucket was adopted anew."""
        pending, self._pending = self._pending, []
        outcome = await self._evictor.apply(pending)
        if outcome is Outcome.APPLIED:
            return True
        if outcome is Outcome.GAP:
            await self._begin_unless_others_did(EpochReason.CHAIN_GAP, "settled lies below where decoding began")
        elif outcome is Outcome.EVICTIONS_LOST:
            await self._begin_unless_others_did(EpochReason.EVICTIONS_LOST, "a key of the bucket is gone")
        else:
            await self._adopt()
        return False

    async def _settled(self, partition: int) -> Lsn:
        """Return c of a partition's last watermark, as it stands beside the effects: never from memory."""
        settled = (await self._bucket.state()).settled
        return settled[partition] if partition < len(settled) else NO_LSN

    async def _adopt(self) -> None:
        """Go on where the bucket stands; begin an epoch if it cannot be gone on with."""
        registry = await self._bucket.registry()
        state = registry.state
        if not state.bucket_epoch:
            await self._begin_at_tail(state, EpochReason.NO_BUCKET, "nothing in Redis")
            return
        if StreamEpoch.parse(state.stream_epoch).log != await self._reader.identity():
            await self._begin_at_tail(state, EpochReason.OTHER_LOG, "the event log is another one")
            return
        if state.format != format_text(self._bucket.partition_count):
            await self._begin_at_tail(state, EpochReason.OTHER_FORMAT, f"the bucket's is {state.format}")
            return
        if state.stream_epoch in self._left:
            self._left.clear()  # the bucket went back in time
        self._state = state
        self._evictor.adopt(registry)
        self._pending.clear()
        self._tracks = [
            _Track(Chain(state.stream_epoch, position), place)
            for position, place in zip(state.positions, state.places, strict=True)
        ]
        self._statistics.following = 1
        self._statistics.adoptions += 1
        self._statistics.trouble = ""
        positions = list(map(str, state.positions))
        _log.info(
            "following the event log where the cache stands: nothing was missed",
            bucket_epoch=state.bucket_epoch,
            positions=positions,
        )

    async def _meet_log_gap(self, gap: LogGap) -> None:
        """Begin an epoch, unless the bucket is elsewhere: a log in the same Redis goes back together with it."""
        state = await self._bucket.state()
        if (state.bucket_epoch, state.places) != (self.epoch, tuple(track.place for track in self._tracks)):
            await self._adopt()
            return
        await self._begin_at_tail(state, EpochReason.LOG_GAP, gap.reason)

    async def _begin_at_record(self, record: LogRecord, event: Event, previous: Position) -> None:
        """Begin a bucket epoch at a record that does not follow from what was applied."""
        state = await self._bucket.state()
        if state.bucket_epoch != self.epoch or state.positions[record.partition] != previous:
            await self._adopt()
            return
        reason, detail = EpochReason.CHAIN_GAP, f"{event.incarnation} {event.k} does not follow {previous}"
        if isinstance(event, EpochStart):
            reason, detail = EpochReason.STREAM_EPOCH, event.reason
        here = TailRecord(record.place, record.next_place, event)
        places = [track.place for track in self._tracks]
        await self._begin(state, begin_at_record(state, record.partition, here, places, f"{reason}: {detail}"), reason)

    async def _begin_unless_others_did(self, reason: EpochReason, detail: str) -> None:
        """Begin a bucket epoch, unless the one that it is to follow has been followed already."""
        state = await self._bucket.state()
        if state.bucket_epoch != self.epoch:
            await self._adopt()
            return
        await self._begin_at_tail(state, reason, detail)

    async def _begin_at_tail(self, state: BucketState, reason: EpochReason, detail: str) -> None:
        """Begin a bucket epoch at the log's last watermark, if the bucket is still as it was when that was decided."""
        self._statistics.following = 0
        identity = await self._reader.identity()
        tails = [await self._tail(partition) for partition in range(self._bucket.partition_count)]
        begin = begin_at_tail(tails, f"{reason}: {detail}")
        if begin is None or StreamEpoch.parse(begin.stream_epoch).log != identity:
            raise NothingToFollowError("the event log holds no stream epoch so far: is the CDC service running?")
        self._check_owner(state, begin)
        await self._begin(state, begin, reason)

    async def _begin(self, state: BucketState, begin: EpochBegin, reason: EpochReason) -> None:
        outcome = await self._bucket.new_epoch(state, begin)
        if outcome is Outcome.APPLIED:
            self._statistics.count_epoch(reason)
            _log.warning("a bucket epoch began: the cache is cold", reason=begin.reason)
            if begin.stream_epoch != state.stream_epoch:
                self._left.discard(begin.stream_epoch)
                self._left.add(state.stream_epoch)
        await self._adopt()

    async def _tail(self, partition: int) -> Tail:
        records = await self._reader.tail(partition, _TAIL_RECORDS)
        end = records[-1].next_place if records else await self._reader.oldest(partition)
        read = ((record, self._records.look(record)) for record in records)
        return Tail([TailRecord(record.place, record.next_place, event) for record, event in read if event], end)

    def _check_owner(self, state: BucketState, begin: EpochBegin) -> None:
        """Refuse a bucket of another database, unless the log that it follows says that the database was replaced."""
        if not state.bucket_epoch or self._log_beside_bucket or state.owner == begin.owner:
            return
        if StreamEpoch.parse(state.stream_epoch).log == StreamEpoch.parse(begin.stream_epoch).log:
            return
        raise OtherOwnerError(
            f"the cache {self._records.cache!r} in this Redis belongs to the database {state.owner} "
            f"(system identifier/OID), and the event log tells of {begin.owner}: give this cache another name or "
            f"another Redis, or, if the old one is gone for good, delete the key {self._bucket.keys.meta}"
        )

    @property
    def _stream_epoch(self) -> str:
        return self._state.stream_epoch if self._state is not None else ""
