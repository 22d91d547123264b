"""Sees that Redis keeps what has no time to live, and has everything forwarded while it may not."""

import asyncio

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from services.proxy.cache.follower import Follower
from services.proxy.reasons import Reason
from services.shared.memory_policy import POLICY_SECONDS, policy_trouble
from services.shared.redis_client import memory_policy

_ANSWER_SECONDS = 2.0

_log = structlog.get_logger()


class MemoryWatch:
    """Looks at the memory policy of a cache's Redis."""

    def __init__(self, client: "redis.asyncio.Redis", follower: Follower) -> None:
        """Prepare.

        Args:
            client: Redis; it stays the caller's to close.
            follower: What is barred while the policy does not do.
        """
        self._client = client
        self._follower = follower

    async def run(self) -> None:
        """Look now and then, for ever. Cancel-safe: yes."""
        while True:
            await self.look()
            await asyncio.sleep(POLICY_SECONDS)

    async def look(self) -> None:
        """Look once. A Redis that does not answer says nothing new, and nothing is served from it for long."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                trouble = policy_trouble(await memory_policy(self._client))
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            _log.debug("the memory policy of redis cannot be seen", error=repr(error))
            return
        if trouble and not self._follower.barred:
            _log.error("nothing is served from the cache", error=trouble)
        self._follower.bar(Reason.MEMORY_POLICY if trouble else None)
