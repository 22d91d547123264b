"""From the replication stream to the event log: decode, gate, publish, watermark. Consistency contract, section 4.

One task does it all, round and round, so that the order of things is the order of the lines below: what the socket
holds is decoded; then Postgres is looked at; what the snapshot shows is published; then comes the watermark, if one is
due. Between the last publication and the watermark's records stands no await. The task sleeps until bytes come, the log
acknowledges, or the next thing is due.
"""

import asyncio
import time
from dataclasses import dataclass

from services.cdc.appender import Appender
from services.cdc.control import ControlConnection
from services.cdc.gate import Snapshot
from services.cdc.pgoutput.decoder import Decoder
from services.cdc.pgoutput.messages import LogicalMessage
from services.cdc.publisher import Publisher
from services.cdc.replication.errors import ReplicationError
from services.cdc.replication.frames import Keepalive, XLogData
from services.cdc.replication.stream import ReplicationConnection
from services.cdc.statistics import CdcStatistics
from services.cdc.transactions import Assembler, Bounds, Transaction
from services.cdc.wakeup import Wakeup
from services.cdc.watermark import Round, WatermarkSchedule, watermark_at
from services.shared.lsn import NO_LSN, Lsn
from services.shared.runtime.processor_wait import ProcessorWait

FRAMES_AT_ONCE = 2_000
"""Frames that are decoded before anything else has its turn: about 10 ms."""

UNACKNOWLEDGED_BYTES = 16 * 1024**2
"""Beyond this the stream is not read on: the log is slow, and Postgres keeps the WAL better than our memory does."""

STATUS_SECONDS = 1.0
"""How often Postgres is told what it may forget. What it was not told it sends again after a restart: harmless."""

STATUS_AT_LEAST_SECONDS = 3.0
"""How often Postgres hears of us when there is nothing new to tell; see `SENDER_TIMEOUT_SECONDS`."""

GATE_SECONDS = 0.001
GATE_AT_MOST_SECONDS = 0.010
"""How long a held transaction waits for the next snapshot: a tenth of the time that it has waited, between these. One
that waits for a dead standby may do so for hours; it need not cost a thousand queries a second."""

NUDGE_SECONDS = 0.05
"""How long the end of the WAL may stand still while a commit waits: a fraction of the usual bounds, and next to no
WAL."""

BARRIER_AT_MOST_SECONDS = 0.1
"""The same at the birth barrier, which a forgotten transaction can hold up for hours."""


@dataclass(slots=True)
class _Held:
    """A transaction that is decoded and not yet published."""

    transaction: Transaction
    since: float
    xid: int | None = None  # in 64 bits, once a snapshot has come


class Relay:
    """Moves changes from one replication stream to the event log, for one incarnation.

    Attributes:
        catalog_changed: Set when a transaction has become visible that says that it changed the catalog.
    """

    def __init__(
        self,
        stream: ReplicationConnection,
        gate: ControlConnection,
        appender: Appender,
        publisher: Publisher,
        statistics: CdcStatistics,
        wakeup: Wakeup,
    ) -> None:
        """Prepare.

        Args:
            stream: The replication connection, streaming.
            gate: An ordinary connection to the same server, for nothing else.
            appender: The incarnation's appender.
            publisher: The incarnation's publisher, which has begun.
            statistics: Where to count.
            wakeup: What wakes the relay; the appender wakes it too.
        """
        self.catalog_changed = asyncio.Event()
        self._covered = NO_LSN
        self._stream = stream
        self._gate = gate
        self._appender = appender
        self._publisher = publisher
        self._statistics = statistics
        self._wakeup = wakeup
        self._decoder = Decoder()
        self._assembler = Assembler(Bounds())
        self._schedule = WatermarkSchedule()
        self._processors = ProcessorWait()
        self._held: list[_Held] = []
        self._delivered = appender.ledger.confirmed
        self._heartbeat_sent = False  # in this round
        self._asked_for = NO_LSN  # the round's insert LSN for which Postgres was asked how far it is
        self._gate_at = 0.0
        self._end, self._end_since = NO_LSN, 0.0
        self._more_to_read = False
        self._reply_requested = False
        self._status_at = 0.0
        self._reported = Lsn(0)

    def covers(self, lsn: Lsn) -> bool:
        """Tell whether the last watermark covers an insert LSN."""
        return lsn < self._covered

    async def pass_barrier(self) -> None:
        """Return when every transaction that is open now has ended; what they changed may never be streamed.

        Changes are published meanwhile, watermarks are not (the birth barrier, section 4.2).
        """
        barrier = await self._gate.assign_xid()
        started = time.monotonic()
        while (await self._step()).xmin < barrier:
            now = time.monotonic()
            await self._sleep(until=now + min(max((now - started) / 10, GATE_SECONDS), BARRIER_AT_MOST_SECONDS))

    async def run(self) -> None:
        """Relay until something fails.

        Raises:
            ReplicationError, PgoutputError, ControlError, SnapshotError, LogError, ProgressError: The incarnation is
                over.

        Cancel-safe: no; what was being published is published in part. The next incarnation publishes it again.
        """
        while True:
            self._read()
            if time.monotonic() >= self._look_due():
                await self._look()
            if self._schedule.round is not None:
                await self._watermark(self._schedule.round)
            self._report()
            await self._sleep(until=self._next_due())

    async def _step(self) -> Snapshot:
        """Relay once, without a watermark, and return the snapshot that was taken."""
        self._read()
        snapshot = await self._gate.snapshot()
        self._publish(snapshot)
        self._report()
        return snapshot

    def _read(self) -> None:
        """Decode what has arrived."""
        if self._appender.failure is not None:
            raise self._appender.failure
        self._more_to_read = False
        if self._appender.unacknowledged_bytes > UNACKNOWLEDGED_BYTES:
            return
        frames, self._more_to_read = self._stream.receive(FRAMES_AT_ONCE)
        for frame in frames:
            if isinstance(frame, XLogData):
                self._decode(frame.payload)
            else:
                self._hear(frame)

    def _decode(self, payload: bytes) -> None:
        wide = self._assembler.wide
        if wide and self._decoder.row_relation(payload) in wide:
            return
        message = self._decoder.decode(payload)
        if isinstance(message, LogicalMessage) and not message.transactional:
            self._delivered = max(self._delivered, message.lsn)
            return
        transaction = self._assembler.feed(message, len(payload))
        if transaction is None:
            return
        if transaction.end_lsn <= self._delivered:
            raise ReplicationError("a transaction came after the stream had claimed to be past it")
        self._delivered = transaction.end_lsn
        if transaction.changes or transaction.catalog_changed:
            self._held.append(_Held(transaction, time.monotonic()))
            self._gate_at = 0.0

    def _hear(self, keepalive: Keepalive) -> None:
        """Take a keepalive: everything that committed up to its WAL end has been sent before it."""
        self._delivered = max(self._delivered, keepalive.wal_end)
        self._reply_requested |= keepalive.reply_requested

    def _publish(self, snapshot: Snapshot) -> None:
        """Publish what a snapshot shows that was taken after everything held was decoded. The others stay."""
        staying = []
        for held in self._held:
            if held.xid is None:
                held.xid = snapshot.widen(held.transaction.xid)
            if snapshot.shows(held.xid):
                self._publisher.publish(held.transaction, held.xid)
                self._schedule.published()
                if held.transaction.catalog_changed:
                    self.catalog_changed.set()
            else:
                staying.append(held)
        self._held = staying
        self._statistics.held = len(staying)
        if staying:
            now = time.monotonic()
            waited = (now - staying[0].since) / 10
            self._gate_at = now + min(max(waited, GATE_SECONDS), GATE_AT_MOST_SECONDS)

    async def _look(self) -> None:
        """Look at Postgres, publish what the snapshot shows, and begin a round if it is worth its while."""
        began, delivered, before = time.monotonic(), self._delivered, self._schedule.round
        look = await self._gate.look()
        now = time.monotonic()
        self._schedule.pace.note(now - began, self._processors.look(now))
        self._publish(look.snapshot)
        self._statistics.lag_bytes = max(look.insert_lsn - self._covered, 0)
        self._schedule.looked(now, look, delivered)
        if before is None:
            self._heartbeat_sent = False
        await self._nudge(now, look.insert_lsn)

    async def _nudge(self, now: float, insert_lsn: Lsn) -> None:
        """Move the WAL's end while a commit waits and nothing else moves it.

        What is held at `a` keeps a watermark from covering a probe at `a`. Without a later LSN to speak of, nothing
        would be proven fresh for as long as a synchronous standby is dead: nobody else's commits come through either.
        """
        if insert_lsn != self._end:
            self._end, self._end_since = insert_lsn, now
        elif self._held and now - max(self._end_since, self._held[0].since) >= NUDGE_SECONDS:
            self._end_since = now
            self._statistics.heartbeats += 1
            await self._gate.emit_message()

    async def _watermark(self, round_: Round) -> None:
        """End the round if the stream has come far enough; else have Postgres say how far it is, or flush its WAL."""
        if self._delivered < round_.insert_lsn:
            self._read()
        if self._delivered >= round_.insert_lsn:
            self._end_round(round_)
        elif self._asked_for != round_.insert_lsn:
            self._asked_for = round_.insert_lsn
            self._stream.send_status(self._appender.ledger.confirmed, reply_requested=True)
        elif time.monotonic() >= round_.heartbeat_at and not self._heartbeat_sent:
            self._heartbeat_sent = True
            self._statistics.heartbeats += 1
            await self._gate.emit_message()

    def _end_round(self, round_: Round) -> None:
        """Publish what the round's snapshot shows and say what may be said, with no await from here to there."""
        self._publish(round_.snapshot)
        value = watermark_at(round_.insert_lsn, [held.transaction for held in self._held])
        self._publisher.watermark(value)
        self._schedule.sent(time.monotonic())
        self._covered = value.watermark

    def _report(self) -> None:
        """Tell Postgres what it may forget, when it asks, when there is news, and now and then."""
        now = time.monotonic()
        confirmed = self._appender.ledger.confirmed
        if self._reply_requested or now >= self._report_due():
            self._stream.send_status(confirmed, reply_requested=False)
            self._status_at, self._reported, self._reply_requested = now, confirmed, False
        self._statistics.confirmed_lsn = confirmed
        self._statistics.unacknowledged = self._appender.ledger.unacknowledged

    def _report_due(self) -> float:
        news = self._appender.ledger.confirmed > self._reported
        return self._status_at + (STATUS_SECONDS if news else STATUS_AT_LEAST_SECONDS)

    def _look_due(self) -> float:
        schedule = self._schedule
        return min(schedule.look_at, max(self._gate_at, schedule.paced_at)) if self._held else schedule.look_at

    def _next_due(self) -> float:
        """Return when there is something to do without being woken."""
        due = min(self._report_due(), self._look_due())
        round_ = self._schedule.round
        return due if round_ is None or self._heartbeat_sent else min(due, round_.heartbeat_at)

    async def _sleep(self, until: float) -> None:
        """Wait until a time, for bytes, or for an acknowledgement that somebody waits for."""
        now, paced_at = time.monotonic(), self._schedule.paced_at
        if self._more_to_read:
            until = 0.0
        elif self._schedule.round is None and now < paced_at:
            until = min(until, paced_at)  # what comes before cannot be told of before, and is read with the rest
        # While a commit waits for its look, what comes behind it can wait with it.
        elif not self._held and self._appender.unacknowledged_bytes <= UNACKNOWLEDGED_BYTES:
            self._stream.watch(self._wakeup.wake)
        self._appender.awaited = self._appender.unacknowledged_bytes > UNACKNOWLEDGED_BYTES
        await self._wakeup.wait(until - now)
