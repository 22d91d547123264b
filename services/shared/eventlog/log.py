"""The event log as the services see it: append, acknowledge, read from a place, notice a loss.

Two logs stand behind this seam, Apache Kafka (`kafka.py`) and Redis Streams (`redis_streams.py`); one conformance suite
runs against both. A log is a fixed number of partitions, each an ordered list of records.

Three words for "where":

* a *position* is the writer's own numbering, carried inside each record; it decides what is applied (`chain.py`);
* a *place* is the log's numbering (an offset of Kafka, an id of a stream) as text, and serves for reading only. Reading
  from a record's `place` gives that record, reading from its `next_place` what follows it;
* the *identity* names the log itself. A log that was deleted and made anew has another one, and its places mean nothing
  to a reader of the old one.

A log is not trusted. What it can tell by itself (truncation, an offset that jumps, other predecessors) it reports as
`LogGap`; whatever escapes it breaks the chain of positions.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.shared.lsn import Lsn
from services.shared.position import Position

TAIL_BYTES = 4 * 1024**2
"""As much of a partition's end as is looked at: what is read there is held in memory all at once, and decoded."""


class LogError(Exception):
    """What can go wrong with an event log.

    LogError
    ├── LogGap          records are missing, or the log is another one: a new epoch
    ├── LogUnavailable  it cannot be reached just now: try again
    │   └── LogAbsent   it does not exist yet
    └── LogUnsuitable   it must not be used as it is configured: a person has to act
    """


class LogGap(LogError):
    """Records between a place and the next record that the log can give are lost, or the log was made anew.

    Attributes:
        reason: One lower-case phrase, for logs and for the epoch that follows.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LogUnavailable(LogError):
    """The log cannot be reached, or does not answer in time. The caller may try again."""


class LogAbsent(LogUnavailable):
    """There is no log yet: its writer makes it. The caller may try again."""


class LogUnsuitable(LogError):
    """The log exists but would lose events as it is configured. The text says what to change."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record as it stands in the log.

    Attributes:
        partition: Partition that it stands in.
        place: Reading from here gives this record first.
        next_place: Reading from here gives the record after this one.
        value: What was appended.
    """

    partition: int
    place: str
    next_place: str
    value: bytes


def within_tail(records: Sequence[LogRecord], limit: int) -> list[LogRecord]:
    """Return the newest of some records, which come oldest first: as many as `EventLog.tail` may give."""
    size, first = 0, len(records)
    while first and len(records) - first < limit:
        size += len(records[first - 1].value)
        if size > TAIL_BYTES and first < len(records):
            break
        first -= 1
    return list(records[first:])


class EventLog(Protocol):
    """What writers and readers have in common. One object belongs to one event loop and is opened once."""

    @property
    def partition_count(self) -> int:
        """Number of partitions; the same for the life of the log."""

    async def open(self) -> None:
        """Connect. A writer makes the log when it is missing; a reader does not. A failure leaves nothing open.

        Raises:
            LogUnavailable: The log cannot be reached; for a reader also (`LogAbsent`): it does not exist yet.
            LogUnsuitable: The log's own settings would lose events, or it has another number of partitions.
        """

    async def close(self) -> None:
        """Give up the connections. What is not acknowledged by then fails. Never raises `LogError`."""

    async def identity(self) -> str:
        """Return a short name without `/` that changes whenever the log is made anew.

        Raises:
            LogGap: The log has vanished.
            LogUnavailable: It cannot be asked.
        """

    async def oldest(self, partition: int) -> str:
        """Return the place of the oldest record that is still there; when there is none, of the next one to come.

        Raises:
            LogGap: The log has vanished.
            LogUnavailable: It cannot be asked.
        """

    async def tail(self, partition: int, limit: int) -> list[LogRecord]:
        """Return the newest `limit` records of a partition, oldest first.

        Fewer when there are fewer, or when they would take more than `TAIL_BYTES`; the newest one always. A look at
        what is there: whether something is missing between them is not checked.

        Raises:
            LogGap: The log has vanished, or was truncated while it was read.
            LogUnavailable: It cannot be asked.
        """


class EventLogWriter(EventLog, Protocol):
    """The CDC service's end. There is one at a time; a second one is fenced off by positions, not by the log."""

    async def begin_epoch(self, incarnation: Lsn) -> str:
        """Make room for a stream epoch whose first record will be at (`incarnation`, 0), and return the identity.

        To be called once before that record. After a fail-over of Postgres LSNs may go down, which the ids of a Redis
        stream cannot: there the log is then made anew and has another identity. Kafka does not mind.

        Raises:
            LogGap: The log has vanished.
            LogUnavailable: It cannot be asked.
        """

    def append(self, partition: int, position: Position, key: bytes, value: bytes) -> "asyncio.Future[None]":
        """Append a record; within a partition the order of the calls is the order in the log.

        Args:
            partition: Partition to append to.
            position: Position that the record carries; above all earlier ones of this partition and stream epoch.
            key: For people who read the log with the tools of its maker; decides nothing. Redis Streams drop it.
            value: The record.

        Returns:
            A future that is done once the log has acknowledged the record. It fails with `LogUnavailable` or `LogGap`;
            any failure is final, and all later futures of this writer fail with it. A record that failed may still
            stand in the log. Failures need not be retrieved: they are never logged as "never retrieved".
        """

    async def flush(self) -> None:
        """Wait until everything appended before is acknowledged.

        Raises:
            LogGap, LogUnavailable: The writer has failed.
        """


class EventLogReader(EventLog, Protocol):
    """The invalidator's end."""

    async def read(self, places: Mapping[int, str], wait_seconds: float) -> Sequence[LogRecord]:
        """Return records from these places on, in order within each partition.

        The places decide, at every call: what the reader has fetched beyond them is only a convenience. Not more than a
        bounded batch is returned.

        Args:
            places: For each partition to read, where to read on.
            wait_seconds: How long to wait for a first record.

        Returns:
            The records; empty when none came in time.

        Raises:
            LogGap: What should come next is lost, or the log was made anew. When the log shares its fate with the
                bucket (one Redis), both may have gone back together: read the bucket's places again before giving up.
            LogUnavailable: The log cannot be reached. Reading again later, with the same object, is all it takes.
            LogUnsuitable: The log was made anew with another number of partitions.

        Cancel-safe: yes; nothing is consumed by being read.
        """
