"""Tells people of log records that cannot be read, in Redis, beside what the invalidator does and never in its way.

Whoever finds such a record drops a letter and goes on at once; a task of its own writes it. If that fails the letter is
lost, which is counted and logged; the log still holds the record.
"""

import asyncio
from collections import OrderedDict, deque

from services.invalidator.statistics import InvalidatorStatistics
from services.shared.eventlog.log import LogRecord
from services.shared.keyspace.dead_letter import KEPT_LETTERS, DeadLetter, dead_letter
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.scripts import BucketUnavailable
from services.shared.runtime.cancellation import raise_if_cancelled
from services.shared.runtime.logging import get_logger

_WAITING_LETTERS = 100  # a log full of what cannot be read is told by its first records as well as by all

_log = get_logger(__name__)


class DeadLetterBox:
    """Where one invalidator leaves its dead letters."""

    def __init__(self, letters: DeadLetters, statistics: InvalidatorStatistics) -> None:
        self._letters = letters
        self._statistics = statistics
        self._waiting: deque[DeadLetter] = deque()
        self._told: OrderedDict[tuple[int, str, str], None] = OrderedDict()  # a record is read again after a rewind
        self._filled = asyncio.Event()

    def put(self, record: LogRecord, error: str) -> None:
        """Leave a letter about a record, unless there was one. Returns at once, never raises."""
        letter = dead_letter(record.partition, record.place, record.value, error)
        if letter.record in self._told:
            return
        self._remember(letter)
        if len(self._waiting) >= _WAITING_LETTERS:
            self._statistics.dead_letters_lost += 1
            return
        self._waiting.append(letter)
        self._filled.set()

    async def run(self) -> None:
        """Write letters until cancelled. Cancel-safe: yes; what is under way is written or lost."""
        while True:
            raise_if_cancelled()
            if not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            await self._write(self._waiting.popleft())

    async def _write(self, letter: DeadLetter) -> None:
        try:
            await self._letters.keep(letter)
        except BucketUnavailable as error:
            self._statistics.dead_letters_lost += 1
            self._told.pop(letter.record, None)
            _log.warning("a dead letter is lost", error=str(error), partition=letter.partition, place=letter.place)
        else:
            self._statistics.dead_letters += 1

    def _remember(self, letter: DeadLetter) -> None:
        self._told[letter.record] = None
        if len(self._told) > KEPT_LETTERS:
            self._told.popitem(last=False)
