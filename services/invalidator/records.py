"""Log records into events; what cannot be read is told, and passed.

To pass it is safe: if it was one of ours, the next record does not follow, which is a gap and begins a bucket epoch.
"""

from schemas.encoding import Event, decode
from services.invalidator.dead_letter_box import DeadLetterBox
from services.invalidator.events import link_of
from services.invalidator.statistics import InvalidatorStatistics
from services.shared.eventlog.log import LogRecord
from services.shared.runtime.logging import get_logger

_log = get_logger(__name__)


class RecordReader:
    """Reads the records of one cache.

    Attributes:
        cache: Its name; records of another one are none of ours.
        statistics: Where to count.
    """

    def __init__(self, cache: str, statistics: InvalidatorStatistics, box: DeadLetterBox) -> None:
        self.cache = cache
        self.statistics = statistics
        self._box = box

    def read(self, record: LogRecord) -> Event | None:
        """Read an event; None if it is none of ours."""
        try:
            return self._event(record)
        except ValueError as error:
            self.statistics.undecodable += 1
            _log.error("a log record cannot be read", error=str(error), partition=record.partition, place=record.place)
            self._box.put(record, str(error))
            return None

    def look(self, record: LogRecord) -> Event | None:
        """The same, of a record that only shows where to begin: what is wrong with it was told, or does not matter."""
        try:
            return self._event(record)
        except ValueError:
            return None

    def _event(self, record: LogRecord) -> Event | None:
        """Read an event.

        Raises:
            SchemaError, ValueError: It is none.
        """
        event = decode(record.value)
        link_of(event)
        return event if event.cache == self.cache else None
