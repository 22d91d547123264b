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

_POPULAR = 1_000  # instances of one query that are read at all


@dataclass(frozen=True, slots=True)
class Query:
    """One kind of page.

    Attributes:
        name: How programs call it.
        title: How people call it.
        sql: The statement.
        reads: The columns that decide the answer, as `table.column`.
        weight: Its share of all reads, in thousandths.
        audited: How many of its most popular instances are checked against Postgres.
        instances: How many instances there are in a shop of some size.
        parameters: The parameters of an instance in a shop of some size.
    """

    name: str
    title: str
    sql: str
    reads: frozenset[str]
    weight: int
    audited: int
    instances: Callable[[ShopSize], int]
    parameters: Callable[[ShopSize, int], tuple[object, ...]]

    def depends_on(self, touched: frozenset[str]) -> bool:
        """Whether a change can alter an answer.

        Args:
            touched: What was changed: `table.column` for an update, `table` for new rows.
        """
        return bool(touched & self.reads) or bool(touched & {column.partition(".")[0] for column in self.reads})


@dataclass(frozen=True, slots=True)
class Instance:
    """One page: a query by its name, and which of its instances."""

    query: str
    number: int

    def __str__(self) -> str:
        return f"{self.query}/{self.number}"


_SEARCHED = ("Oak T", "Noble C", "Quiet L", "Amber B", "Fine K", "Modern D", "Slow W", "Ivory M")


def _since(_size: ShopSize, number: int) -> tuple[object, ...]:
    return (datetime(2025, 12, 24 + number, tzinfo=UTC),)


def _search(_size: ShopSize, number: int) -> tuple[object, ...]:
    return (f"{_SEARCHED[number]}%",)


def _counted_up(_size: ShopSize, number: int) -> tuple[object, ...]:
    return (1 + number,)


def _columns(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUERIES = (
    Query(
        "product",
        "product page",
        "SELECT id, sku, name, description, price, revision FROM products WHERE id = $1",
        _columns("products.id products.name products.price products.revision"),
        weight=300,
        audited=12,
        instances=lambda size: size.products,
        parameters=_counted_up,
    ),
    Query(
        "stock",
        "stock",
        "SELECT quantity, warehouse, revision FROM inventory WHERE product_id = $1",
        _columns("inventory.quantity inventory.revision"),
        weight=150,
        audited=12,
        instances=lambda size: size.products,
        parameters=_counted_up,
    ),
    Query(
        "category",
        "category page",
        "SELECT p.id, p.name, p.price, avg(r.rating) AS stars, count(r.id) AS reviews "
        "FROM products p LEFT JOIN reviews r ON r.product_id = p.id "
        "WHERE p.category_id = $1 GROUP BY p.id ORDER BY p.price, p.id LIMIT 24",
        _columns("products.id products.name products.price products.category_id reviews.product_id reviews.rating"),
        weight=150,
        audited=4,
        instances=lambda size: size.categories,
        parameters=_counted_up,
    ),
    Query(
        "reviews",
        "latest reviews",
        "SELECT r.rating, r.title, r.body, r.written_at, c.name, c.city "
        "FROM reviews r JOIN customers c ON c.id = r.customer_id "
        "WHERE r.product_id = $1 ORDER BY r.written_at DESC, r.id DESC LIMIT 10",
        _columns("reviews.product_id reviews.rating customers.name customers.city"),
        weight=120,
        audited=8,
        instances=lambda size: size.products,
        parameters=_counted_up,
    ),
    Query(
        "stars",
        "star ratings",
        "SELECT rating, count(*) FROM reviews WHERE product_id = $1 GROUP BY rating ORDER BY rating",
        _columns("reviews.product_id reviews.rating"),
        weight=80,
        audited=8,
        instances=lambda size: size.products,
        parameters=_counted_up,
    ),
    Query(
        "order",
        "order with items",
        "SELECT o.id, o.status, o.placed_at, i.line, p.name, i.quantity, i.unit_price "
        "FROM orders o JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id "
        "WHERE o.id = $1 ORDER BY i.line",
        _columns("orders.id orders.status order_items.quantity order_items.unit_price products.name"),
        weight=90,
        audited=6,
        instances=lambda size: size.orders,
        parameters=lambda size, number: (size.orders - number,),
    ),
    Query(
        "history",
        "customer's orders",
        "SELECT o.id, o.placed_at, o.status, sum(i.quantity * i.unit_price) AS total "
        "FROM orders o JOIN order_items i ON i.order_id = o.id "
        "WHERE o.customer_id = $1 GROUP BY o.id ORDER BY o.placed_at DESC, o.id DESC LIMIT 10",
        _columns("orders.customer_id orders.status orders.placed_at order_items.quantity order_items.unit_price"),
        weight=70,
        audited=6,
        instances=lambda size: size.customers,
        parameters=_counted_up,
    ),
    Query(
        "search",
        "search by name",
        "SELECT id, name, price FROM products WHERE name LIKE $1 ORDER BY price, id LIMIT 20",
        _columns("products.id products.name products.price"),
        weight=30,
        audited=2,
        instances=lambda _size: len(_SEARCHED),
        parameters=_search,
    ),
    Query(
        "bestsellers",
        "best-sellers",
        "SELECT p.id, p.name, sum(i.quantity) AS sold FROM orders o "
        "JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id "
        "WHERE o.placed_at >= $1 GROUP BY p.id, p.name ORDER BY sold DESC, p.id LIMIT 10",
        _columns("orders.placed_at order_items.quantity products.name"),
        weight=10,
        audited=1,
        instances=lambda _size: 7,
        parameters=_since,
    ),
)
"""The read mix. Every ORDER BY is total: two right answers are the same bytes."""

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
