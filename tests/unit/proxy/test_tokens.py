"""Consistency contract, 9.6: a session does not read from the cache what it may have written and nobody has evicted."""

from services.proxy.cache.tokens import Tokens

SHOPS, ORDERS = 16_384, 16_390


def test_a_write_under_way_is_never_covered() -> None:
    tokens = Tokens()
    tokens.begin(frozenset({SHOPS}))
    assert not tokens.covers((SHOPS,), 10**9)
    assert not tokens.covers((ORDERS, SHOPS), 10**9)
    assert tokens.covers((ORDERS,), 0)
    assert not tokens.settled(10**9)


def test_an_acknowledged_write_is_covered_by_its_probe_and_later_ones() -> None:
    tokens = Tokens()
    tokens.begin(frozenset({SHOPS}))
    tokens.acknowledge(frozenset({SHOPS}), 7)
    assert [tokens.covers((SHOPS,), covered) for covered in (0, 6, 7, 8)] == [False, False, True, True]
    assert not tokens.settled(6)
    assert tokens.settled(7)


def test_a_write_of_anything_covers_every_relation() -> None:
    tokens = Tokens()
    tokens.begin(None)
    assert not tokens.covers((), 10**9)
    assert not tokens.covers((SHOPS,), 10**9)
    tokens.acknowledge(None, 7)
    assert not tokens.covers((SHOPS,), 6)
    assert tokens.covers((SHOPS,), 7)
    assert tokens.settled(7)


def test_relations_are_apart() -> None:
    tokens = Tokens()
    tokens.acknowledge(frozenset({SHOPS}), 5)
    tokens.acknowledge(frozenset({ORDERS}), 9)
    assert tokens.covers((SHOPS,), 5)
    assert not tokens.covers((SHOPS, ORDERS), 8)
    assert not tokens.settled(8)
    assert tokens.covers((SHOPS, ORDERS), 9)


def test_a_later_write_of_the_same_relation_counts_anew() -> None:
    tokens = Tokens()
    tokens.acknowledge(frozenset({SHOPS}), 5)
    tokens.begin(frozenset({SHOPS}))
    assert not tokens.covers((SHOPS,), 5)
    tokens.acknowledge(frozenset({SHOPS}), 9)
    assert not tokens.covers((SHOPS,), 8)


def test_a_block_that_wrote_this_and_then_anything_ends_as_one() -> None:
    """The acknowledgement of the block names the union, which is: anything. Nothing may stay under way for ever."""
    tokens = Tokens()
    tokens.begin(frozenset({SHOPS}))
    tokens.begin(None)
    tokens.acknowledge(None, 7)
    assert not tokens.covers((SHOPS,), 6)
    assert tokens.covers((SHOPS,), 7)
    assert tokens.settled(7)


def test_what_is_settled_is_forgotten() -> None:
    tokens = Tokens()
    for relation in range(1_000):
        tokens.acknowledge(frozenset({relation}), relation)
    assert not tokens.settled(998)
    assert len(tokens._by_relation) == 1
