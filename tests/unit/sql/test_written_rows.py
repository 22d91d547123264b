"""Which rows a write names by its text, and which writes name none."""

import pytest

from services.proxy.sql.template import lex
from services.proxy.sql.verdict import NameSpace, analyse
from tests.unit.sql.small_catalog import column, small_catalog, table

CATALOG = small_catalog(
    table(20_303, "family", parts=(20_309,)),
    table(20_309, "child", ancestors=(20_303,)),
    table(20_304, "parted", kind="p", parts=(20_305,)),
    table(20_305, "parted_low", ancestors=(20_304,)),
    table(20_320, "computed", column("id", "int4"), column("twice", "int4", generated=True)),
)
SCHEMAS = ("pg_catalog", "public")


def named(text: str) -> tuple[str, ...] | None:
    """The columns by which a statement names its rows; None where it may write any."""
    rows = analyse(lex(text), CATALOG, NameSpace(SCHEMAS)).effect.rows
    return None if rows is None else tuple(column.name for column in rows.rule.shape.columns)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("UPDATE users SET name = 'x' WHERE id = 1", ("id",)),
        ("UPDATE users SET name = $1 WHERE id = $2", ("id",)),
        ("update public.users as u set name = upper(u.name), created = now() where u.id = 7 returning u.name", ("id",)),
        ('UPDATE "users" SET "name" = $1 WHERE "id" = $2 AND name <> $3', ("id",)),
        ("UPDATE users SET name = $1 WHERE id IN ($2, $3)", ("id",)),
        ("UPDATE users SET name = $1 WHERE id = ANY ($2)", ("id",)),
        ("UPDATE users SET created = now() WHERE name = $1", ("name",)),
        ("UPDATE users SET name = (SELECT max(status) FROM orders WHERE id = 1) WHERE id = $1", ("id",)),
        ("DELETE FROM items WHERE order_id = $1", ("order_id",)),
        ("DELETE FROM items WHERE order_id = 5 RETURNING *", ("order_id",)),
    ],
)
def test_rows_are_named_by_the_columns_that_where_holds_equal(text: str, columns: tuple[str, ...]) -> None:
    assert named(text) == columns


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE users SET name = 'x'",
        "UPDATE users SET id = $1 WHERE id = $2",  # where they are behind it nobody knows
        "UPDATE users SET name = $1, id = id WHERE id = $2",
        "UPDATE users SET (id, name) = ($1, $2) WHERE id = $3",
        "UPDATE users SET name = $1 WHERE id = $2 OR name = $3",
        "UPDATE users SET name = $1 WHERE id > $2",
        "UPDATE users SET name = $1 WHERE id = $1",  # of which type the parameter is, its first use decides
        "UPDATE users SET name = $1 WHERE id = $2 RETURNING $2",
        "UPDATE users SET name = o.status FROM orders o WHERE users.id = $1",
        "DELETE FROM items USING orders WHERE items.order_id = $1",
        "DELETE FROM items",
        "UPDATE users SET name = $1 WHERE id = my_function($2)",
        "UPDATE users SET name = $1 WHERE id IN (SELECT user_id FROM orders)",
        "UPDATE users SET name = $1 WHERE CURRENT OF c",
        "INSERT INTO users (id) VALUES ($1)",
        "INSERT INTO users (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET name = 'x' WHERE users.id = $1",
        "UPDATE triggered SET v = $1 WHERE id = $2",  # a trigger may write anything
        "UPDATE orders SET status = $1 WHERE id = $2",  # so may a cascade
        "UPDATE parted SET v = $1 WHERE id = $2",  # its rows go by several names
        "UPDATE parted_low SET v = $1 WHERE id = $2",
        "UPDATE family SET v = $1 WHERE id = $2",
        "DELETE FROM child WHERE id = $1",
        "UPDATE computed SET id = $1 WHERE twice = $2",  # which changes with it
        "UPDATE users SET name = $1 WHERE id = $2 AND ctid = $3",  # no such query is cached
        "EXPLAIN ANALYZE UPDATE users SET name = 'x' WHERE id = 1",
        "WITH gone AS (DELETE FROM items WHERE order_id = $1 RETURNING *) SELECT * FROM gone",
    ],
)
def test_where_it_is_not_certain_any_row_may_be_written(text: str) -> None:
    assert named(text) is None


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("UPDATE users SET name = 'x', created = '2024-01-01' WHERE id = 1 AND name <> 'y'", 2),
        ("UPDATE users SET name = $1 WHERE id = 1 RETURNING id", 0),
        ("DELETE FROM items WHERE order_id = 5", 0),
    ],
)
def test_literals_count_from_the_condition_on(text: str, first: int) -> None:
    rows = analyse(lex(text), CATALOG, NameSpace(SCHEMAS)).effect.rows
    assert rows is not None
    assert rows.first_literal == first
