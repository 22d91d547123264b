"""The shop's statements in pgbench's language, with ids drawn by Zipf's law, and weights for a share of writes. Pure.

Reads and writes draw their ids from the same distributions, so the rows that are read most are written most. pgbench
draws by Zipf's law with an exponent above 1 only, and slowly just above it: 1.05 here. What takes a day is left out, as
pgbench has no dates, and so are orders of several statements: each script is one statement.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.shop.reads import READ_KINDS
from benchmarks.shop.schema import ShopSize

_EXPONENT = 1.05
_PARAMETER = re.compile(r"\$(\d+)")
SEQUENCE = "CREATE SEQUENCE new_review START 1000001"
KEYS, SHOP = "by primary key", "the shop"


@dataclass(frozen=True, slots=True)
class Weighted:
    """Scripts with how often each comes among its like."""

    reads: Mapping[str, int]
    writes: Mapping[str, int]

    def with_writes(self, percent: int) -> dict[str, int]:
        """Return all scripts, weighted so that so many of a hundred are writes."""
        all_reads, all_writes = sum(self.reads.values()), sum(self.writes.values())
        weighted = {script: weight * (100 - percent) * all_writes for script, weight in self.reads.items()}
        return weighted | {script: weight * percent * all_reads for script, weight in self.writes.items()}


def mixes(size: ShopSize) -> dict[str, Weighted]:
    """Return the mixes by name: one statement that reads and one that writes, and all of the shop."""
    draws = _draws(size)
    reads = {
        _script(f"{kind.text} /* {kind.name} */", draws[kind.name]): kind.weight
        for kind in READ_KINDS
        if kind.name in draws
    }
    product = next(script for script in reads if script.endswith("/* product */;\n"))
    writes = _writes(size)
    return {KEYS: Weighted({product: 1}, {next(iter(writes)): 1}), SHOP: Weighted(reads, writes)}


def _script(text: str, draws: tuple[str, ...]) -> str:
    """Return a script that draws the parameters of a statement, and runs it."""
    sets = "".join(f"\\set v{number} {draw}\n" for number, draw in enumerate(draws, 1))
    statement = _PARAMETER.sub(r":v\1", text)
    return f"{sets}{statement};\n"


def _popular(count: int) -> str:
    """Return the draw of one of so many things, as `zipf.scattered` orders them."""
    return f"random_zipfian(1, {count}, {_EXPONENT}) * 7919 % {count} + 1"


def _draws(size: ShopSize) -> dict[str, tuple[str, ...]]:
    product, customer, category = _popular(size.products), _popular(size.customers), _popular(size.categories)
    order = f"{size.orders + 1} - random_zipfian(1, {size.orders}, {_EXPONENT})"
    page = "24 * greatest(0, random(-3, 2))"
    return {
        "product": (product,),
        "customer": (customer,),
        "order": (order,),
        "category": (category,),
        "basket": (product, product, product),
        "orders of a customer": (customer,),
        "items of an order": (order,),
        "reviews of a product": (product,),
        "category by price": (category, page),
        "category by date": (category,),
        "items with products": (order,),
        "product with category": (product,),
        "reviews with customers": (product,),
        "rating of a product": (product,),
        "customer's total": (customer,),
        "size of a category": (category,),
        "category within prices": (category, "25 * random(0, 6)", ":v2 + 25"),
        "orders by status": (),
        "best sellers": (),
        "low stock": (),
        "customers by city": (),
    }


def _writes(size: ShopSize) -> dict[str, int]:
    product, customer = _popular(size.products), _popular(size.customers)
    order = f"{size.orders + 1} - random_zipfian(1, {size.orders}, {_EXPONENT})"
    step, city, stars, amount = "random(1, 5)", "random(0, 199)", "random(1, 5)", "random(-3, 3)"
    return {
        _script("UPDATE product SET stock = stock + $1 WHERE id = $2", (amount, product)): 30,
        _script("UPDATE product SET price = $1 / 100.0 WHERE id = $2", ("random(100, 20100)", product)): 10,
        _script("UPDATE orders SET status = 'step ' || $1::text WHERE id = $2", (step, order)): 15,
        _script("UPDATE customer SET city = 'city ' || $1::text WHERE id = $2", (city, customer)): 8,
        _script(
            "INSERT INTO review VALUES (nextval('new_review'), $1, $2, $3, 'review')", (product, customer, stars)
        ): 12,
    }
