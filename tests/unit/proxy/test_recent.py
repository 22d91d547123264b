"""Consistency contract, sections 6 and 7: an answer that was read before an eviction is refused after it."""

from services.proxy.cache.recent import RecentEvictions
from services.shared.lsn import Lsn
from services.shared.position import START, Position
from services.shared.relation import relation_tag

SHOPS, ORDERS = 16_384, 16_391  # of partitions 0 and 1, when there are two
SHOP_TAG, ORDER_TAG = f"{SHOPS}:aa", f"{ORDERS}:bb"


def at(k: int, incarnation: int = 100) -> Position:
    return Position(Lsn(incarnation), k)


def test_what_was_not_evicted_is_taken() -> None:
    recent = RecentEvictions((at(5),))
    recent.note(at(6), (SHOP_TAG,), (), (at(5),))
    assert recent.refuses((at(5),), (ORDER_TAG,), (ORDERS,)) == ""


def test_the_position_decides_and_equal_is_good_enough() -> None:
    recent = RecentEvictions((START,))
    recent.note(at(6), (SHOP_TAG,), (), (at(5),))
    assert recent.refuses((at(5),), (SHOP_TAG,), (SHOPS,)) == "evicted_meanwhile"
    assert recent.refuses((at(6),), (SHOP_TAG,), (SHOPS,)) == ""
    assert recent.refuses((at(0, incarnation=101),), (SHOP_TAG,), (SHOPS,)) == ""
    assert recent.refuses((at(900, incarnation=99),), (SHOP_TAG,), (SHOPS,)) == "evicted_meanwhile"


def test_a_relation_evicted_as_a_whole_refuses_all_that_touches_it() -> None:
    recent = RecentEvictions((START,))
    recent.note(at(6), (), (SHOPS,), (at(5),))
    assert recent.refuses((at(5),), ("16384:cc",), (SHOPS,)) == "evicted_meanwhile"
    assert recent.refuses((at(5),), (relation_tag(ORDERS),), (ORDERS,)) == ""


def test_the_last_eviction_counts() -> None:
    recent = RecentEvictions((START,))
    recent.note(at(6), (SHOP_TAG,), (), (at(5),))
    recent.note(at(8), (SHOP_TAG,), (), (at(7),))
    assert recent.refuses((at(7),), (SHOP_TAG,), ()) == "evicted_meanwhile"


def test_below_the_floor_nothing_is_known() -> None:
    recent = RecentEvictions((at(5), at(3)))
    assert recent.refuses((at(5), at(3)), (), ()) == ""
    assert recent.refuses((at(4), at(9)), (), ()) == "below_floor"
    assert recent.refuses((at(9), at(2)), (), ()) == "below_floor"
    alone = RecentEvictions((at(5),))
    assert [alone.refuses((at(k),), (), ()) for k in (4, 5)] == ["below_floor", ""]


def test_each_relation_is_compared_in_its_own_partition() -> None:
    recent = RecentEvictions((START, START))
    recent.note(at(6), (ORDER_TAG,), (), (at(50), at(5)))
    assert recent.refuses((at(1), at(6)), (ORDER_TAG, SHOP_TAG), (SHOPS, ORDERS)) == ""
    assert recent.refuses((at(90), at(5)), (ORDER_TAG, SHOP_TAG), (SHOPS, ORDERS)) == "evicted_meanwhile"


def test_two_generations_are_kept_and_the_floor_is_the_older_ones_start() -> None:
    recent = RecentEvictions((START,), generation_cells=2)
    for k in range(1, 7):
        recent.note(at(k), (f"{SHOPS}:{k}",), (), (at(k - 1),))
    # 1 and 2 are forgotten; 3 and 4 are the older generation, which began when 2 was applied.
    assert recent.floor == (at(2),)
    assert recent.refuses((at(1),), (f"{SHOPS}:1",), ()) == "below_floor"
    assert recent.refuses((at(2),), (f"{SHOPS}:3",), ()) == "evicted_meanwhile"
    assert recent.refuses((at(3),), (f"{SHOPS}:3",), ()) == ""
    assert recent.refuses((at(5),), (f"{SHOPS}:6",), ()) == "evicted_meanwhile"


def test_a_reset_forgets_and_refuses_from_below_the_new_floor() -> None:
    recent = RecentEvictions((START,))
    recent.note(at(6), (SHOP_TAG,), (SHOPS,), (at(5),))
    recent.reset((at(9),))
    assert recent.refuses((at(8),), (), ()) == "below_floor"
    assert recent.refuses((at(9),), (SHOP_TAG,), (SHOPS,)) == ""
    recent.note(at(10), (SHOP_TAG,), (), (at(9),))
    assert recent.refuses((at(9),), (SHOP_TAG,), ()) == "evicted_meanwhile"
