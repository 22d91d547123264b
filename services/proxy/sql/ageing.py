"""By what an answer gets old although no row of its tables changes. Pure.

Such a statement is refused like any other that is not proven. But where its only fault is that it *ages*, a cache may
be told to keep its answers for a while (`ageing_ttl`): rows that change evict them as exactly as any other, and what
nobody tells of is bounded by that time.

* The clock: `now()` and its kin, and text that may be read as a moment relative to now. Postgres itself would have
  given the answer, for the rows as they are, at the moment when it was asked.
* REFRESH of a materialized view, which leaves no row change in the stream. It does write the view's row in `pg_class`
  (also with CONCURRENTLY), whose version is a part of the fingerprint in each answer's key: so it evicts as soon as the
  catalog is looked at again, at once where event triggers tell of it.

A table whose changes cannot be followed is nothing of the kind: anybody may write to it at any time.
"""

from enum import StrEnum


class Ageing(StrEnum):
    """What a statement's answers age by; the value is what a user sees."""

    CLOCK = "clock"
    REFRESH = "refresh"


NO_AGEING: frozenset[Ageing] = frozenset()
ALL_AGEING = frozenset(Ageing)
