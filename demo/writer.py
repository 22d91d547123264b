"""The shop at work: a program that changes rows directly in Postgres at a steady rate, and keeps the books.

Run as `python -m demo.writer`. It reads a `WriterOrder` as one line of JSON, says `ready`, writes until its standard
input is closed, and prints the ledger of all versions of the audited pages (see `demo.audit`) as JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import asyncpg

from demo.audit import Version, digest_of
from demo.queries import BY_NAME, Instance, audited_instances
from demo.shop import ShopSize

READY = "ready"
"""What the writer prints when it has noted the first versions and begins to write."""

_HOT_PRODUCTS = 60  # changes fall on what people look at, or they would be no test
_HOT_ORDERS = 30
_ITEMS_OF_AN_ORDER = 3


@dataclass(frozen=True, slots=True)
class WriterOrder:
    """What the writer is told: where Postgres is, how big the shop is, how many changes a second, and a seed."""

    url: str
    size: dict[str, int]
    changes_per_second: float
    seed: int


class Shopkeeper:
    """Makes the changes. Each returns what it touched: `table.column` for an update, `table` for new rows."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", size: ShopSize, seed: int) -> None:
        self._connection = connection
        self._size = size
        self._chance = random.Random(seed)

    async def change_something(self) -> frozenset[str]:
        """Make one change, as often of each kind as a shop does."""
        change: Callable[[], Awaitable[frozenset[str]]] = self._chance.choices(
            (self._set_price, self._count_stock, self._take_review, self._take_order, self._move_order),
            (25, 45, 10, 10, 10),
        )[0]
        return await change()

    async def _set_price(self) -> frozenset[str]:
        price = self._chance.randrange(199, 50_000) / 100
        await self._connection.execute(
            "UPDATE products SET price = $2::float8::numeric(10,2), revision = revision + 1 WHERE id = $1",
            self._hot_product(), price,
        )  # fmt: skip
        return frozenset({"products.price", "products.revision"})

    async def _count_stock(self) -> frozenset[str]:
        await self._connection.execute(
            "UPDATE inventory SET quantity = $2, revision = revision + 1 WHERE product_id = $1",
            self._hot_product(), self._chance.randrange(500),
        )  # fmt: skip
        return frozenset({"inventory.quantity", "inventory.revision"})

    async def _take_review(self) -> frozenset[str]:
        await self._connection.execute(
            "INSERT INTO reviews (product_id, customer_id, rating, title, body, written_at) "
            "VALUES ($1, $2, $3, 'Fresh from the demo', 'It came today.', clock_timestamp())",
            self._hot_product(), self._customer(), self._chance.randrange(1, 6),
        )  # fmt: skip
        return frozenset({"reviews"})

    async def _take_order(self) -> frozenset[str]:
        async with self._connection.transaction():
            order = await self._connection.fetchval(
                "INSERT INTO orders (customer_id, status, placed_at) VALUES ($1, 'paid', now()) RETURNING id",
                self._customer(),
            )
            for line in range(1, _ITEMS_OF_AN_ORDER + 1):
                await self._connection.execute(
                    "INSERT INTO order_items SELECT $1, $2, id, $4, price FROM products WHERE id = $3",
                    order, line, self._hot_product(), self._chance.randrange(1, 5),
                )  # fmt: skip
        return frozenset({"orders", "order_items"})

    async def _move_order(self) -> frozenset[str]:
        await self._connection.execute(
            "UPDATE orders SET status = $2, revision = revision + 1 WHERE id = $1",
            self._size.orders - self._chance.randrange(min(_HOT_ORDERS, self._size.orders)),
            self._chance.choice(("packed", "shipped", "delivered", "returned")),
        )  # fmt: skip
        return frozenset({"orders.status", "orders.revision"})

    def _hot_product(self) -> int:
        return 1 + self._chance.randrange(min(_HOT_PRODUCTS, self._size.products))

    def _customer(self) -> int:
        return 1 + self._chance.randrange(min(_HOT_PRODUCTS, self._size.customers))


class Books:
    """All versions of the audited pages."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", size: ShopSize) -> None:
        self._connection = connection
        self._size = size
        self._pages = audited_instances(size)
        self.ledger: dict[str, list[Version]] = {}

    async def open(self) -> None:
        """Note the first version of every page; nobody writes yet."""
        for page in self._pages:
            self.ledger[str(page)] = [Version(await self._answer(page), 0, 0)]

    async def note(self, touched: frozenset[str], sent: int, acknowledged: int) -> None:
        """Note the pages that a change has altered; nobody else writes, so what Postgres says now is its effect."""
        for page in self._pages:
            if BY_NAME[page.query].depends_on(touched):
                digest = await self._answer(page)
                if digest != self.ledger[str(page)][-1].digest:
                    self.ledger[str(page)].append(Version(digest, sent, acknowledged))

    async def close(self) -> None:
        """Make sure that no change was left out.

        Raises:
            RuntimeError: A page is not as its last version says: what a query reads is declared wrongly.
        """
        for page in self._pages:
            if await self._answer(page) != self.ledger[str(page)][-1].digest:
                raise RuntimeError(f"the books are wrong: {page} changed unnoticed")

    async def _answer(self, page: Instance) -> str:
        query = BY_NAME[page.query]
        return digest_of(await self._connection.fetch(query.sql, *query.parameters(self._size, page.number)))


async def write(order: WriterOrder, stopped: asyncio.Event, ready: Callable[[], None]) -> tuple[Books, int]:
    """Change rows until stopped. Returns the books and the number of changes."""
    size = ShopSize(**order.size)
    connection = await asyncpg.connect(order.url, server_settings={"application_name": "demo-writer"})
    books = Books(connection, size)
    shopkeeper = Shopkeeper(connection, size, order.seed)
    count = 0
    try:
        await books.open()
        ready()
        due = time.monotonic()
        while not stopped.is_set():
            sent = time.monotonic_ns()
            touched = await shopkeeper.change_something()
            await books.note(touched, sent, time.monotonic_ns())
            count += 1
            due = max(due + 1 / order.changes_per_second, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        await books.close()
    finally:
        await connection.close()
    return books, count


async def main() -> None:
    """Run the program."""
    order = WriterOrder(**json.loads(sys.stdin.readline()))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(stopped.set)

    waiting = loop.run_in_executor(None, wait_for_the_end)
    books, count = await write(order, stopped, lambda: print(READY, flush=True))
    await waiting
    ledger = {page: [asdict(version) for version in versions] for page, versions in books.ledger.items()}
    print(json.dumps({"changes": count, "ledger": ledger}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
