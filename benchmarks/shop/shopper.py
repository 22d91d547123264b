"""What a visitor of the shop looks at or does next: drawn by chance, from what there is by then. Pure."""

import datetime as dt
import random

from benchmarks.shop.schema import FIRST_DAY, ORDERS_A_DAY, ShopSize
from benchmarks.shop.zipf import Zipf, scattered

_DAYS = 60  # that anybody looks back


class Shopper:
    """Draws ids: popular products, customers and categories often, and of orders those of late.

    Attributes:
        last_order: The newest order.
        last_review: The newest review.
        today: The day of new orders.
    """

    def __init__(self, chance: random.Random, size: ShopSize) -> None:
        self.chance = chance
        self.size = size
        self.last_order = size.orders
        self.last_review = size.reviews
        self.today = dt.date.fromisoformat(FIRST_DAY) + dt.timedelta(days=size.orders // ORDERS_A_DAY)
        self._products = Zipf(size.products)
        self._customers = Zipf(size.customers)
        self._categories = Zipf(size.categories)
        self._orders = Zipf(size.orders)
        self._days = Zipf(_DAYS)

    def product(self) -> int:
        """Return a product that somebody looks at or buys."""
        return scattered(self._products.rank(self.chance), self.size.products)

    def customer(self) -> int:
        """Return a customer who is here."""
        return scattered(self._customers.rank(self.chance), self.size.customers)

    def category(self) -> int:
        """Return a category that somebody browses."""
        return scattered(self._categories.rank(self.chance), self.size.categories)

    def order(self) -> int:
        """Return an order that somebody looks at: mostly one of the newest."""
        return max(1, self.last_order + 1 - self._orders.rank(self.chance))

    def page(self) -> int:
        """Return the offset of a page of 24: mostly of the first."""
        return 24 * self.chance.choice((0, 0, 0, 0, 1, 1, 2))

    def day(self) -> dt.date:
        """Return a day that somebody wants figures of: mostly today or of late."""
        return self.today - dt.timedelta(days=self._days.rank(self.chance) - 1)

    def prices(self) -> tuple[int, int]:
        """Return the ends of a range of prices that a filter offers."""
        low = self.chance.choice((0, 25, 50, 100))
        return low, low + self.chance.choice((25, 50))
