"""One proof for all strong reads that have arrived together. Consistency contract, sections 1 and 9.7. Pure.

A strong read is served at a moment x if a probe m is covered that was sent, at t0(m), after the read had arrived: then
its entry shows all that was visible at t0(m), and the read is current at some instant between its start and its end.
What a client sends ahead has arrived before the first of it asks for its probe: so all of it may go by that one, or by
a later one that is covered at x. But reads are answered one after the other, as by Postgres, where a later one never
shows less than an earlier one. So each needs an instant that is not before those of the reads in front of it:

- An entry that this worker took before it sent the probe m is of a query that ran before t0(m). Nothing that became
  visible in between has altered its answer, or it would be evicted. So it is current at t0(m) itself, and m only grows.
- An entry that was taken after that may show what became visible later, and so may an answer of Postgres, of Redis, or
  of another session's query. Its instant lies somewhere before the moment at which it is given out. The proof is spent:
  what comes behind it goes by a probe that is sent after that moment.

When an entry was taken, and when bytes arrived, is told by numbers, as everything here: by that of the probe that was
to be sent next. So a pipeline of strong hits waits once, and one of which each is newer than the proof waits as often
as single reads do.
"""

from services.proxy.cache.entry import Entry
from services.proxy.cache.freshness import Freshness


class StrongProof:
    """What one session's strong reads go by.

    Attributes:
        number: The probe that has to be covered; 0: one is still to be asked for.
    """

    __slots__ = ("_arrived", "_freshness", "number")

    def __init__(self, freshness: Freshness) -> None:
        """Begin without one.

        Args:
            freshness: The worker's clock.
        """
        self._freshness = freshness
        self._arrived = 1  # as the first probe: without one nothing holds
        self.number = 0

    def holds(self) -> bool:
        """Tell whether a strong read may be served now, if nothing else speaks against it."""
        return self._arrived <= self.number <= self._freshness.covered

    def arrived(self) -> None:
        """The client has sent something: only a probe that is sent from now on proves anything of that."""
        self._arrived = self._freshness.next_number

    def spend(self) -> None:
        """Something is given out that may be newer than what was proven."""
        self.number = 0

    def shown(self, entry: Entry) -> None:
        """An entry is given out."""
        if entry.next_probe > self._freshness.covered:
            self.number = 0
