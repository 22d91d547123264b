"""What a row change leaves in the cache, and what it does not, through the whole stack."""

from collections.abc import Iterator

import pytest

from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.servers.postgres_programs import NEWEST
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE orders (id int PRIMARY KEY, customer int, price numeric, placed timestamptz, note text);
ALTER TABLE orders REPLICA IDENTITY FULL;
CREATE TABLE visits (id int PRIMARY KEY, customer int, note text);
INSERT INTO visits SELECT i, i % 10, 'n' FROM generate_series(1, 100) AS i;
INSERT INTO orders
    SELECT i, i % 10, i, timestamptz '2024-01-01 00:00Z' + i * interval '1 day', 'n' FROM generate_series(1, 100) AS i
"""


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    with proxied_postgres(version=NEWEST, sql=_SQL) as started:
        yield started


@pytest.mark.parametrize(
    ("read", "parameters", "inside", "outside"),
    [
        ("SELECT id, note FROM orders WHERE customer = %s ORDER BY id", [3], 13, 14),
        ("SELECT id, note FROM orders WHERE price BETWEEN %s AND %s ORDER BY id", [20, 29.5], 25, 30),
        ("SELECT max(note) FROM orders WHERE placed >= '2024-02-01Z' AND placed < '2024-03-01Z'", [], 40, 90),
        ("SELECT id, placed, note FROM orders WHERE customer = %s ORDER BY placed LIMIT 4", [3], 33, 43),
        ("SELECT * FROM orders ORDER BY id DESC LIMIT 5", [], 96, 95),
        ("SELECT * FROM visits WHERE customer = %s", [3], 13, 14),
        ("SELECT o.note FROM orders o JOIN orders p ON p.id = o.id WHERE p.id > 90 ORDER BY 1", [], 91, 89),
    ],
)
def test_a_change_of_another_row_leaves_the_answer(
    proxied: ProxiedPostgres, read: str, parameters: list[object], inside: int, outside: int
) -> None:
    with proxied.connect() as client, proxied.server.connect() as direct:

        def answer() -> list[tuple[object, ...]]:
            return client.execute(read, parameters).fetchall()

        def evicted_by(row: int) -> bool:
            """Change a row, wait until that is seen, and tell whether the read has to be answered anew."""
            proxied.wait_all_cached(answer, 3)
            table = "visits" if "visits" in read else "orders"  # the change does not tell the old values of visits
            seen = f"SELECT length(note) FROM {table} WHERE id = %s"
            # Of what is in the cache a change is seen when it has evicted; else it would be seen before that.
            proxied.wait_all_cached(lambda: client.execute(seen, [row]).fetchall(), 1)
            direct.execute(f"UPDATE {table} SET note = note || 'n' WHERE id = %s", [row])
            expected = direct.execute(seen, [row]).fetchall()
            wait_until(lambda: client.execute(seen, [row]).fetchall() == expected, "the change to be seen")
            before = proxied.hits()
            assert answer() == direct.execute(read, parameters).fetchall()
            return proxied.hits() == before

        # The first answers depend on the whole table: row changes are matched with a new shape from then on.
        wait_until(lambda: not evicted_by(outside), "the answer to stay")
        assert evicted_by(inside)
