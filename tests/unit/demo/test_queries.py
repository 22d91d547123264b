"""The read mix is the same every time and looks like a shop's."""

from collections import Counter

from demo.queries import QUERIES, audited_instances, read_mix
from demo.shop import ShopSize

_SIZE = ShopSize.scaled(1.0)


def test_the_shop_has_a_million_rows() -> None:
    assert _SIZE.rows > 1_000_000


def test_the_weights_are_thousandths_of_all_reads() -> None:
    assert sum(query.weight for query in QUERIES) == 1000


def test_the_same_seed_gives_the_same_visitors() -> None:
    assert read_mix(_SIZE, 100, seed=7) == read_mix(_SIZE, 100, seed=7)
    assert read_mix(_SIZE, 100, seed=7) != read_mix(_SIZE, 100, seed=8)


def test_popular_pages_are_read_often_and_a_good_part_of_all_reads_is_audited() -> None:
    mix = read_mix(_SIZE, 20_000, seed=1)
    audited = set(audited_instances(_SIZE))
    products = Counter(page.number for page in mix if page.query == "product")

    assert products[0] > products[10] > products[100]
    assert sum(page in audited for page in mix) / len(mix) > 0.25


def test_a_tiny_shop_has_instances_too() -> None:
    tiny = ShopSize.scaled(0.001)

    for page in read_mix(tiny, 1_000, seed=1):
        query = next(query for query in QUERIES if query.name == page.query)
        assert page.number < query.instances(tiny)
