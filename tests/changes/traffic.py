"""A session that reads all the time, whatever happens meanwhile: it fills the cache at the worst moments.

An answer that was asked for before a change became visible, and comes in behind it, must not be kept. Only a reader
that does not wait for steps to end can be answered so; what it is told is not compared: it may be as old as allowed.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from tests.changes.answers import ask
from tests.changes.content import Connection
from tests.changes.reads import Read

_PAUSE_SECONDS = 0.001  # between two reads, so that they do not fill the machine


class Traffic:
    """Reads in a thread of its own.

    Attributes:
        reads: What is read, round and round.
        count: How often something was read.
    """

    def __init__(self, connection: Connection) -> None:
        """Prepare to read over a connection of its own."""
        self.reads: Sequence[Read] = ()
        self.count = 0
        self._connection = connection
        self._turn = threading.Lock()  # held for a read, and for a pause
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop reading, and disconnect."""
        self._end.set()
        self._thread.join()
        self._connection.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Read nothing for as long as the context lasts."""
        with self._turn:
            yield

    def _run(self) -> None:
        while not self._end.wait(_PAUSE_SECONDS):
            reads = self.reads
            if not reads:
                continue
            with self._turn:
                try:
                    ask(self._connection.pgconn, reads[self.count % len(reads)])
                except psycopg.Error:
                    return
                self.count += 1
