"""What the shop writes, and how often each of it comes. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.shop.shopper import Shopper
from benchmarks.shop.statements import Statement, statement

_STOCK = "UPDATE product SET stock = stock + $1 WHERE id = $2"
_MOST_LINES = 4


@dataclass(frozen=True, slots=True)
class WriteKind:
    """Something that the shop writes in one transaction.

    Attributes:
        name: How to call it.
        weight: How often it comes, beside the others.
        next: Makes its statements.
    """

    name: str
    weight: int
    next: Callable[[Shopper], tuple[Statement, ...]]


def _restock(shopper: Shopper) -> tuple[Statement, ...]:
    return (statement(_STOCK, shopper.chance.randint(1, 50), shopper.product()),)


def _price(shopper: Shopper) -> tuple[Statement, ...]:
    cents = shopper.chance.randint(100, 20_100)
    return (statement("UPDATE product SET price = $1 / 100.0 WHERE id = $2", cents, shopper.product()),)


def _order(shopper: Shopper) -> tuple[Statement, ...]:
    """An order with its items, which takes them out of stock."""
    shopper.last_order += 1
    order, customer = shopper.last_order, shopper.customer()
    lines = [(shopper.product(), shopper.chance.randint(1, 3)) for _ in range(shopper.chance.randint(1, _MOST_LINES))]
    total = shopper.chance.randint(500, 30_000)
    made = [
        statement(
            "INSERT INTO orders VALUES ($1, $2, 'new', $3 / 100.0, $4)",
            order, customer, total, shopper.today.isoformat(),
        )
    ]  # fmt: skip
    for line, (product, quantity) in enumerate(lines, 1):
        values = (order, line, product, quantity, shopper.chance.randint(100, 10_000))
        made.append(statement("INSERT INTO order_item VALUES ($1, $2, $3, $4, $5 / 100.0)", *values))
    # In the order of their keys, so that two orders never wait for each other.
    made += [statement(_STOCK, -quantity, product) for product, quantity in sorted(lines)]
    return tuple(made)


def _status(shopper: Shopper) -> tuple[Statement, ...]:
    status = shopper.chance.choice(("paid", "shipped", "delivered"))
    return (statement("UPDATE orders SET status = $1 WHERE id = $2", status, shopper.order()),)


def _review(shopper: Shopper) -> tuple[Statement, ...]:
    shopper.last_review += 1
    number, stars = shopper.last_review, shopper.chance.randint(1, 5)
    values = (number, shopper.product(), shopper.customer(), stars, f"review {number}")
    return (statement("INSERT INTO review VALUES ($1, $2, $3, $4, $5)", *values),)


def _customer(shopper: Shopper) -> tuple[Statement, ...]:
    city = f"city {shopper.chance.randint(0, 199)}"
    return (statement("UPDATE customer SET city = $1 WHERE id = $2", city, shopper.customer()),)


WRITE_KINDS = (
    WriteKind("restock", 30, _restock),
    WriteKind("price", 10, _price),
    WriteKind("new order", 25, _order),
    WriteKind("order status", 15, _status),
    WriteKind("new review", 12, _review),
    WriteKind("customer", 8, _customer),
)
