"""An event log that remembers what it was given and acknowledges when it is told to."""

import asyncio

from schemas.encoding import Event, decode
from services.shared.eventlog.log import LogRecord, LogUnavailable
from services.shared.lsn import Lsn
from services.shared.position import Position


class RecordingLog:
    """`EventLogWriter` for tests of what is written."""

    def __init__(self, partition_count: int = 1, *, acknowledge: bool = True) -> None:
        self.partition_count = partition_count
        self.acknowledge = acknowledge
        self.appended: list[tuple[int, Position, bytes, bytes]] = []
        self.futures: list[asyncio.Future[None]] = []

    def events(self, partition: int | None = None) -> list[Event]:
        """What was appended, decoded, which also checks it."""
        return [decode(value) for number, _, _, value in self.appended if partition in (None, number)]

    def append(self, partition: int, position: Position, key: bytes, value: bytes) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.appended.append((partition, position, key, value))
        self.futures.append(future)
        if self.acknowledge:
            future.set_result(None)
        return future

    def fail(self, index: int) -> None:
        """Refuse a record."""
        self.futures[index].set_exception(LogUnavailable("gone"))

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def flush(self) -> None: ...

    async def identity(self) -> str:
        return "log"

    async def oldest(self, partition: int) -> str:
        return "0"

    async def tail(self, partition: int, limit: int) -> list[LogRecord]:
        return []

    async def begin_epoch(self, incarnation: Lsn) -> str:
        return "log"
