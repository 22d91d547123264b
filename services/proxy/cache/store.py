"""L2: the answers in Redis, shared by all workers, behind a breaker.

Redis is never trusted and never waited for: a look-up that takes longer than the time-out opens the breaker, later
ones do not ask at all, and a ping in the background closes it again. Fills go off the client's path.
"""

import asyncio

import structlog

from services.shared.keyspace.scripts import Bucket, BucketUnavailable, EntryHit, StoredEntry
from services.shared.position import Position

_FILLS_UNDER_WAY = 512  # more than that means Redis is slower than the misses; the rest is not stored
_PING_SECONDS = 0.25

_log = structlog.get_logger()


class Store:
    """Reads from and fills L2.

    Attributes:
        available: False while the breaker is open.
        refused: Fills refused, by the bucket's reason.
    """

    def __init__(self, bucket: Bucket, time_out: float) -> None:
        """Wrap a bucket; `time_out` (seconds) is how long a look-up may keep a client waiting."""
        self._bucket = bucket
        self._time_out = time_out
        self._fills: set[asyncio.Task[None]] = set()
        self._opened = asyncio.Event()
        self.available = True
        self.stored = 0
        self.refused: dict[str, int] = {}

    async def get(self, key: bytes) -> EntryHit | None:
        """Return a valid entry with the bucket's positions, or None; never raises, never exceeds the time-out."""
        if not self.available:
            return None
        try:
            async with asyncio.timeout(self._time_out):
                found = await self._bucket.read(key)
        except (TimeoutError, BucketUnavailable) as error:
            self._open(error)
            return None
        return found if isinstance(found, EntryHit) else None

    def put(self, epoch: str, q0: tuple[Position, ...], key: bytes, entry: StoredEntry) -> None:
        """Store an answer in the background, if the bucket finds it valid."""
        if not self.available or len(self._fills) >= _FILLS_UNDER_WAY:
            self._count("redis_unavailable" if not self.available else "too_many_fills")
            return
        task = asyncio.create_task(self._put(epoch, q0, key, entry))
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    async def watch(self) -> None:
        """Close the breaker again once Redis answers. Cancel-safe: yes."""
        while True:
            await self._opened.wait()
            try:
                async with asyncio.timeout(self._time_out):
                    await self._bucket.ping()
            except (TimeoutError, BucketUnavailable):
                await asyncio.sleep(_PING_SECONDS)
                continue
            self._opened.clear()
            self.available = True
            _log.info("redis answers again")

    async def _put(self, epoch: str, q0: tuple[Position, ...], key: bytes, entry: StoredEntry) -> None:
        try:
            async with asyncio.timeout(20 * self._time_out):
                refusal = await self._bucket.fill(epoch, q0, key, entry)
        except (TimeoutError, BucketUnavailable) as error:
            self._open(error)
            self._count("redis_unavailable")
            return
        if refusal:
            self._count(refusal)
        else:
            self.stored += 1

    def _open(self, error: Exception) -> None:
        if self.available:
            _log.warning("redis does not answer; reads go to postgres", error=repr(error))
        self.available = False
        self._opened.set()

    def _count(self, refusal: str) -> None:
        self.refused[refusal] = self.refused.get(refusal, 0) + 1
