"""Flights: upstream queries under way, whose answer identical misses may share. Consistency contract, section 9.5.

A session may join a flight only if it was sent after the session's own last acknowledged write, and so recently that
its answer is still inside the bound. The order of sends and acknowledgements is a counter of this worker, not a clock.
"""

from collections.abc import Callable

from services.proxy.cache.entry import Answer

Landed = Callable[[Answer | None], None]


class Flight:
    """One upstream query and those who wait for its answer.

    Attributes:
        sequence: Place of its sending in the worker's order of sends and acknowledgements.
        sent_at: Boot-clock second just before it was sent.
    """

    __slots__ = ("_waiting", "key", "sent_at", "sequence")

    def __init__(self, key: bytes, sequence: int, sent_at: float) -> None:
        self.key = key
        self.sequence = sequence
        self.sent_at = sent_at
        self._waiting: list[Landed] = []

    def join(self, landed: Landed) -> None:
        """Be told the answer, or None when there is none to share (error, cancel, too large)."""
        self._waiting.append(landed)

    def leave(self, landed: Landed) -> None:
        """Stop waiting."""
        if landed in self._waiting:
            self._waiting.remove(landed)

    def land(self, answer: Answer | None) -> None:
        """Tell everyone who waits."""
        waiting, self._waiting = self._waiting, []
        for landed in waiting:
            landed(answer)


class Flights:
    """The flights of one cache in one worker, and the order of sends and acknowledged writes. Pure."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Flight] = {}
        self._sequence = 0
        self.joined = 0

    def tick(self) -> int:
        """Take the next place in the order of sends and acknowledgements."""
        self._sequence += 1
        return self._sequence

    def start(self, key: bytes, sent_at: float) -> Flight:
        """Open a flight that later misses may join; an older one of the same key goes on with those it has."""
        flight = Flight(key, self.tick(), sent_at)
        self._by_key[key] = flight
        return flight

    def under_way(self, key: bytes) -> bool:
        """Tell whether there is a flight, for whoever it is."""
        return key in self._by_key

    def joinable(self, key: bytes, last_write: int, sent_after: float) -> Flight | None:
        """Return the flight that a session may join.

        Args:
            key: The entry's key.
            last_write: Place of the session's last acknowledged write in the order.
            sent_after: Boot-clock second before which a flight is too old for the session's bound.
        """
        flight = self._by_key.get(key)
        if flight is None or flight.sequence <= last_write or flight.sent_at <= sent_after:
            return None
        return flight

    def end(self, flight: Flight, answer: Answer | None) -> None:
        """Close a flight and hand its answer to those who joined."""
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
        flight.land(answer)
