"""Flights: upstream queries under way, whose answer identical misses may share. Consistency contract, section 9.5.

A session may join a flight only if it was sent after the session's own last acknowledged write, and so recently that
its answer is still inside the bound. The order of sends and acknowledgements is a counter of this worker, not a clock.

An answer that turns out too large to be shared is remembered by its key for a while, so that nobody waits for the next.
"""

from collections import OrderedDict
from collections.abc import Callable

from services.proxy.cache.entry import Answer

_ALONE_SECONDS = 60.0  # for how long queries with too large an answer are not shared; then it is tried again
_MOST_ALONE = 1_000  # of which that is remembered

FlightKey = tuple[int, bytes]
"""A reading of the catalog, and an entry's key: what changed since may be no part of that."""

Landed = Callable[[Answer | None], None]


class Flight:
    """One upstream query and those who wait for its answer.

    Attributes:
        sequence: Place of its sending in the worker's order of sends and acknowledgements.
        sent_at: Boot-clock second just before it was sent.
        described: Its answer comes with the description of its columns.
    """

    __slots__ = ("_waiting", "described", "key", "sent_at", "sequence")

    def __init__(self, key: FlightKey, sequence: int, sent_at: float, *, described: bool = True) -> None:
        self.key = key
        self.sequence = sequence
        self.sent_at = sent_at
        self.described = described
        self._waiting: list[Landed] = []

    @property
    def waiting(self) -> int:
        """How many have joined."""
        return len(self._waiting)

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
        self._by_key: dict[FlightKey, Flight] = {}
        self._alone: OrderedDict[FlightKey, float] = OrderedDict()  # keys that are not shared, and until when
        self._sequence = 0

    @property
    def waiting(self) -> int:
        """How many wait for a flight that can still be joined."""
        return sum(flight.waiting for flight in self._by_key.values())

    def tick(self) -> int:
        """Take the next place in the order of sends and acknowledgements."""
        self._sequence += 1
        return self._sequence

    def start(self, key: FlightKey, sent_at: float, *, described: bool = True) -> Flight:
        """Open a flight that later misses may join; an older one of the same key goes on with those it has."""
        flight = Flight(key, self.tick(), sent_at, described=described)
        self._by_key[key] = flight
        return flight

    def is_too_large(self, key: FlightKey, now: float) -> bool:
        """Tell whether the answer was too large to be shared lately: then there is no use in a flight."""
        return self._alone.get(key, 0.0) > now

    def under_way(self, key: FlightKey) -> bool:
        """Tell whether there is a flight of this key at all."""
        return key in self._by_key

    def joinable(self, key: FlightKey, last_write: int, sent_after: float) -> Flight | None:
        """Return the flight that a session may join.

        Args:
            key: What is asked.
            last_write: Place of the session's last acknowledged write in the order.
            sent_after: Boot-clock second before which a flight is too old for the session's bound.
        """
        flight = self._by_key.get(key)
        if flight is None or flight.sequence <= last_write or flight.sent_at <= sent_after:
            return None
        return flight

    def outgrown(self, flight: Flight) -> None:
        """The answer is too large to be shared: let those who joined know at once, and nobody wait for the next one."""
        self._alone[flight.key] = flight.sent_at + _ALONE_SECONDS
        self._alone.move_to_end(flight.key)
        if len(self._alone) > _MOST_ALONE:
            self._alone.popitem(last=False)
        self.end(flight, None)

    def end(self, flight: Flight, answer: Answer | None) -> None:
        """Close a flight and hand its answer to those who joined."""
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
        flight.land(answer)
