"""One incarnation of the CDC service: from connecting to the first error. Consistency contract, section 4.

The order of the steps is part of the contract. The slot is taken first, because it is exclusive: whoever streams from
it is the only one who writes canary and log. Then comes what must lie after the start of the stream: where it began
(F), and a record of our own whose LSN names the incarnation. Then the first records of the log, the birth barrier where
it is needed, what is followed, and from there on changes and watermarks until something fails.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass

from services.cdc.appender import Appender
from services.cdc.beginning import TAIL_RECORDS, LogEnd, read_log_end, reason_for_new_epoch
from services.cdc.canary import note_incarnation, read_canary, read_incarnation, renew_canary
from services.cdc.control import ControlConnection, Server
from services.cdc.ddl_trigger import prepare_ddl_trigger
from services.cdc.follower import Follower
from services.cdc.progress import ProgressLedger
from services.cdc.publisher import Publisher
from services.cdc.relay import Relay
from services.cdc.replication.errors import ReplicationError
from services.cdc.replication.slot import find_slot, prepare_slot
from services.cdc.replication.stream import ReplicationConnection
from services.cdc.setup import check_same_server, check_server, prepare_database
from services.cdc.statistics import CdcStatistics
from services.cdc.wakeup import Wakeup
from services.shared.epoch import StreamEpoch
from services.shared.eventlog.factory import open_writer
from services.shared.eventlog.log import EventLogWriter, LogGap
from services.shared.lsn import Lsn, format_lsn
from services.shared.runtime.cancellation import cancel_until_done, raise_if_cancelled
from services.shared.runtime.logging import get_logger
from services.shared.runtime.settings import CacheSettings

LOG_CHECK_SECONDS = 1.0
"""How often to ask whether the event log is still the one that we write to. On an idle database nothing is written, so
nobody else would notice that it was deleted."""

CLOSE_SECONDS = 1.0
"""How long closing the event log may take before it is cancelled."""

_SLOW_SECONDS = 5.0  # a step that takes longer is explained

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Connections:
    """What an incarnation holds open."""

    gate: ControlConnection
    control: ControlConnection
    replication: ReplicationConnection


@dataclass(frozen=True, slots=True)
class _Start:
    """How the incarnation begins.

    Attributes:
        incarnation: The LSN that names it.
        stream_from: F: where decoding began.
        epoch: Its stream epoch.
        reason: Why that is a new one; empty if it is the one of the log.
        barrier: Whether the birth barrier is needed.
    """

    incarnation: Lsn
    stream_from: Lsn
    epoch: StreamEpoch
    reason: str
    barrier: bool


async def run_incarnation(cache: CacheSettings, statistics: CdcStatistics, *, slot_anew: bool) -> None:
    """Connect, begin, and relay until something fails; everything is closed then.

    Args:
        cache: The cache.
        statistics: Where to count.
        slot_anew: Whether the slot that exists has turned out to be of no use.

    Raises:
        SetupError: Postgres, or our role, is not set up for us.
        ControlError, ReplicationError, PgoutputError, SnapshotError, LogError, ProgressError: Something failed. The
            next incarnation may do better.
    """
    async with AsyncExitStack() as stack:
        connections = await _connect(cache, stack)
        server = await connections.gate.server()
        slot_is_new = await _take_slot(cache, connections, server, anew=slot_anew)
        writer = await _open_log(cache, stack)
        start = await _decide(cache, connections, writer, server, slot_is_new=slot_is_new)
        raise_if_cancelled()
        await _relay(cache, connections, writer, start, statistics)


async def _connect(cache: CacheSettings, stack: AsyncExitStack) -> _Connections:
    """Open everything, the cheapest to refuse first."""
    upstream = cache.upstream
    control = await ControlConnection.open(upstream, "tidegate-cdc")
    stack.push_async_callback(control.close)
    await check_server(control, cache.slot, cache.publication)
    gate = await ControlConnection.open(upstream, "tidegate-cdc-gate")
    stack.push_async_callback(gate.close)
    async with AsyncExitStack() as trial:  # no slot is made for a log that cannot be written
        await _open_log(cache, trial)
    replication = await ReplicationConnection.open(upstream, "tidegate-cdc")
    stack.push_async_callback(replication.close)
    return _Connections(gate, control, replication)


async def _open_log(cache: CacheSettings, stack: AsyncExitStack) -> EventLogWriter:
    """Open the event log. The one to write to is opened after the slot was taken: by then nobody else writes."""
    writer = open_writer(cache)
    stack.push_async_callback(_close_log, writer)
    await writer.open()
    return writer


async def _close_log(writer: EventLogWriter) -> None:
    """Close the log, and do not let it keep us: its own task may have missed that it was cancelled."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.close()
    except TimeoutError:
        _log.warning("the event log took long to close", timeout_seconds=CLOSE_SECONDS)


async def _take_slot(cache: CacheSettings, connections: _Connections, server: Server, *, anew: bool) -> bool:
    """Start the stream, on a slot that is made if need be; return whether it is new."""
    await check_same_server(server, connections.replication)
    publication_is_new = await prepare_database(connections.control, cache.publication)
    trouble = await prepare_ddl_trigger(connections.control, wanted=cache.ddl_trigger)
    if trouble:
        _log.warning("there is no event trigger that would tell of DDL at once", error=trouble)
    slow = asyncio.get_running_loop().call_later(
        _SLOW_SECONDS, _log.info, "a replication slot waits for the transactions that are open on the server"
    )
    try:
        slot_is_new = await prepare_slot(
            connections.control,
            connections.replication,
            cache.slot,
            anew=anew or publication_is_new,
            failover=cache.failover_slot,
        )
    finally:
        slow.cancel()
    await connections.replication.start(cache.slot, cache.publication)
    if await connections.control.server() != server:
        raise ReplicationError("two connections lead to two servers: name one primary in database_url")
    return slot_is_new


async def _decide(
    cache: CacheSettings, connections: _Connections, writer: EventLogWriter, server: Server, *, slot_is_new: bool
) -> _Start:
    """Find out where the stream began, and whether the history in the log goes on from there."""
    slot = await find_slot(connections.control, cache.slot)
    if slot is None or slot.confirmed is None:
        raise ReplicationError(f"replication slot {cache.slot} has vanished")
    incarnation = await connections.gate.emit_message()
    end = await _read_log_end(writer)
    epoch = StreamEpoch(
        system=server.system,
        database=server.database,
        timeline=server.timeline,
        canary=await read_canary(connections.gate, cache.name),
        slot=cache.slot,
        log=await writer.identity(),
    )
    noted = await read_incarnation(connections.gate, cache.name)
    reason = reason_for_new_epoch(end, epoch, incarnation, noted=noted, slot_is_new=slot_is_new)
    if reason:
        canary = await renew_canary(connections.gate, cache.name)
        log_identity = await writer.begin_epoch(incarnation)
        epoch = StreamEpoch(server.system, server.database, server.timeline, canary, cache.slot, log_identity)
    await note_incarnation(connections.gate, cache.name, incarnation)
    return _Start(incarnation, slot.confirmed, epoch, reason, bool(reason) or slot.confirmed > end.settled)


async def _read_log_end(writer: EventLogWriter) -> LogEnd:
    tails = [await writer.tail(partition, TAIL_RECORDS) for partition in range(writer.partition_count)]
    return read_log_end([[record.value for record in tail] for tail in tails])


async def _relay(
    cache: CacheSettings,
    connections: _Connections,
    writer: EventLogWriter,
    start: _Start,
    statistics: CdcStatistics,
) -> None:
    """Write the first records, pass the barrier, describe what is followed, and relay."""
    wakeup = Wakeup()
    appender = Appender(writer, ProgressLedger(start.stream_from), wakeup.wake)
    appender.begin(cache.name, str(start.epoch), start.incarnation)
    publisher = Publisher(appender, statistics, frozenset(cache.hashed_columns))
    relay = Relay(connections.replication, connections.gate, appender, publisher, statistics, wakeup)
    follower = Follower(connections.control, cache, publisher, relay, statistics)
    _announce(start, publisher, statistics)

    plan = await follower.prepare()
    if start.barrier:
        statistics.trouble = "it waits for the transactions that were open when it began"
        slow = asyncio.get_running_loop().call_later(_SLOW_SECONDS, _log.info, statistics.trouble)
        try:
            await relay.pass_barrier()
        finally:
            slow.cancel()
    await follower.begin(plan, barrier_passed=start.barrier)
    statistics.trouble, statistics.connected = "", 1
    await _until_one_fails(relay.run(), follower.run(), _check_log(writer, start))


async def _until_one_fails(*endless: Coroutine[None, None, None]) -> None:
    """Run coroutines that end by failing only, and raise what the first one raises once all have ended.

    Not a TaskGroup: that forgets that it was itself cancelled when one of its tasks fails on being cancelled, as a
    query on a connection that is being closed does.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in endless]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = next(iter(ended))
    finally:
        await cancel_until_done(tasks)
        for task in tasks:  # what the others raised came of being cancelled
            task.cancelled() or task.exception()
    first.result()


def _announce(start: _Start, publisher: Publisher, statistics: CdcStatistics) -> None:
    """Begin in the log."""
    statistics.incarnations += 1
    if start.reason:
        statistics.epochs += 1
        publisher.begin_epoch(start.reason)
    else:
        publisher.resume(start.stream_from)
    _log.info(
        "following changes in a new history" if start.reason else "following changes: nothing was missed",
        incarnation=format_lsn(start.incarnation),
        resume_from=format_lsn(start.stream_from),
        reason=start.reason or None,
        barrier=start.barrier,
    )


async def _check_log(writer: EventLogWriter, start: _Start) -> None:
    """Notice that the event log was deleted or made anew.

    Raises:
        LogError: It was, or cannot be asked.
    """
    while True:
        await asyncio.sleep(LOG_CHECK_SECONDS)
        if await writer.identity() != start.epoch.log:
            raise LogGap("the event log was made anew")
