"""Does a history keep the contract? Pure; it knows nothing but the history.

A write becomes visible at some instant between `sent` and `acknowledged`, nobody knows at which. So what a version's
readers may have seen is bounded from outside:

* it can be current from the moment at which it was sent;
* it cannot be current any more once a greater version has been acknowledged: versions only grow, so from then on that
  one, or a greater one still, is what Postgres answers. A write whose answer never came ends nobody's currency, and may
  itself be seen at any time after it was sent, until a greater one is acknowledged;
* one that a crash undid counts as if its answer never came, and ends when it is gone: before it may come after it.

An answer is right if there is one instant in [begin - Δ, end] at which all of its versions can have been current
together. As the bounds are outer ones, a right answer is never called wrong. Whatever is reported is a violation.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.history import MISSING, NEVER, History, Read, Write


class Kind(StrEnum):
    """What can be wrong with an answer."""

    STALE = "older than the bound"
    FUTURE = "before it was written"
    NOWHERE = "a version that nobody wrote"
    LACKING = "a row is missing"
    TORN = "rows that never stood together"
    OWN_WRITE = "older than the session's own write"


@dataclass(frozen=True, slots=True)
class Violation:
    """An answer that breaks the contract."""

    kind: Kind
    read: Read
    key: str
    detail: str

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.key} at {self.read.begin:.3f}…{self.read.end:.3f} ({self.read.session}): {self.detail}"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of checking.

    Attributes:
        reads: How many answers were checked.
        violations: What is wrong with them, at most one each.
        oldest_seconds: The longest that an answer had certainly been out of date when it was asked for.
    """

    reads: int
    violations: tuple[Violation, ...]
    oldest_seconds: float

    def of(self, *kinds: Kind) -> list[Violation]:
        """The violations of some kinds."""
        return [violation for violation in self.violations if violation.kind in kinds]


@dataclass(frozen=True, slots=True)
class _Span:
    """Outside of this stretch of time a version cannot have been current."""

    since: float
    until: float


class _Key:
    """The versions of one key."""

    def __init__(self, writes: Iterable[Write]) -> None:
        ordered = sorted(writes, key=lambda write: write.version)
        self.spans: dict[int, _Span] = {}
        until = NEVER
        for write in reversed(ordered):
            if write.applied:
                self.spans[write.version] = _Span(write.sent, min(until, write.undone))
            if write.undone == NEVER:
                until = min(until, write.acknowledged)


class _OwnWrites:
    """The greatest version that one session had had acknowledged, by time."""

    def __init__(self, writes: Iterable[Write]) -> None:
        self._times: list[float] = []
        self._versions: list[int] = []
        greatest = MISSING
        for write in sorted(writes, key=lambda write: write.acknowledged):
            greatest = max(greatest, write.version)
            self._times.append(write.acknowledged)
            self._versions.append(greatest)

    def greatest_before(self, time: float) -> int:
        """Return it; `MISSING` if there was none."""
        index = bisect_right(self._times, time)
        return self._versions[index - 1] if index else MISSING


def check(history: History, max_staleness: float) -> Verdict:
    """Check every read of a history.

    Args:
        history: What was written and read, with a write for what each key held at the beginning.
        max_staleness: Δ, in seconds.
    """
    by_key: dict[str, list[Write]] = defaultdict(list)
    by_session: dict[tuple[str, str], list[Write]] = defaultdict(list)
    for write in history.writes:
        by_key[write.key].append(write)
        if write.session and write.acknowledged != NEVER and write.undone == NEVER:
            by_session[write.session, write.key].append(write)
    keys = {key: _Key(writes) for key, writes in by_key.items()}
    own = {place: _OwnWrites(writes) for place, writes in by_session.items()}
    violations, oldest = [], 0.0
    for read in history.reads:
        violation, age = _judge(read, keys, own, max_staleness)
        if violation is not None:
            violations.append(violation)
        oldest = max(oldest, age)
    return Verdict(len(history.reads), tuple(violations), oldest)


def _judge(
    read: Read, keys: Mapping[str, _Key], own: Mapping[tuple[str, str], _OwnWrites], max_staleness: float
) -> tuple[Violation | None, float]:
    """Return what is wrong with an answer, and for how long it had certainly been out of date."""
    since, until, oldest_key = read.begin - max_staleness, read.end, ""
    for key, version in read.values:
        span = keys[key].spans.get(version) if key in keys else None
        if span is None:
            kind = Kind.LACKING if version == MISSING else Kind.NOWHERE
            return Violation(kind, read, key, f"version {version}"), 0.0
        if span.since > read.end:
            return Violation(Kind.FUTURE, read, key, f"version {version} was sent at {span.since:.3f}"), 0.0
        if span.until < read.begin - max_staleness:
            age = read.begin - span.until
            return Violation(Kind.STALE, read, key, f"version {version} had been replaced for {age:.3f} s"), age
        written = own.get((read.session, key))
        if written is not None and version < (greatest := written.greatest_before(read.begin)):
            return Violation(Kind.OWN_WRITE, read, key, f"version {version}, own write {greatest}"), 0.0
        since, until = max(since, span.since), min(until, span.until)
        oldest_key = key
    if since > until:
        return Violation(Kind.TORN, read, oldest_key, f"{dict(read.values)}"), 0.0
    return None, max(0.0, read.begin - until)


def permanently_stale(cached: Iterable[tuple[str, int]], fresh: Mapping[str, int]) -> list[str]:
    """Describe the cached values that differ from a fresh SELECT when everything is quiet: the evictions that are lost.

    Args:
        cached: What cached entries say, by key.
        fresh: What Postgres says.
    """
    return [
        f"{key} is cached with version {version}, Postgres has {fresh.get(key, MISSING)}"
        for key, version in cached
        if fresh.get(key, MISSING) != version
    ]


def lost_writes(history: History, fresh: Mapping[str, int]) -> list[str]:
    """Describe the acknowledged writes that Postgres does not show when everything is quiet: the harness is broken."""
    greatest: dict[str, int] = {}
    for write in history.writes:
        if write.acknowledged != NEVER and write.undone == NEVER:
            greatest[write.key] = max(greatest.get(write.key, MISSING), write.version)
    return [
        f"{key} was acknowledged with version {version}, Postgres has {fresh.get(key, MISSING)}"
        for key, version in greatest.items()
        if fresh.get(key, MISSING) < version
    ]
