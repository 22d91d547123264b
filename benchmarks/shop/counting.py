"""How many reads of a trace were hits: by what reached Postgres, or by what the peer itself says."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import psycopg

from benchmarks.shop.reads import READ_KINDS

COUNTING = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "top"}
"""Settings of a server that counts what reaches it."""

_ENDS = {f"/* {kind.name} */": kind.name for kind in READ_KINDS}


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits of a part of a trace.

    Attributes:
        reads: How many reads there were.
        hits: How many of them were hits.
        by_kind: Reads and hits of each kind; None where that is not known.
    """

    reads: int
    hits: int
    by_kind: dict[str, tuple[int, int]] | None


class HitCounter(Protocol):
    """Counts hits."""

    def take(self, reads: "Counter[str]") -> Hits:
        """Return how many of the reads since the last call were hits."""


class StatementCounter:
    """By what reaches Postgres: a read that does not reach it was a hit, whoever the peer is.

    Args:
        direct_url: The Postgres behind the peer.
    """

    def __init__(self, direct_url: str) -> None:
        self._connection = psycopg.connect(direct_url, autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self.take(Counter())

    def take(self, reads: "Counter[str]") -> Hits:
        """Return how many of the reads since the last call did not reach Postgres."""
        rows = self._connection.execute(
            "SELECT query, calls FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid "
            "WHERE datname = current_database()"
        ).fetchall()
        self._connection.execute("SELECT pg_stat_statements_reset()")
        reached: Counter[str] = Counter()
        for text, calls in rows:
            kind = _ENDS.get(text[text.rfind("/*") :].strip())
            if kind is not None:
                reached[kind] += calls
        by_kind = {kind: (count, count - reached[kind]) for kind, count in reads.items()}
        return Hits(reads.total(), sum(hits for _, hits in by_kind.values()), by_kind)

    def close(self) -> None:
        """Close its connection."""
        self._connection.close()


class PoolCacheCounter:
    """By what pgpool-II says: with the extended protocol it parses and binds in Postgres even where it then answers.

    Args:
        pgpool_url: The pgpool-II.
    """

    def __init__(self, pgpool_url: str) -> None:
        self._connection = psycopg.connect(pgpool_url, autocommit=True, prepare_threshold=None)
        self._hits = 0
        self.take(Counter())

    def take(self, reads: "Counter[str]") -> Hits:
        """Return how many hits it counted since the last call."""
        row = self._connection.execute("SHOW pool_cache").fetchone()
        assert row is not None
        before, self._hits = self._hits, int(row[0])
        return Hits(reads.total(), self._hits - before, None)

    def close(self) -> None:
        """Close its connection."""
        self._connection.close()
