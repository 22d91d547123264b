"""What a writer was given and has not sent yet, and what it owes an acknowledgement for.

Both logs send in rounds: take what has gathered, send it, wait for the acknowledgement, take again. So one record alone
goes out at once, and under load the batches grow by themselves, without a timer; and as a round is over before the next
begins, a failure leaves no later record behind it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from services.shared.eventlog.log import LogError, LogUnavailable
from services.shared.position import Position


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record on its way into the log; see `EventLogWriter.append`."""

    partition: int
    position: Position
    key: bytes
    value: bytes
    acknowledged: "asyncio.Future[None]"


class Outbox:
    """Records in the order of their appending, until they are acknowledged or the writer has failed."""

    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._sent: list[Outgoing] = []
        self._arrival = asyncio.Event()
        self._failure: LogError | None = None

    @property
    def failure(self) -> LogError | None:
        """Why the writer takes no more records; none while it does."""
        return self._failure

    def put(self, partition: int, position: Position, key: bytes, value: bytes) -> "asyncio.Future[None]":
        """Add a record; see `EventLogWriter.append`."""
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outgoing = Outgoing(partition, position, key, value, acknowledged)
        if self._failure is not None:
            _reject(outgoing, self._failure)
        else:
            self._waiting.append(outgoing)
            self._arrival.set()
        return acknowledged

    async def take(self, max_records: int, max_bytes: int) -> list[Outgoing]:
        """Wait for records and return the oldest; at least one, else within the limits.

        What was taken before must have been settled. Cancel-safe: yes, nothing is taken before the wait is over.
        """
        await self._arrival.wait()
        size = 0
        while self._waiting and len(self._sent) < max_records:
            size += len(self._waiting[0].value)
            if self._sent and size > max_bytes:
                break
            self._sent.append(self._waiting.popleft())
        if not self._waiting:
            self._arrival.clear()
        return self._sent

    def settle(self) -> None:
        """Everything taken is acknowledged."""
        for outgoing in self._sent:
            if not outgoing.acknowledged.done():
                outgoing.acknowledged.set_result(None)
        self._sent = []

    def fail(self, failure: LogError) -> None:
        """Reject everything not acknowledged, and whatever comes later. The first failure stays the reason."""
        if self._failure is None:
            self._failure = failure
        for outgoing in (*self._sent, *self._waiting):
            _reject(outgoing, self._failure)
        self._sent = []
        self._waiting.clear()

    async def flush(self) -> None:
        """Wait until everything put so far is acknowledged; see `EventLogWriter.flush`."""
        newest = next(reversed(self._waiting), None) or next(reversed(self._sent), None)
        if newest is not None:
            await asyncio.wait([newest.acknowledged])
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Reject what is left."""
        self.fail(LogUnavailable("the writer was closed"))


def _reject(outgoing: Outgoing, failure: LogError) -> None:
    if not outgoing.acknowledged.done():
        outgoing.acknowledged.set_exception(failure)
        outgoing.acknowledged.exception()  # counts as retrieved: one failure is reported once, not for every record
