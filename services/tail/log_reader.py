"""Reading along in the event log: no group, no place that is kept anywhere, nothing that a writer or reader notices."""

import asyncio
from collections.abc import Callable

from schemas.encoding import Event, SchemaError, decode
from services.shared.eventlog.factory import open_reader
from services.shared.eventlog.log import EventLogReader, LogGap, LogRecord, LogUnavailable, LogUnsuitable
from services.shared.keyspace.dead_letter import dead_letter
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.cancellation import raise_if_cancelled
from services.shared.runtime.refusal import Refusal
from services.shared.runtime.settings import CacheSettings
from services.tail.line import Line
from services.tail.story import Story
from services.tail.troubles import Troubles

READ_SECONDS = 0.5
"""How long one read waits for a first record."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 1.0

_KNOWN_RECORDS = 2_000
"""What is looked at before the end of the log: names of tables, and changes whose evictions are still to come. What is
followed is described again every ten seconds."""

Show = Callable[[list[Line]], None]


class LogFollower:
    """Reads a cache's log, whatever becomes of it."""

    def __init__(self, cache: CacheSettings, story: Story, show: Show, *, from_beginning: bool) -> None:
        self._cache = cache
        self._story = story
        self._show = show
        self._from_beginning = from_beginning
        self._troubles = Troubles("the event log", story, show)
        self.ready = asyncio.Event()  # once it is known where reading begins

    async def run(self) -> None:
        """Read for ever.

        Raises:
            Refusal: The log is of another shape than the settings say.

        Cancel-safe: yes; nothing is consumed.
        """
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        while True:
            raise_if_cancelled()
            reader = open_reader(self._cache)
            try:
                await reader.open()
                await self._follow(reader, backoff)
            except LogUnsuitable as error:
                raise Refusal(f"{error}.") from error
            except LogUnavailable as error:
                self._wait_for(str(error))
            except LogGap as gap:
                self._wait_for(gap.reason)
            finally:
                await reader.close()
            await backoff.wait()

    def _wait_for(self, reason: str) -> None:
        """Tell that there is no log to read, which makes the next one new."""
        self._troubles.tell(f"{reason}; waiting for it")
        if "does not exist yet" in reason:
            self._from_beginning = True  # what is written before this is seen is new all the same
        self.ready.set()

    async def _follow(self, reader: EventLogReader, backoff: Backoff) -> None:
        """Read until the log cannot be read any more.

        Raises:
            LogGap: It has vanished.
            LogUnavailable: It could not be opened.
            LogUnsuitable: It has another number of partitions.
        """
        places = await self._begin(reader)
        self._from_beginning = True  # should it be opened again, it is another one
        self.ready.set()
        while True:
            raise_if_cancelled()
            try:
                records = await reader.read(places, READ_SECONDS)
            except LogUnavailable as error:
                self._troubles.tell(f"{error}; waiting for it")
                await backoff.wait()
                continue
            except LogGap as gap:
                places = await self._oldest(reader)
                self._troubles.tell(f"{gap.reason}; reading from the oldest record that is there")
                self._troubles.over(silently=True)
                continue
            self._troubles.over()
            backoff.reset()
            for record in records:
                places[record.partition] = record.next_place
                if event := self._read(record):
                    self._show(self._story.event(record.partition, event))

    async def _begin(self, reader: EventLogReader) -> dict[int, str]:
        """Return where to read on: at the beginning, or at the end, with what stands before it known."""
        if self._from_beginning:
            return await self._oldest(reader)
        places: dict[int, str] = {}
        for partition in range(reader.partition_count):
            records = await reader.tail(partition, _KNOWN_RECORDS)
            for record in records:
                if event := self._read(record, told=False):
                    self._story.remember(partition, event)
            places[partition] = records[-1].next_place if records else await reader.oldest(partition)
        return places

    async def _oldest(self, reader: EventLogReader) -> dict[int, str]:
        return {partition: await reader.oldest(partition) for partition in range(reader.partition_count)}

    def _read(self, record: LogRecord, *, told: bool = True) -> Event | None:
        """Return the event in a record; None if it is none, or another cache's."""
        try:
            event = decode(record.value)
        except SchemaError as error:
            if told:
                self._show(
                    self._story.unreadable(dead_letter(record.partition, record.place, record.value, str(error)))
                )
            return None
        return event if event.cache == self._cache.name else None
