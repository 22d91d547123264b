"""Histories of transactions that the checker must refuse, and such that it must not."""

from tests.chaos.anomalies import Level, Transaction, anomalies


def test_one_after_the_other_is_fine() -> None:
    history = [Transaction(1, {1: ()}, {1: 10}), Transaction(2, {1: (10,)}, {1: 20}), Transaction(3, {1: (10, 20)}, {})]
    assert anomalies(history, {1: (10, 20)}, Level.SERIALIZABLE) == []


def test_write_skew_is_fine_in_a_snapshot_and_not_serializable() -> None:
    history = [Transaction(1, {1: (), 2: ()}, {1: 10}), Transaction(2, {1: (), 2: ()}, {2: 20})]
    final = {1: (10,), 2: (20,)}
    assert anomalies(history, final, Level.REPEATABLE_READ) == []
    assert anomalies(history, final, Level.SERIALIZABLE)


def test_a_lost_update_is_no_snapshot() -> None:
    history = [Transaction(1, {1: ()}, {1: 10}), Transaction(2, {1: ()}, {1: 20})]
    assert anomalies(history, {1: (10, 20)}, Level.REPEATABLE_READ)


def test_a_torn_read_is_no_snapshot() -> None:
    """It sees one append of a transaction and not the other, as a read from a cache inside a block would."""
    history = [Transaction(1, {}, {1: 10, 2: 11}), Transaction(2, {1: (10,), 2: ()}, {})]
    assert anomalies(history, {1: (10,), 2: (11,)}, Level.REPEATABLE_READ)


def test_what_was_aborted_or_lost_is_found() -> None:
    assert anomalies([Transaction(1, {1: (99,)}, {})], {1: ()}, Level.REPEATABLE_READ)
    assert anomalies([Transaction(1, {}, {1: 10})], {1: ()}, Level.REPEATABLE_READ)


def test_a_long_way_back_is_found() -> None:
    """Three readers and writers in a ring, each of which misses what the next one wrote."""
    ring = [Transaction(n, {n: ()}, {n % 3 + 1: 10 * n}) for n in (1, 2, 3)]
    final = {1: (30,), 2: (10,), 3: (20,)}
    assert anomalies(ring, final, Level.REPEATABLE_READ) == []
    assert anomalies(ring, final, Level.SERIALIZABLE)
