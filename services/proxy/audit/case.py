"""An answer of the cache that is not what Postgres has just said: is that a violation? Pure.

It need not be one. A change may have become visible that is not evicted yet, within the bound, and it may be undone
again before anybody looks. So nothing is concluded from two answers, but from what the cache itself claims. Let
Postgres have given answer A at some instant up to `answered_at`, and let a probe that was sent after it be covered:
then every change that was visible at that instant has been applied to this worker's memory (consistency contract,
section 10). If the very entry that was there when A was asked for is alive then, the cache claims that no change since
the entry's own query altered its answer, which is to say that A is its answer. It is not, where the data decides the
answer (`determinacy.py`); so one of the two is wrong, and A is Postgres's.

Two things more are asked for before anybody is blamed. The catalog, which is not followed by the watermark everywhere,
must be the same when read after A. And Postgres has to say A once more, so that an answer which is another one each
time (and was taken for one that the data decides) is not held against the cache. Until then the entry answers nobody.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from services.proxy.audit.comparison import Match, compare
from services.proxy.cache.entry import Answer, Entry
from services.proxy.session.planning import Plan

_PATIENCE_SECONDS = 30.0  # for the watermark, for the catalog, and for somebody who asks again
_MOST_TRIES = 3


class Finding(StrEnum):
    """What a case comes to."""

    EXPLAINED = "explained"  # a change evicted the entry
    CATALOG_CHANGED = "catalog_changed"
    UNRESOLVED = "unresolved"
    UNDETERMINED = "undetermined"  # the statement leaves Postgres a choice
    UNSTABLE = "unstable"  # Postgres said three things
    VIOLATION = "violation"


class Seen(NamedTuple):
    """What the worker knows at an instant; all of it was read without a wait in between.

    Attributes:
        now: Boot-clock second.
        proven_at: As fresh as which boot-clock second the cache is proven; minus infinity: nothing is proven.
        catalog: Number of the catalog in force.
        catalog_reading: Number of the newest reading of it that is in force.
    """

    now: float
    proven_at: float
    catalog: int
    catalog_reading: int


@dataclass(slots=True, eq=False)
class Case:
    """One disagreement.

    Attributes:
        entry: What the cache would have answered.
        plan: Of the read.
        fresh: Postgres's answer.
        answered_at: Boot-clock second at which all of it was there.
        reading: Number of a reading of the catalog that began afterwards; 0 as long as none was asked for.
        suspected: All but a second answer is there.
    """

    entry: Entry
    plan: Plan
    fresh: Answer
    answered_at: float
    reading: int = 0
    suspected: bool = False
    _tries: int = 1

    def finding(self, seen: Seen) -> Finding | None:
        """Return what has become of it; None as long as that is open.

        An entry that dies only after the cache has claimed that it would not is not explained by that.
        """
        if not self.entry.live:
            return Finding.UNRESOLVED if self.reading else Finding.EXPLAINED
        if seen.catalog != self.plan.catalog:
            return Finding.CATALOG_CHANGED
        return Finding.UNRESOLVED if seen.now > self.answered_at + _PATIENCE_SECONDS else None

    def is_covered(self, seen: Seen) -> bool:
        """Tell whether all that was visible when Postgres answered has been applied here."""
        return seen.proven_at > self.answered_at

    def is_confirmed(self, seen: Seen) -> bool:
        """Tell whether the catalog was read since, and found the same (`finding` sees to that)."""
        return 0 < self.reading <= seen.catalog_reading

    def ask_again(self, fresh: Answer, answered_at: float) -> Finding | None:
        """Take a second answer of Postgres; None: it is another one again, which is to be covered first."""
        if compare(self.entry.answer, fresh) is not Match.DIFFERENT:
            return Finding.UNSTABLE
        if compare(self.fresh, fresh) is not Match.DIFFERENT:
            return Finding.VIOLATION
        if self._tries == _MOST_TRIES:
            return Finding.UNSTABLE
        self.fresh, self.answered_at, self.reading, self.suspected = fresh, answered_at, 0, False
        self._tries += 1
        return None
