"""Appending to the event log: records of one incarnation, numbered without gaps in each partition.

Appending never waits. The log acknowledges later; each acknowledgement goes to the ledger, and a failure is kept until
somebody looks. How much is on its way is known, so that whoever reads the change stream can wait for it.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from schemas.encoding import Event, encode
from services.cdc.progress import ProgressLedger, Ticket
from services.shared.eventlog.log import EventLogWriter, LogUnavailable
from services.shared.lsn import Lsn, format_lsn
from services.shared.position import Position


class Appender:
    """Numbers the records of one incarnation and hands them to the log.

    Attributes:
        partition_count: Number of partitions.
        ledger: What is appended and acknowledged.
        unacknowledged_bytes: How much is on its way.
        failure: Why the event log takes no more; None while it does.
        awaited: Somebody waits for the log to catch up.
    """

    def __init__(self, writer: EventLogWriter, ledger: ProgressLedger, on_progress: Callable[[], None]) -> None:
        """Prepare; `begin` has to come before the first record.

        Args:
            writer: The event log, open.
            ledger: The incarnation's ledger.
            on_progress: Called after a failure, and after each acknowledgement that is awaited.
        """
        self.partition_count = writer.partition_count
        self.ledger = ledger
        self.unacknowledged_bytes = 0
        self.failure: BaseException | None = None
        self.awaited = False
        self._writer = writer
        self._on_progress = on_progress
        self._incarnation = Lsn(0)
        self._next_k = [0] * writer.partition_count
        self._envelope: dict[str, Any] = {}

    def begin(self, cache: str, epoch: str, incarnation: Lsn) -> None:
        """Set what every record carries: the cache, the stream epoch's text, and the incarnation."""
        self._incarnation = incarnation
        self._envelope = {"cache": cache, "epoch": epoch, "incarnation": format_lsn(incarnation)}

    def append(
        self, partition: int, relation: int | None, model: type[Event], fields: dict[str, Any]
    ) -> "asyncio.Future[None]":
        """Append one event.

        The event is not checked again: its fields come from this service, and tens of thousands a second pass here.

        Args:
            partition: Where to.
            relation: The relation that it is about, if it is about one.
            model: Which event it is.
            fields: Its own fields, without the envelope.

        Returns:
            The log's acknowledgement.
        """
        k = self._next_k[partition]
        self._next_k[partition] = k + 1
        value = encode(model.trusted({**fields, **self._envelope, "k": k}))
        key = b"" if relation is None else b"%d" % relation
        ticket = self.ledger.append()
        self.unacknowledged_bytes += len(value)
        acknowledged = self._writer.append(partition, Position(self._incarnation, k), key, value)
        acknowledged.add_done_callback(partial(self._acknowledge, ticket, len(value)))
        return acknowledged

    def _acknowledge(self, ticket: Ticket, size: int, acknowledged: "asyncio.Future[None]") -> None:
        if acknowledged.cancelled():
            self.failure = self.failure or LogUnavailable("the event log was closed")
        elif (failure := acknowledged.exception()) is not None:
            self.failure = self.failure or failure
        else:
            self.ledger.acknowledge(ticket)
            self.unacknowledged_bytes -= size
        if self.awaited or self.failure is not None:
            self._on_progress()
