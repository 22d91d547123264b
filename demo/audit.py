"""Was an answer right? Decided from what was read and what was written, by the clock that all processes share. Pure.

There is one writer. Before it commits a change it notes the time, after the commit was acknowledged it notes the time
again; in between the change became visible. Then, with nobody else writing, it asks Postgres directly for every audited
page that the change can have altered. So for each page there is a list of *versions*: a digest of the answer, and the
interval in which it became current. It went out of date within the interval of the version after it.

A read through the cache that began at `start` and ended at `end` is right if it returned a version that may have been
current at some instant in [start - max_staleness, end]. That is what Tidegate promises, no less; and since a version's
interval is at least as long as the truth, a right answer is never called wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

_DIGEST_BYTES = 8
NEVER = 1 << 62
"""A time in nanoseconds after every other."""


@dataclass(frozen=True, slots=True)
class Version:
    """An answer that Postgres gave for a page, with the interval in which it became current.

    Attributes:
        digest: The answer.
        sent: When the commit that made it was sent, in nanoseconds of the monotonic clock; 0 for the first version.
        acknowledged: When that commit was acknowledged.
    """

    digest: str
    sent: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Read:
    """One read of an audited page: from when to when, in nanoseconds of the monotonic clock, and the answer."""

    page: str
    start: int
    end: int
    digest: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of checking reads.

    Attributes:
        checked: How many reads were checked.
        wrong: Those that no allowed version explains.
        stalest_seconds: The longest that an answer had certainly been out of date when it was asked for.
        stale: How many answers had certainly been out of date when they were asked for, by whatever little.
    """

    checked: int
    wrong: tuple[Read, ...]
    stalest_seconds: float
    stale: int


def digest_of(rows: Sequence[Iterable[object]]) -> str:
    """Return a digest of an answer, which is the same for the same values in the same order."""
    return blake2b(repr([tuple(row) for row in rows]).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def judge(reads: Sequence[Read], ledger: Mapping[str, Sequence[Version]], max_staleness_seconds: float) -> Verdict:
    """Check reads against the versions of their pages.

    Args:
        reads: What was read.
        ledger: All versions of every audited page, oldest first.
        max_staleness_seconds: How old an answer may be; 0 for reads from Postgres itself.
    """
    allowed = round(max_staleness_seconds * 1e9)
    wrong = []
    stalest = stale = 0
    for read in reads:
        age = _age(read, ledger[read.page])
        if age is None or age > allowed:
            wrong.append(read)
        else:
            stalest = max(stalest, age)
            stale += age > 0
    return Verdict(len(reads), tuple(wrong), stalest / 1e9, stale)


def _age(read: Read, versions: Sequence[Version]) -> int | None:
    """Return for how long an answer had certainly been out of date when it was asked for, in nanoseconds.

    None when it was no answer of Postgres before the read ended.
    """
    ages = []
    for version, successor in zip(versions, (*versions[1:], None), strict=True):
        if version.digest == read.digest and version.sent <= read.end:
            out_of_date = NEVER if successor is None else successor.acknowledged
            ages.append(max(read.start - out_of_date, 0))
    return min(ages, default=None)
