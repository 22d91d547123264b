"""The invalidator of one cache, for as long as it is asked to run: what can pass is tried again, quietly, for ever."""

import time

import redis.asyncio

from services.invalidator.budget import TagBudget
from services.invalidator.consumer import Consumer
from services.invalidator.dead_letter_box import DeadLetterBox
from services.invalidator.evictor import Evictor
from services.invalidator.reasons import InvalidatorError, MemoryPolicyError, NothingToFollowError, OtherOwnerError
from services.invalidator.records import RecordReader
from services.invalidator.statistics import InvalidatorStatistics
from services.invalidator.stopping import until_one_fails
from services.invalidator.upkeep import Upkeep, check_memory_policy
from services.shared.eventlog.factory import open_reader
from services.shared.eventlog.log import EventLogReader, LogError, LogUnsuitable
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.scripts import Bucket, BucketUnavailable
from services.shared.redis_client import Part, connect
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.cancellation import raise_if_cancelled
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.logging import cache_context, get_logger
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.telemetry import Telemetry

FIRST_RETRY_SECONDS = 0.02
LONGEST_RETRY_SECONDS = 0.5
STEADY_SECONDS = 5.0
"""After this long without a failure the next one is a new one."""

REDIS_TIMEOUT_SECONDS = 5.0
"""Longer than any script and than an fsync on a busy disk, much shorter than a person's patience."""

_FAILURES = (BucketUnavailable, LogError, InvalidatorError)
_FOR_A_PERSON = (OtherOwnerError, MemoryPolicyError, LogUnsuitable)

_log = get_logger(__name__)


async def run_invalidator(
    cache: CacheSettings, telemetry: Telemetry, statistics: InvalidatorStatistics | None = None
) -> None:
    """Turn a cache's events into evictions until cancelled.

    Args:
        cache: The cache.
        telemetry: Where to show what is counted; the view for this cache.
        statistics: What to count in; made when not given.

    Raises:
        Refusal: The bucket is another database's; or Redis or the event log is not set up for us, found at the start.

    Cancel-safe: yes; progress is kept with the effects.
    """
    statistics = statistics or InvalidatorStatistics()
    statistics.register(telemetry)
    redis_url = cache.redis_url.get_secret_value()
    client = connect(
        redis_url, cache.prefix, REDIS_TIMEOUT_SECONDS, None, Part.INVALIDATOR
    )  # the bucket has a time-out
    box = DeadLetterBox(DeadLetters(client, cache.name, REDIS_TIMEOUT_SECONDS), statistics)
    try:
        with cache_context(cache.name):
            await until_one_fails(_run_for_ever(cache, client, RecordReader(cache.name, statistics, box)), box.run())
    finally:
        await client.aclose()


async def _run_for_ever(cache: CacheSettings, client: "redis.asyncio.Redis", records: RecordReader) -> None:
    statistics = records.statistics
    backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
    while True:
        raise_if_cancelled()
        began_at = time.monotonic()
        try:
            await _follow(cache, client, records)
        except _FAILURES as failure:
            at_start = not statistics.adoptions
            if isinstance(failure, OtherOwnerError) or (at_start and isinstance(failure, _FOR_A_PERSON)):
                raise Refusal(str(failure)) from failure
            if time.monotonic() - began_at >= STEADY_SECONDS:
                backoff.reset()
            _tell(failure, backoff.attempts)
            statistics.trouble = str(failure)
        finally:
            statistics.following = 0
        await backoff.wait()


async def _follow(cache: CacheSettings, client: "redis.asyncio.Redis", records: RecordReader) -> None:
    """Follow the log until something fails."""
    await check_memory_policy(client)
    bucket = Bucket(client, cache.name, cache.partitions, cache.max_entry_age, REDIS_TIMEOUT_SECONDS)
    reader = open_reader(cache)
    try:
        await reader.open()
        await bucket.load()
        await _run(cache, client, bucket, reader, records)
    finally:
        await reader.close()


async def _run(
    cache: CacheSettings,
    client: "redis.asyncio.Redis",
    bucket: Bucket,
    reader: EventLogReader,
    records: RecordReader,
) -> None:
    statistics = records.statistics
    consumer = Consumer(
        reader,
        bucket,
        Evictor(bucket, statistics, TagBudget()),
        statistics,
        records,
        log_beside_bucket=cache.kafka is None,
    )
    upkeep = Upkeep(client, bucket, consumer, statistics)
    await until_one_fails(consumer.run(), upkeep.run())


def _tell(failure: Exception, attempts: int) -> None:
    """Log why the log is not followed: loudly the first time, quietly while the same goes on."""
    quiet = attempts > 0 or isinstance(failure, NothingToFollowError)
    tell = _log.debug if quiet else _log.warning
    tell("the event log is not followed; trying again", error=str(failure), kind=type(failure).__name__)
