"""The demonstration's shop is the same every time, and the demonstration passes its own check."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from demo.queries import QUERIES, Query
from demo.shop import ShopSize, build
from tests.servers.postgres import PostgresServer

_REPOSITORY = Path(__file__).parent.parent.parent
_TABLES = ("categories", "customers", "inventory", "order_items", "orders", "products", "reviews")
_SIZE = ShopSize.scaled(0.01)


def _make(server: PostgresServer, database: str) -> None:
    asyncio.run(build(server.url(database), _SIZE, lambda _step: None))


@pytest.fixture(scope="module")
def shop(newest_postgres: PostgresServer) -> Iterator[str]:
    """A small shop: the URL of its database."""
    with newest_postgres.database("shop") as name:
        _make(newest_postgres, name)
        yield newest_postgres.url(name)


def _digests(server: PostgresServer, database: str) -> dict[str, tuple[int, str]]:
    return {
        table: server.execute(
            f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t", database=database
        )[0]
        for table in _TABLES
    }


def test_the_shop_is_deterministic_and_has_the_rows_it_says(newest_postgres: PostgresServer) -> None:
    with newest_postgres.database("shop_one") as one, newest_postgres.database("shop_two") as two:
        _make(newest_postgres, one)
        _make(newest_postgres, two)
        digests = _digests(newest_postgres, one)

        assert digests == _digests(newest_postgres, two)
        assert sum(count for count, _ in digests.values()) == _SIZE.rows


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_popular_pages_show_something(shop: str, query: Query) -> None:
    """An empty answer would be fast, cached and right, and would prove nothing."""

    async def rows_of_popular_pages() -> list[int]:
        connection = await asyncpg.connect(shop)
        try:
            pages = (query.parameters(_SIZE, number) for number in range(query.audited))
            return [len(await connection.fetch(query.sql, *parameters)) for parameters in pages]
        finally:
            await connection.close()

    assert sum(rows > 0 for rows in asyncio.run(rows_of_popular_pages())) > query.audited / 2


def test_the_demonstration_ends_by_itself_with_no_wrong_answer() -> None:
    command = [sys.executable, "-m", "demo", "--exit", "--scale", "0.01", "--seconds", "2", "--listen", "127.0.0.1:0"]
    ran = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=120)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "wrong answers: 0" in ran.stdout
    assert "hit ratio" in ran.stdout
