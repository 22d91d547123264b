"""What the bucket needs from time to time: a rotation of evictions, a sweep of indexes, a look at Redis's settings.

None of it decides whether an answer is right; it decides how much memory the answers take.
"""

import asyncio
import time

import redis.asyncio
from redis.exceptions import RedisError

from services.invalidator.consumer import Consumer
from services.invalidator.reasons import EpochReason, MemoryPolicyError
from services.invalidator.statistics import InvalidatorStatistics
from services.shared.keyspace.outcome import Outcome
from services.shared.keyspace.scripts import Bucket, BucketUnavailable
from services.shared.memory_policy import POLICY_SECONDS, policy_trouble
from services.shared.redis_client import memory_policy
from services.shared.redis_errors import describe
from services.shared.runtime.cancellation import raise_if_cancelled

SWEEP_SECONDS = 1.0
"""Between two steps of the sweep, each of which looks at some 500 keys of the whole Redis: next to no load."""

ROTATE_SECONDS = 1.0
"""Between two looks whether a rotation is due, and whether the record of evictions is whole."""


_ANSWER_SECONDS = 5.0


async def check_memory_policy(client: "redis.asyncio.Redis") -> None:
    """Make sure that Redis never deletes what has no time to live: only entries have one, and may go.

    Raises:
        MemoryPolicyError: It might.
        BucketUnavailable: Redis does not answer.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            trouble = policy_trouble(await memory_policy(client))
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        raise BucketUnavailable(f"bucket in Redis: {type(error).__name__}: {describe(error)}") from error
    if trouble:
        raise MemoryPolicyError(trouble)


class Upkeep:
    """Keeps one bucket tidy."""

    def __init__(
        self, client: "redis.asyncio.Redis", bucket: Bucket, consumer: Consumer, statistics: InvalidatorStatistics
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._consumer = consumer
        self._statistics = statistics
        self._cursor = 0

    async def run(self) -> None:
        """Do what is due, until something fails.

        Raises:
            BucketUnavailable: Redis does not answer.
            MemoryPolicyError: Its memory policy has become one that does not do.

        Cancel-safe: yes.
        """
        rotate_at = policy_at = time.monotonic()
        while True:
            raise_if_cancelled()
            now = time.monotonic()
            if now >= rotate_at:
                rotate_at = now + ROTATE_SECONDS
                await self.rotate()
            if now >= policy_at:
                policy_at = now + POLICY_SECONDS
                await check_memory_policy(self._client)
            await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def rotate(self) -> None:
        """Forget old evictions if that is due; ask for an epoch if the record of evictions is not whole."""
        if not self._consumer.epoch:
            return
        outcome = await self._bucket.rotate(self._consumer.epoch)
        if outcome is Outcome.APPLIED:
            self._statistics.rotations += 1
        elif outcome is Outcome.EVICTIONS_LOST:
            self._consumer.ask_for_epoch(EpochReason.EVICTIONS_LOST)

    async def sweep(self) -> None:
        """Take one step of the sweep."""
        done = await self._bucket.sweep(self._cursor)
        self._cursor = done.cursor
        self._statistics.swept += done.removed
