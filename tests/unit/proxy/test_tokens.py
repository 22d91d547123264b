"""Consistency contract, 9.6: a session does not read from the cache what it may have written and nobody has evicted."""

import pytest

from services.proxy.cache.named_rows import NamedRows
from services.proxy.cache.tokens import RowsRead, Tokens
from services.shared.relation import ShapeColumn

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


# -- rows that are named


def rows(*ids: int, relation: int = SHOPS, column: str = "id", catalog: int = 1) -> NamedRows:
    values = frozenset((str(each).encode(),) for each in ids)
    return NamedRows(relation, catalog, (ShapeColumn(column, 23),), values)


def reading(*named: NamedRows) -> RowsRead:
    return lambda relation: [one for one in named if one.relation == relation]


def written(*named: NamedRows, number: int = 7) -> Tokens:
    tokens = Tokens()
    relations = frozenset(one.relation for one in named)
    tokens.begin(relations, named)
    tokens.acknowledge(relations, number)
    return tokens


def test_a_write_that_names_its_rows_leaves_reads_of_others_alone() -> None:
    tokens = written(rows(1, 2))
    assert tokens.covers((SHOPS,), 6, reading(rows(3)))
    assert not tokens.covers((SHOPS,), 6, reading(rows(2)))
    assert not tokens.covers((SHOPS,), 6, reading(rows(3), rows(1)))
    assert tokens.covers((SHOPS,), 7, reading(rows(2)))
    assert tokens.settled(7)


def test_so_it_is_while_it_is_under_way() -> None:
    tokens = Tokens()
    tokens.begin(frozenset({SHOPS}), (rows(1),))
    assert tokens.covers((SHOPS,), 0, reading(rows(2)))
    assert not tokens.covers((SHOPS,), 10**9, reading(rows(1)))
    assert not tokens.settled(10**9)


@pytest.mark.parametrize(
    "other",
    [rows(3, column="owner"), rows(3, catalog=2)],
    ids=["by another column", "by another reading of the catalog"],
)
def test_rows_that_are_named_in_another_way_may_be_the_same(other: NamedRows) -> None:
    tokens = written(rows(1))
    assert not tokens.covers((SHOPS,), 6, reading(other))
    assert not tokens.spare((other,), 6)


def test_a_read_that_may_look_at_any_row_looks_at_those() -> None:
    tokens = written(rows(1))
    assert not tokens.covers((SHOPS,), 6)
    assert not tokens.covers((ORDERS, SHOPS), 6, lambda relation: None if relation == SHOPS else [])
    assert tokens.covers((ORDERS,), 6, lambda _: None)


def test_a_write_of_any_row_counts_whatever_rows_are_named_beside_it() -> None:
    tokens = written(rows(1), number=5)
    tokens.begin(frozenset({SHOPS}))
    assert not tokens.covers((SHOPS,), 10**9, reading(rows(2)))
    tokens.acknowledge(frozenset({SHOPS}), 9)
    assert not tokens.covers((SHOPS,), 8, reading(rows(2)))
    assert tokens.covers((SHOPS,), 9, reading(rows(1), rows(2)))


def test_a_block_that_names_rows_and_then_writes_any_leaves_nothing_under_way() -> None:
    tokens = Tokens()
    tokens.begin(frozenset({SHOPS}), (rows(1),))
    tokens.begin(frozenset({SHOPS}))
    tokens.acknowledge(frozenset({SHOPS}), 9)
    assert not tokens.covers((SHOPS,), 8, reading(rows(2)))
    assert tokens.settled(9)


def test_a_write_of_anything_forgets_rows() -> None:
    tokens = written(rows(1), number=5)
    tokens.begin(None)
    assert not tokens.spare((rows(2),), 10**9)
    tokens.acknowledge(None, 9)
    assert not tokens.spare((rows(2),), 8)
    assert tokens.settled(9)


def test_of_very_many_writes_the_relation_counts_as_written() -> None:
    tokens = Tokens()
    for number in range(1, 70):
        tokens.begin(frozenset({SHOPS}), (rows(number),))
        tokens.acknowledge(frozenset({SHOPS}), number)
    assert not tokens.covers((SHOPS,), 4, reading(rows(99)))
    assert tokens.covers((SHOPS,), 5, reading(rows(99)))
    assert not tokens.covers((SHOPS,), 68, reading(rows(69)))
    assert tokens.settled(69)


def test_so_it_does_while_they_are_under_way_and_until_the_last_is_covered() -> None:
    tokens = Tokens()
    for number in range(1, 70):
        tokens.begin(frozenset({SHOPS}), (rows(number),))
    assert not tokens.covers((SHOPS,), 10**9, reading(rows(99)))
    tokens.acknowledge(frozenset({SHOPS}), 7)
    assert not tokens.covers((SHOPS,), 6, reading(rows(99)))
    assert tokens.settled(7)


def test_a_reply_is_spared_by_what_rests_on_other_rows() -> None:
    tokens = written(rows(1), number=5)
    tokens.begin(frozenset({ORDERS}))
    tokens.acknowledge(frozenset({ORDERS}), 9)
    assert tokens.spare((rows(2),), 4)
    assert not tokens.spare((rows(2), rows(1)), 4)
    assert tokens.spare((rows(1),), 5)
    assert not tokens.spare((rows(1), rows(1, relation=ORDERS)), 8)
    assert tokens.spare((rows(1, relation=ORDERS),), 9)


def test_what_touches_only_named_rows_can_be_told() -> None:
    tokens = written(rows(1))
    assert tokens.names_rows((SHOPS,), 6)
    tokens.begin(frozenset({ORDERS}))
    assert tokens.names_rows((SHOPS,), 6)
    assert not tokens.names_rows((SHOPS, ORDERS), 6)
    tokens.begin(None)
    assert not tokens.names_rows((SHOPS,), 6)
