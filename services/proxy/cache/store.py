"""L2: the answers in Redis, shared by all workers, behind a breaker.

Redis is never trusted and never waited for: a look-up that takes longer than the time-out opens the breaker, later
ones do not ask at all, and a ping in the background closes it again. Fills go off the client's path.

Look-ups go out in rounds, and so do fills: what has gathered while one round is under way is the next. So one alone
goes out at once, many cost one round trip, and however many there are, they take two connections: one for each would
leave none for those who follow the feed, and without them nothing is fresh.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from services.shared.keyspace.outcome import Refusal
from services.shared.keyspace.scripts import Bucket, BucketUnavailable, EntryHit, Fill, ReadReply

_FILLS_WAITING = 16_384  # more than that means Redis is slower than the misses; the rest is not stored
_ROUND_READS = 128
_ROUND_FILLS = 64  # holds Redis up for two or three milliseconds
_ROUND_BYTES = 1 << 20
_FILL_TIME_OUTS = 20  # nobody waits for a fill, so that it may take so many times as long as a look-up
_PING_SECONDS = 0.25
_CONNECT_SECONDS = 2.0

_log = structlog.get_logger()


class Store:
    """Reads from and fills L2.

    Attributes:
        available: False while the breaker is open.
        stored: Answers that were stored.
        refused: Fills refused, by the bucket's reason.
    """

    def __init__(self, bucket: Bucket, time_out: float) -> None:
        """Wrap a bucket; `time_out` (seconds) is how long a look-up may keep a client waiting."""
        self._bucket = bucket
        self._time_out = time_out
        self._reads: deque[tuple[bytes, asyncio.Future[ReadReply]]] = deque()
        self._fills: deque[Fill] = deque()
        self._asked, self._filled, self._opened = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.available = True
        self.stored = 0
        self.refused: dict[str, int] = {}

    async def get(self, key: bytes) -> EntryHit | None:
        """Return a valid entry with the bucket's positions, or None; never raises, never exceeds the time-out."""
        if not self.available:
            return None
        reply: asyncio.Future[ReadReply] = asyncio.get_running_loop().create_future()
        self._reads.append((key, reply))
        self._asked.set()
        try:
            async with asyncio.timeout(self._time_out):
                found = await reply
        except (TimeoutError, BucketUnavailable) as error:
            self._open(error)
            return None
        return found if isinstance(found, EntryHit) else None

    def put(self, fill: Fill) -> None:
        """Store an answer in the background, if the bucket finds it valid."""
        if not self.available:
            self._count("redis_unavailable")
        elif len(self._fills) >= _FILLS_WAITING:
            self._count("too_many_fills")
        else:
            self._fills.append(fill)
            self._filled.set()

    async def run(self) -> None:
        """Send look-ups and fills, and watch over the breaker, for ever. Cancel-safe: yes."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_reads())
            tasks.create_task(self._send_fills())
            tasks.create_task(self._watch())

    async def _send_reads(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._reads:
                asked = [self._reads.popleft() for _ in range(min(len(self._reads), _ROUND_READS))]
                # A client that has stopped waiting has cancelled its future.
                if asked := [(key, reply) for key, reply in asked if not reply.done()]:
                    await self._send_reads_round(asked)

    async def _send_reads_round(self, asked: Sequence[tuple[bytes, "asyncio.Future[ReadReply]"]]) -> None:
        try:
            async with asyncio.timeout(self._time_out):
                found = await self._bucket.read_all([key for key, _ in asked])
        except (TimeoutError, BucketUnavailable) as error:
            self._open(error)
            for _, reply in asked:
                if not reply.done():
                    reply.set_exception(BucketUnavailable("no answer to a look-up"))
            return
        for (_, reply), each in zip(asked, found, strict=True):
            if not reply.done():
                reply.set_result(each)

    async def _send_fills(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._fills:
                await self._send_fills_round(self._next_fills())

    async def _send_fills_round(self, fills: Sequence[Fill]) -> None:
        try:
            async with asyncio.timeout(_FILL_TIME_OUTS * self._time_out):
                refusals = await self._bucket.fill_all(fills)
        except (TimeoutError, BucketUnavailable) as error:
            self._open(error)
            self._count("redis_unavailable", len(fills) + len(self._fills))
            self._fills.clear()  # by the time that Redis answers they may be long out of date
            return
        for refusal in refusals:
            if refusal is Refusal.NONE:
                self.stored += 1
            else:
                self._count(refusal)

    def _next_fills(self) -> list[Fill]:
        """Take the oldest fills; at least one, else within the limits of a round."""
        taken: list[Fill] = []
        size = 0
        while self._fills and len(taken) < _ROUND_FILLS:
            size += len(self._fills[0].entry.body)
            if taken and size > _ROUND_BYTES:
                break
            taken.append(self._fills.popleft())
        return taken

    async def _watch(self) -> None:
        """Close the breaker again once Redis answers."""
        while True:
            await self._opened.wait()
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await self._bucket.ping()  # no client waits for it, and with TLS connecting takes five round trips
                async with asyncio.timeout(self._time_out):
                    await self._bucket.ping()
            except (TimeoutError, BucketUnavailable):
                await asyncio.sleep(_PING_SECONDS)
                continue
            self._opened.clear()
            self.available = True
            _log.info("redis answers again")

    def _open(self, error: Exception) -> None:
        if self.available:
            _log.warning("redis does not answer; reads go to postgres", error=repr(error))
        self.available = False
        self._opened.set()

    def _count(self, refusal: str, fills: int = 1) -> None:
        self.refused[refusal] = self.refused.get(refusal, 0) + fills
