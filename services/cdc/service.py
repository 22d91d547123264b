"""The CDC service of one cache: incarnation after incarnation, for as long as it is asked to run.

What a person has to mend is refused at the start, with what mends it. Once the service has run, everything is retried
for ever and quietly: a database that is restarted, an event log that is away, a slot that somebody else still holds.
"""

import asyncio
import time

from services.cdc.control import ControlConnection
from services.cdc.errors import ControlError, SetupError
from services.cdc.gate import SnapshotError
from services.cdc.incarnation import run_incarnation
from services.cdc.progress import ProgressError
from services.cdc.replication.errors import ReplicationError, SlotBusyError, SlotUnusableError
from services.cdc.setup import remove_all
from services.cdc.statistics import CdcStatistics
from services.cdc.unreadable import UNREADABLE, UnreadableStream
from services.shared.eventlog.log import LogError, LogUnsuitable
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.cancellation import raise_if_cancelled
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.logging import cache_context, get_logger
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.telemetry import Telemetry

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
STANDBY_SECONDS = 0.5
"""How often an instance looks that stands by because another one has the slot."""

STEADY_SECONDS = 10.0
"""An incarnation that lasted this long was a success: the next failure is a new one."""

_FAILURES = (ControlError, ReplicationError, *UNREADABLE, SnapshotError, ProgressError, LogError, SetupError)
_FOR_A_PERSON = (SetupError, LogUnsuitable)

_log = get_logger(__name__)


async def run_cdc(cache: CacheSettings, telemetry: Telemetry, statistics: CdcStatistics | None = None) -> None:
    """Follow the changes of a database until cancelled.

    Args:
        cache: The cache.
        telemetry: Where to show what is counted; the view for this cache.
        statistics: What to count in; made when not given.

    Raises:
        Refusal: Postgres, our role or the event log is not set up for us, found before anything was followed.

    Cancel-safe: yes; whatever was not confirmed is sent again to the next incarnation.
    """
    statistics = statistics or CdcStatistics()
    statistics.register(telemetry)
    with cache_context(cache.name):
        await _run_for_ever(cache, statistics)


async def _run_for_ever(cache: CacheSettings, statistics: CdcStatistics) -> None:
    backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
    unreadable = UnreadableStream(cache.slot)
    slot_anew = False
    while True:
        began_at, waits = time.monotonic(), backoff
        try:
            await run_incarnation(cache, statistics, slot_anew=slot_anew)
        except SlotBusyError as busy:
            raise_if_cancelled()
            await _stand_by(busy, statistics)
            continue
        except _FAILURES as failure:
            if isinstance(failure, _FOR_A_PERSON) and not statistics.incarnations:
                raise Refusal(str(failure)) from failure
            if time.monotonic() - began_at >= STEADY_SECONDS:
                backoff.reset()
            slot_anew = isinstance(failure, SlotUnusableError)
            raise_if_cancelled()  # it may have failed while everything was being cancelled
            if isinstance(failure, UNREADABLE):
                waits = unreadable.backoff
                _meet_unreadable(failure, unreadable, statistics)
            else:
                _tell(failure, backoff.attempts)
                statistics.trouble = str(failure)
        finally:
            statistics.connected = 0
        await waits.wait()


async def _stand_by(busy: SlotBusyError, statistics: CdcStatistics) -> None:
    """Wait a moment: another instance follows the changes, or Postgres has not noticed yet that one has ended."""
    if statistics.trouble != str(busy):
        _log.info("standing by", reason=str(busy))
    statistics.trouble = str(busy)
    await asyncio.sleep(STANDBY_SECONDS)


def _meet_unreadable(failure: Exception, stream: UnreadableStream, statistics: CdcStatistics) -> None:
    """Say what cannot be read, every time."""
    statistics.unreadable += 1
    statistics.trouble = stream.explain(failure)
    stream.met(statistics.confirmed_lsn)
    _log.error("changes are not followed", error=statistics.trouble, attempts=stream.backoff.attempts + 1)


def _tell(failure: Exception, attempts: int) -> None:
    """Log why an incarnation ended: loudly the first time, quietly while the same goes on."""
    tell = _log.debug if attempts else _log.warning
    tell("changes are not followed; trying again", error=failure, kind=type(failure).__name__, attempts=attempts + 1)


async def remove(cache: CacheSettings) -> None:
    """Take what the service made out of the database again: slot, publication, canary. For a stop that is to last.

    Raises:
        SetupError: The slot is in use, or is not ours.
        ControlError: Postgres cannot be reached, or refused.
    """
    control = await ControlConnection.open(cache.upstream, "tidegate-cdc")
    try:
        await remove_all(control, cache.name, cache.slot, cache.publication)
    finally:
        await control.close()
