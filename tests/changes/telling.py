"""The event log as it is read: what it holds, which tables it calls followed, and how far it is complete."""

from collections.abc import Iterator, Mapping

from schemas.changes import Changes
from schemas.encoding import Event
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.watermark import Watermark
from services.shared.lsn import parse_lsn
from tests.integration.cdc_harness import LogView

Told = Changes | RelationWide

_OF_TRANSACTIONS = frozenset({"truncate", "bulk"})


class Telling:
    """Follows a log that grows, each event once."""

    def __init__(self, log: LogView, partition_count: int) -> None:
        """Begin at the log's beginning."""
        self._log = log
        self._place = 0
        self._followed: dict[int, int] = {}
        self._watermarks = dict.fromkeys(range(partition_count), 0)
        self._told: list[tuple[int, Told]] = []

    @property
    def watermark(self) -> int:
        """What was visible below this LSN is in the log."""
        self._catch_up()
        return min(self._watermarks.values())

    @property
    def followed(self) -> Mapping[int, int]:
        """The tables that are called followed now: by OID, with their entries in the publication."""
        self._catch_up()
        return dict(self._followed)

    def between(self, start: int, end: int) -> Iterator[Told]:
        """Yield what is told of transactions that committed in a stretch of the WAL."""
        self._catch_up()
        return (event for lsn, event in self._told if start <= lsn < end)

    def forget(self) -> None:
        """Forget what transactions did, which nobody will ask for again."""
        self._catch_up()
        self._told.clear()

    def _catch_up(self) -> None:
        while self._place < len(self._log.events):
            event, partition = self._log.events[self._place], self._log.partitions[self._place]
            self._place += 1
            self._take(event, partition)

    def _take(self, event: Event, partition: int) -> None:
        match event:
            case Changes():
                self._told.append((parse_lsn(event.commit_lsn), event))
            case RelationWide() if event.op in _OF_TRANSACTIONS:
                self._told.append((parse_lsn(event.commit_lsn), event))
            case RelationWide(op="unfollowed"):
                self._followed.pop(event.relation, None)
            case RelationSchema():
                self._followed[event.relation] = event.publication_entry
            case EpochStart() if partition == 0:
                self._followed.clear()
            case Watermark():
                self._watermarks[partition] = max(self._watermarks[partition], parse_lsn(event.watermark))
            case _:
                pass
