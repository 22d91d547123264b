"""Statements on the schema of `sql_schema.sql`: written by hand (`sql_corpus.sql`), and combined from parts."""

import random
from collections.abc import Iterator
from pathlib import Path

_BY_HAND = (Path(__file__).parent / "sql_corpus.sql").read_text(encoding="utf-8")


def by_hand() -> list[str]:
    """Return the statements written by hand: each begins with SELECT, WITH or a parenthesis at the start of a line."""
    statements: list[str] = []
    for line in _BY_HAND.strip().splitlines():
        if line.startswith(("SELECT", "WITH", "(")):
            statements.append(line)
        else:
            statements[-1] += "\n" + line
    return statements


_SOURCES = (
    "users u", "public.users AS u", "users u JOIN orders o ON o.user_id = u.id", "orders o, users u",
    "users u LEFT JOIN orders o USING (id)", "(SELECT * FROM users WHERE active) u", "other.users u",
    "users u JOIN LATERAL (SELECT count(*) AS c FROM items i WHERE i.line = u.id) x ON true",
    "(users u CROSS JOIN items i)", "shop.users u", "ONLY users u", "w u",
    "users u NATURAL JOIN (SELECT id FROM orders UNION SELECT order_id FROM items) x",
)  # fmt: skip
_TARGETS = (
    "u.id", "count(*)", "DISTINCT u.id", "u.id, upper(u.id::text)", "max(u.id), min(u.id)", "u.id IS NULL AS missing",
    "u.id, (SELECT count(*) FROM orders) AS n", "CASE WHEN u.id IS NULL THEN 'a' ELSE 'b' END", "coalesce(u.id, u.id)",
    "concat(u.id, '-', u.id)", "u.id::text || 'x'",
)  # fmt: skip
_CONDITIONS = (
    "", "WHERE u.id IS NOT NULL", "WHERE u.id IN (SELECT id FROM users WHERE false)", "WHERE u.id::text LIKE '1%'",
    "WHERE EXISTS (SELECT 1 FROM items WHERE line = 3)", "WHERE NOT u.id IS NULL AND (true OR u.id::text = 'x')",
    "WHERE u.id::text IN ('1', '2') OR u.id IS DISTINCT FROM NULL", "WHERE length(u.id::text) BETWEEN 1 AND 40",
)  # fmt: skip
_TAILS = ("", "LIMIT 5", "LIMIT 3 OFFSET 1", "UNION ALL SELECT NULL, NULL FROM keyed_by_text", "ORDER BY 1")
_HEADS = ("WITH w AS (SELECT id FROM orders)", "WITH w AS (SELECT * FROM users), v AS (SELECT id FROM w)")


def combined(seed: int, count: int) -> Iterator[str]:
    """Give statements made of parts that fit nearly always; some are wrong, and Postgres says which."""
    chance = random.Random(seed)
    for _ in range(count):
        source = chance.choice(_SOURCES)
        head = chance.choice(_HEADS) + " " if source.startswith("w ") or chance.random() < 0.2 else ""
        parts = (chance.choice(_TARGETS), "FROM", source, chance.choice(_CONDITIONS), chance.choice(_TAILS))
        yield head + "SELECT " + " ".join(part for part in parts if part)
