"""What the shop's visitors read: the pages of a shop, each one SELECT, in the proportions of a busy day.

A query with its parameters is an *instance*, and instances are numbered from the most popular one on. Popularity falls
as it does in a real shop: the n-th product is looked at 1/n as often as the first.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from demo.shop import ShopSize

_POPULAR = 2_000  # instances of one query that are read at all


@dataclass(frozen=True, slots=True)
class Query:
    """One kind of page.

    Attributes:
        name: How programs call it.
        title: How people call it.
        sql: The statement.
        tables: The tables that it reads.
        weight: Its share of all reads, in thousandths.
        audited: How many of its most popular instances are checked against Postgres.
        instances: How many instances there are in a shop of some size.
        parameters: The parameters of an instance in a shop of some size.
    """

    name: str
    title: str
    sql: str
    tables: frozenset[str]
    weight: int
    audited: int
    instances: Callable[[ShopSize], int]
    parameters: Callable[[ShopSize, int], tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Instance:
    """One page: a query by its name, and which of its instances."""

    query: str
    number: int

    def __str__(self) -> str:
        return f"{self.query}/{self.number}"


def _since(_size: ShopSize, number: int) -> tuple[object, ...]:
    return (datetime(2025, 12, 24 + number, tzinfo=UTC),)


def _counted_up(_size: ShopSize, number: int) -> tuple[object, ...]:
    return (1 + number,)


QUERIES = (
    Query(
        "product",
        "product page",
        "SELECT id, sku, name, description, price, revision FROM products WHERE id = $1",
        frozenset({"products"}),
        weight=300,
        audited=12,
        instances=lambda size: size.products,
        parameters=_counted_up,
    ),
    Query(
        "stock",
        "stock of a product",
        "SELECT quantity, warehouse, revision FROM inventory WHERE product_id = $1",
        frozenset({"inventory"}),
        weight=200,
        audited=12,
        instances=lambda size: size.products,
        parameters=_counted_up,
    ),
    Query(
        "category",
        "category page",
        "SELECT id, name, price FROM products WHERE category_id = $1 ORDER BY price, id LIMIT 24",
        frozenset({"products"}),
        weight=140,
        audited=4,
        instances=lambda size: size.categories,
        parameters=_counted_up,
    ),
    Query(
        "rating",
        "review summary",
        "SELECT count(*), avg(rating), max(written_at) FROM reviews WHERE product_id = $1",
        frozenset({"reviews"}),
        weight=130,
        audited=8,
        instances=lambda size: size.products,
        parameters=_counted_up,
    ),
    Query(
        "order",
        "order with its items",
        "SELECT o.id, o.status, o.placed_at, i.line, p.name, i.quantity, i.unit_price "
        "FROM orders o JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id "
        "WHERE o.id = $1 ORDER BY i.line",
        frozenset({"orders", "order_items", "products"}),
        weight=120,
        audited=6,
        instances=lambda size: size.orders,
        parameters=lambda size, number: (size.orders - number,),
    ),
    Query(
        "history",
        "a customer's orders",
        "SELECT o.id, o.placed_at, o.status, sum(i.quantity * i.unit_price) AS total "
        "FROM orders o JOIN order_items i ON i.order_id = o.id "
        "WHERE o.customer_id = $1 GROUP BY o.id ORDER BY o.placed_at DESC, o.id DESC LIMIT 10",
        frozenset({"orders", "order_items"}),
        weight=100,
        audited=6,
        instances=lambda size: size.customers,
        parameters=_counted_up,
    ),
    Query(
        "bestsellers",
        "best-sellers of a week",
        "SELECT p.id, p.name, sum(i.quantity) AS sold FROM orders o "
        "JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id "
        "WHERE o.placed_at >= $1 GROUP BY p.id, p.name ORDER BY sold DESC, p.id LIMIT 10",
        frozenset({"orders", "order_items", "products"}),
        weight=10,
        audited=1,
        instances=lambda _size: 7,
        parameters=_since,
    ),
)
"""The read mix, the most frequent first. Every ORDER BY is total: two right answers are the same bytes."""

BY_NAME = {query.name: query for query in QUERIES}


def audited_instances(size: ShopSize) -> list[Instance]:
    """Return the pages that are checked against Postgres: the most popular ones, so a good part of all reads."""
    return [
        Instance(query.name, number) for query in QUERIES for number in range(min(query.audited, query.instances(size)))
    ]


def read_mix(size: ShopSize, count: int, seed: int) -> list[Instance]:
    """Return pages in the order in which visitors ask for them.

    Args:
        size: The size of the shop.
        count: How many.
        seed: Another seed, other visitors.
    """
    chance = random.Random(seed)
    popularity = {}
    for query in QUERIES:
        popular = min(query.instances(size), _POPULAR)
        popularity[query.name] = (range(popular), list(accumulate(1 / (1 + rank) for rank in range(popular))))
    kinds = chance.choices(QUERIES, [query.weight for query in QUERIES], k=count)
    mix = []
    for kind in kinds:
        numbers, cumulative = popularity[kind.name]
        mix.append(Instance(kind.name, chance.choices(numbers, cum_weights=cumulative)[0]))
    return mix
