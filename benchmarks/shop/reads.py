"""What the shop reads: statements, how often each comes, and where its values come from. Pure.

Each ends in a comment with its name, by which what reaches Postgres is counted (`pg_stat_statements`): a read that does
not reach it was a hit, whoever the peer is.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.shop.shopper import Shopper
from benchmarks.shop.statements import Statement, statement

BY_KEY, BY_FOREIGN_KEY, LIST_PAGE = "by primary key", "by foreign key", "list page"
JOIN, AGGREGATE, RANGE, DASHBOARD = "join", "aggregate", "range", "dashboard"
CLASSES = (BY_KEY, BY_FOREIGN_KEY, LIST_PAGE, JOIN, AGGREGATE, RANGE, DASHBOARD)

Draw = Callable[[Shopper], tuple[str | int, ...]]


@dataclass(frozen=True, slots=True)
class ReadKind:
    """A statement of the shop.

    Attributes:
        name: Stands in its comment.
        family: Its class.
        weight: How often it comes, beside the others.
        text: With `$1` and so on.
        draw: Draws its values.
    """

    name: str
    family: str
    weight: int
    text: str
    draw: Draw

    def next(self, shopper: Shopper) -> Statement:
        """Return one of these reads."""
        return statement(f"{self.text} /* {self.name} */", *self.draw(shopper))


def _day(shopper: Shopper) -> tuple[str, str]:
    day = shopper.day()
    return day.isoformat(), (day + dt.timedelta(days=1)).isoformat()


READ_KINDS = (
    ReadKind(
        "product", BY_KEY, 30, "SELECT id, name, price, stock, category_id FROM product WHERE id = $1",
        lambda shopper: (shopper.product(),),
    ),
    ReadKind(
        "customer", BY_KEY, 8, "SELECT id, name, email, city FROM customer WHERE id = $1",
        lambda shopper: (shopper.customer(),),
    ),
    ReadKind(
        "order", BY_KEY, 4, "SELECT id, customer_id, status, total, placed_on FROM orders WHERE id = $1",
        lambda shopper: (shopper.order(),),
    ),
    ReadKind(
        "category", BY_KEY, 3, "SELECT id, name FROM category WHERE id = $1", lambda shopper: (shopper.category(),)
    ),
    ReadKind(
        "basket", BY_KEY, 3, "SELECT id, name, price, stock FROM product WHERE id IN ($1, $2, $3) ORDER BY id",
        lambda shopper: (shopper.product(), shopper.product(), shopper.product()),
    ),
    ReadKind(
        "orders of a customer", BY_FOREIGN_KEY, 7,
        "SELECT id, status, total, placed_on FROM orders WHERE customer_id = $1 ORDER BY id DESC",
        lambda shopper: (shopper.customer(),),
    ),
    ReadKind(
        "items of an order", BY_FOREIGN_KEY, 5,
        "SELECT line, product_id, quantity, price FROM order_item WHERE order_id = $1 ORDER BY line",
        lambda shopper: (shopper.order(),),
    ),
    ReadKind(
        "reviews of a product", BY_FOREIGN_KEY, 12,
        "SELECT id, stars, body FROM review WHERE product_id = $1 ORDER BY id DESC LIMIT 10",
        lambda shopper: (shopper.product(),),
    ),
    ReadKind(
        "category by price", LIST_PAGE, 9,
        "SELECT id, name, price FROM product WHERE category_id = $1 ORDER BY price, id LIMIT 24 OFFSET $2",
        lambda shopper: (shopper.category(), shopper.page()),
    ),
    ReadKind(
        "category by date", LIST_PAGE, 4,
        "SELECT id, name, price FROM product WHERE category_id = $1 ORDER BY added_on DESC, id LIMIT 24",
        lambda shopper: (shopper.category(),),
    ),
    ReadKind(
        "items with products", JOIN, 4,
        "SELECT i.line, p.name, i.quantity, i.price FROM order_item i JOIN product p ON p.id = i.product_id "
        "WHERE i.order_id = $1 ORDER BY i.line",
        lambda shopper: (shopper.order(),),
    ),
    ReadKind(
        "product with category", JOIN, 3,
        "SELECT p.name, p.price, c.name FROM product p JOIN category c ON c.id = p.category_id WHERE p.id = $1",
        lambda shopper: (shopper.product(),),
    ),
    ReadKind(
        "reviews with customers", JOIN, 3,
        "SELECT r.id, r.stars, r.body, c.name FROM review r JOIN customer c ON c.id = r.customer_id "
        "WHERE r.product_id = $1 ORDER BY r.id DESC LIMIT 10",
        lambda shopper: (shopper.product(),),
    ),
    ReadKind(
        "rating of a product", AGGREGATE, 5, "SELECT count(*), avg(stars) FROM review WHERE product_id = $1",
        lambda shopper: (shopper.product(),),
    ),
    ReadKind(
        "customer's total", AGGREGATE, 2, "SELECT count(*), sum(total) FROM orders WHERE customer_id = $1",
        lambda shopper: (shopper.customer(),),
    ),
    ReadKind(
        "size of a category", AGGREGATE, 2, "SELECT count(*) FROM product WHERE category_id = $1",
        lambda shopper: (shopper.category(),),
    ),
    ReadKind(
        "category within prices", RANGE, 3,
        "SELECT id, name, price FROM product WHERE category_id = $1 AND price BETWEEN $2 AND $3 ORDER BY price, id",
        lambda shopper: (shopper.category(), *shopper.prices()),
    ),
    ReadKind(
        "orders of a day", RANGE, 2,
        "SELECT id, customer_id, total FROM orders WHERE placed_on >= $1 AND placed_on < $2 ORDER BY id",
        _day,
    ),
    ReadKind(
        "sales of a day", DASHBOARD, 1,
        "SELECT c.name, sum(i.quantity * i.price) FROM orders o JOIN order_item i ON i.order_id = o.id "
        "JOIN product p ON p.id = i.product_id JOIN category c ON c.id = p.category_id "
        "WHERE o.placed_on >= $1 AND o.placed_on < $2 GROUP BY c.name ORDER BY c.name",
        _day,
    ),
    ReadKind(
        "orders by status", DASHBOARD, 1,
        "SELECT status, count(*), sum(total) FROM orders GROUP BY status ORDER BY status", lambda _: (),
    ),
    ReadKind(
        "best sellers", DASHBOARD, 1,
        "SELECT product_id, sum(quantity) FROM order_item GROUP BY product_id ORDER BY 2 DESC, 1 LIMIT 10",
        lambda _: (),
    ),
    ReadKind(
        "low stock", DASHBOARD, 1, "SELECT id, stock FROM product WHERE stock < 3 ORDER BY stock, id LIMIT 50",
        lambda _: (),
    ),
    ReadKind(
        "customers by city", DASHBOARD, 1,
        "SELECT city, count(*) FROM customer GROUP BY city ORDER BY 2 DESC, 1 LIMIT 20", lambda _: (),
    ),
)  # fmt: skip
