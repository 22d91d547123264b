"""Answers that were kept since the catalog was last looked at, and those that nobody has read again since.

The catalog is polled, so for a moment a statement may be analysed on an outdated one: a table that has just appeared
earlier on the search path is what Postgres reads, and the key says that it is the other. Such an answer must not stay.
This worker may serve it for the moment (that is the schema bound), but it is shared with others only when a look at the
catalog that began after it was kept has found nothing changed; when something has changed, it is discarded.

To share an answer takes Redis and two processes as long as a dozen hits. Where most answers of a template are not read
again, or nobody else was found to ask for them, each of them waits for a second reader first. Pure.
"""

from collections import deque
from dataclasses import dataclass, field

from services.proxy.admission.l2_yield import L2Yield
from services.proxy.cache.entry import Entry

_WAITING_BYTES = 16 * 1024 * 1024  # of answers that wait to be shared; what comes on top stays in this worker
_MOST_UNREAD = 8_192


@dataclass(slots=True)
class Kept:
    """An answer in L1.

    Attributes:
        entry: The answer.
        epoch: The bucket's epoch when its query was sent.
        ages: It ages, from `entry.sent_at` on.
        shared: Others shall get it.
        l2: What its template has got from the others.
    """

    entry: Entry
    epoch: str
    ages: bool = False
    shared: bool = True
    l2: L2Yield = field(default_factory=L2Yield)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody is likely to ask for it: it was read again, or others are there and most like it are."""
        return self.entry.hits > 0 or (self.entry.tally.reused and self.l2.yields)


class Unconfirmed:
    """Answers by the look that can confirm them: one that is under way, or the next."""

    def __init__(self) -> None:
        self._before_reading: list[Kept] = []
        self._since: list[Kept] = []
        self._waiting_bytes = 0

    def add(self, kept: Kept) -> None:
        """An answer was kept."""
        if self._waiting_bytes + kept.entry.size > _WAITING_BYTES:
            kept.shared = False
        else:
            self._waiting_bytes += kept.entry.size
        self._since.append(kept)

    def reading_begins(self) -> None:
        """A look at the catalog begins: it can confirm what was kept before, one that failed left some over."""
        self._before_reading += self._since
        self._since = []

    def confirmed(self) -> list[Kept]:
        """The look found nothing changed: return what it confirms."""
        confirmed, self._before_reading = self._before_reading, []
        self._waiting_bytes = sum(kept.entry.size for kept in self._since if kept.shared)
        return confirmed

    def doubtful(self) -> list[Kept]:
        """The look found a change: return what is not to stay."""
        doubtful = self._before_reading + self._since
        self._before_reading, self._since, self._waiting_bytes = [], [], 0
        return doubtful


class Unread:
    """Answers that wait for a second reader; the oldest are given up."""

    def __init__(self, most: int = _MOST_UNREAD) -> None:
        self._waiting: deque[Kept] = deque(maxlen=most)

    def add(self, kept: Kept) -> None:
        """An answer was confirmed, and nobody has read it again yet."""
        self._waiting.append(kept)

    def read_again(self) -> list[Kept]:
        """Return those that were, and wait on with the others that are still right."""
        read: list[Kept] = []
        for kept in [self._waiting.popleft() for _ in range(len(self._waiting))]:
            if kept.entry.live:
                (read if kept.entry.hits else self._waiting).append(kept)
        return read
