"""Answers that were kept since the catalog was last looked at.

The catalog is polled, so for a moment a statement may be analysed on an outdated one: a table that has just appeared
earlier on the search path is what Postgres reads, and the key says that it is the other. Such an answer must not stay.
This worker may serve it for the moment (that is the schema bound), but it is shared with others only when a look at the
catalog that began after it was kept has found nothing changed; when something has changed, it is discarded. Pure.
"""

from dataclasses import dataclass

from services.proxy.cache.entry import Entry
from services.shared.keyspace.entry import StoredEntry

_STORED_BYTES = 16 * 1024 * 1024  # of bodies that wait to be shared; what comes on top stays in this worker


@dataclass(slots=True)
class Kept:
    """An answer in L1, and what L2 shall get of it; None when it is not to be shared."""

    entry: Entry
    epoch: str
    stored: StoredEntry | None


class Unconfirmed:
    """Answers by the look that can confirm them: one that is under way, or the next."""

    def __init__(self) -> None:
        self._before_reading: list[Kept] = []
        self._since: list[Kept] = []
        self._stored_bytes = 0

    def add(self, kept: Kept) -> None:
        """An answer was kept."""
        if kept.stored is not None:
            if self._stored_bytes + len(kept.stored.body) > _STORED_BYTES:
                kept.stored = None
            else:
                self._stored_bytes += len(kept.stored.body)
        self._since.append(kept)

    def reading_begins(self) -> None:
        """A look at the catalog begins: it can confirm what was kept before, one that failed left some over."""
        self._before_reading += self._since
        self._since = []

    def confirmed(self) -> list[Kept]:
        """The look found nothing changed: return what it confirms."""
        confirmed, self._before_reading = self._before_reading, []
        self._stored_bytes = sum(len(kept.stored.body) for kept in self._since if kept.stored is not None)
        return confirmed

    def doubtful(self) -> list[Kept]:
        """The look found a change: return what is not to stay."""
        doubtful = self._before_reading + self._since
        self._before_reading, self._since, self._stored_bytes = [], [], 0
        return doubtful
