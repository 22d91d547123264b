"""Is any read older than it may be? A writer that counts up, a reader, and a look at both logs afterwards.

All times are of CLOCK_BOOTTIME, taken before a statement is sent and after its answer has come, so that what is found
is never the fault of the measurement.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import CLOCK_BOOTTIME, clock_gettime

import psycopg

_WRITE = "UPDATE versions SET version = version + 1 WHERE id = 1 RETURNING version"
_READ = "SELECT version FROM versions WHERE id = 1"
_PAUSE_SECONDS = 0.002  # between two statements of a thread, so that neither fills the machine

SQL = "CREATE TABLE versions (id int PRIMARY KEY, version bigint); INSERT INTO versions VALUES (1, 0);"
"""The table that is written and read."""


def now() -> float:
    """Return the time in seconds since the machine started."""
    return clock_gettime(CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Observation:
    """One statement: when it was sent, when its answer came, the version in it."""

    begin: float
    end: float
    version: int


@dataclass(slots=True)
class History:
    """What was written and read."""

    commits: list[Observation] = field(default_factory=list)
    reads: list[Observation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def stale_reads(self, max_staleness: float) -> list[str]:
        """Describe the reads that gave less than what was committed `max_staleness` seconds before they began."""
        found: list[str] = []
        newest, at = 0, 0
        for read in sorted(self.reads, key=lambda one: one.begin):
            while at < len(self.commits) and self.commits[at].end < read.begin - max_staleness:
                newest = self.commits[at].version
                at += 1
            if read.version < newest:
                found.append(f"read {read.version} at {read.begin:.3f}, when {newest} was {max_staleness} s old")
        return found

    def reads_from_the_future(self) -> list[str]:
        """Describe the reads that gave what nobody had begun to write."""
        begins = {commit.version: commit.begin for commit in self.commits}
        return [f"read {read.version}" for read in self.reads if begins.get(read.version, 0.0) > read.end]

    def longest_read(self, begin: float = 0.0, end: float = float("inf")) -> float:
        """Return the seconds that the slowest read took, of those that were sent in a stretch of time."""
        return max((read.end - read.begin for read in self.reads if begin <= read.begin <= end), default=0.0)


@contextmanager
def observed(direct_url: str, proxied_url: str, *, readers: int = 2, tolerant: bool = False) -> Iterator[History]:
    """Write directly and read through the proxy for as long as the context lasts.

    Args:
        direct_url: Around the proxy.
        proxied_url: Through it.
        readers: How many sessions read.
        tolerant: Errors are expected: note them, and connect again.
    """
    history, stop = History(), threading.Event()

    def write() -> None:
        _repeat(direct_url, _WRITE, history.commits, history, stop, tolerant)

    def read() -> None:
        _repeat(proxied_url, _READ, history.reads, history, stop, tolerant)

    threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(readers))]
    for thread in threads:
        thread.start()
    try:
        yield history
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads), "a statement never came back"


def _repeat(
    url: str, sql: str, log: list[Observation], history: History, stop: threading.Event, tolerant: bool
) -> None:
    while not stop.is_set():
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
                while not stop.wait(_PAUSE_SECONDS):
                    begin = now()
                    row = connection.execute(sql).fetchone()
                    assert row is not None
                    log.append(Observation(begin, now(), row[0]))
        except psycopg.Error as error:
            history.errors.append(f"{error.sqlstate}: {error}")
            if not tolerant:
                return
