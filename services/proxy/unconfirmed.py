"""Answers that were kept since the catalog was last looked at, and those that have to prove that they last.

The catalog is polled, so for a moment a statement may be analysed on an outdated one: a table that has just appeared
earlier on the search path is what Postgres reads, and the key says that it is the other. Such an answer must not stay.
This worker may serve it for the moment (that is the schema bound), but it is shared with others only when a look at the
catalog that began after it was kept has found nothing changed; when something has changed, it is discarded.

To share an answer takes Redis and two processes as long as a dozen hits. Where most answers of a template are not read
again, or nobody else was found to ask for them, only what lasts and is read again is shared, little by little. Pure.
"""

from collections import deque
from dataclasses import dataclass, field

from services.proxy.admission.l2_yield import L2Yield
from services.proxy.cache.entry import Entry

_WAITING_BYTES = 16 * 1024 * 1024  # of answers that wait to be shared; what comes on top stays in this worker
_SETTLED_LOOKS = 5  # of a second each, unless `catalog_poll` says otherwise
_SHARED_AT_ONCE = 200  # what one look gives out then: some 3 % of a processor, in all that it passes through
_SETTLING_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class Kept:
    """An answer in L1.

    Attributes:
        entry: The answer.
        epoch: The bucket's epoch when its query was sent.
        ages: It ages, from `entry.sent_at` on.
        shared: Others shall get it.
        l2: What its template has got from the others.
        size: What it took when it began to wait, in bytes.
    """

    entry: Entry
    epoch: str
    ages: bool = False
    shared: bool = True
    l2: L2Yield = field(default_factory=L2Yield)
    size: int = 0

    @property
    def is_wanted(self) -> bool:
        """Whether somebody else is likely to ask for it soon: others are there, and most like it are read again."""
        return self.entry.tally.reused and self.l2.yields


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


class Settling:
    """Answers that wait until they are worth a place in Redis: right for some looks, and read again.

    Who starts anew, or comes later, finds there what lasts. What changes all the time would be gone by then.
    """

    def __init__(
        self, looks: int = _SETTLED_LOOKS, at_once: int = _SHARED_AT_ONCE, most_bytes: int = _SETTLING_BYTES
    ) -> None:
        """Begin with none.

        Args:
            looks: For so many they wait, at least.
            at_once: How many one look gives out.
            most_bytes: How much waits, whatever has become of it meanwhile; what comes on top stays in this worker.
        """
        self._at_once = at_once
        self._most_bytes = most_bytes
        self._bytes = 0
        self._by_look: deque[list[Kept]] = deque([] for _ in range(looks))

    def add(self, kept: Kept) -> None:
        """An answer was confirmed that nobody else is likely to ask for now."""
        if self._bytes + kept.entry.size <= self._most_bytes:
            kept.size = kept.entry.size
            self._bytes += kept.size
            self._by_look[-1].append(kept)

    def settled(self) -> list[Kept]:
        """A look has found nothing changed: return what is to be shared; what was not read again waits once more."""
        due, settled = self._by_look.popleft(), list[Kept]()
        self._by_look.append([])
        for kept in due:
            if kept.entry.live and not kept.entry.hits:
                self._by_look[-1].append(kept)
            elif kept.entry.live and len(settled) == self._at_once:
                self._by_look[0].append(kept)
            else:
                self._bytes -= kept.size
                if kept.entry.live:
                    settled.append(kept)
        return settled
