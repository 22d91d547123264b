"""A table of accounts like pgbench's, in which each row differs from the others, so that a wrong one shows."""

import random
from collections.abc import Iterator

from benchmarks.peers import run_sql
from benchmarks.shop.statements import Statement, statement

HOT_ROWS = 1_000
READ = "SELECT balance FROM account WHERE id = :id;\n"
HOT_READ = f"\\set id random(1, {HOT_ROWS})\n{READ}"

_CHECKED_READS = 1_000


def make_accounts(url: str, rows: int) -> None:
    """Make the table."""
    run_sql(
        url,
        "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL, filler char(84) NOT NULL)",
        f"INSERT INTO account SELECT g, (g * 7919::bigint) % 1000003, '' FROM generate_series(1, {rows}) g",
        "VACUUM ANALYZE account",
    )


def hot_reads(seed: int = 1, rows: int = HOT_ROWS, count: int = _CHECKED_READS) -> Iterator[Statement]:
    """Yield reads like those of the load."""
    chooser = random.Random(seed)
    for _ in range(count):
        yield statement("SELECT balance FROM account WHERE id = $1", chooser.randint(1, rows))
