"""Consistency contract, 9.5: who may share another's query."""

from services.proxy.cache.entry import Answer
from services.proxy.cache.flights import Flights

ANSWER = Answer(b"T", b"D", b"C")
_KEY = (1, b"k")


def test_a_flight_is_joined_and_tells_everyone_once() -> None:
    flights = Flights()
    flight = flights.start(_KEY, 10.0)
    heard: list[Answer | None] = []
    joined = flights.joinable(_KEY, last_write=0, sent_after=9.0)
    assert joined is flight
    joined.join(heard.append)
    joined.join(heard.append)
    flights.end(flight, ANSWER)
    flights.end(flight, None)
    assert heard == [ANSWER, ANSWER]
    assert flights.joinable(_KEY, 0, 9.0) is None


def test_a_flight_that_was_sent_before_the_sessions_own_write_is_not_joined() -> None:
    flights = Flights()
    flights.start(_KEY, 10.0)
    own_write = flights.tick()
    assert flights.joinable(_KEY, own_write, 9.0) is None
    later = flights.start(_KEY, 10.0)
    assert flights.joinable(_KEY, own_write, 9.0) is later


def test_a_flight_at_the_edge_of_the_bound_is_not_joined() -> None:
    flights = Flights()
    flights.start(_KEY, 10.0)
    assert flights.joinable(_KEY, 0, sent_after=10.0) is None
    assert flights.joinable(_KEY, 0, sent_after=9.999) is not None


def test_a_flight_of_another_key_is_not_joined() -> None:
    flights = Flights()
    flights.start(_KEY, 10.0)
    assert flights.joinable((1, b"other"), 0, 0.0) is None


def test_a_later_flight_takes_over_while_the_older_one_ends_with_its_own() -> None:
    flights = Flights()
    older = flights.start(_KEY, 10.0)
    heard: list[Answer | None] = []
    older.join(heard.append)
    newer = flights.start(_KEY, 11.0)
    flights.end(older, None)
    assert heard == [None]
    assert flights.joinable(_KEY, 0, 9.0) is newer


def test_who_leaves_is_not_told() -> None:
    flights = Flights()
    flight = flights.start(_KEY, 10.0)
    heard: list[Answer | None] = []
    stays, leaves = heard.append, heard.append
    flight.join(stays)
    flight.join(leaves)
    flight.leave(leaves)
    flights.end(flight, ANSWER)
    flight.leave(stays)
    assert heard == [ANSWER]


def test_one_who_joins_while_the_others_are_told_waits_for_nothing_that_has_landed() -> None:
    flights = Flights()
    flight = flights.start(_KEY, 10.0)
    found: list[object] = []
    flight.join(lambda _: found.append(flights.joinable(_KEY, 0, 0.0)))
    flights.end(flight, None)
    assert found == [None]
