"""Postgres is the judge: a write does not change what a read gives of whose rows it is said to write none.

Writes and reads are drawn at random over a table whose rows are told apart by columns of several types, with values
written in many ways; each pair that is said to have no row in common is tried in Postgres, and rolled back.
"""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.proxy.session.planning import Plan
from services.proxy.session.requests import Request
from services.proxy.session.row_names import looked_at, rows_written
from services.proxy.session.templates import Templates
from services.proxy.sql.verdict import NameSpace
from tests.integration.sql_database import PUBLICATION, read_catalog
from tests.servers.postgres import PostgresServer

_PAIRS = 1_200
_LEAST_APART = 80  # of them, or the generator has gone blind
_SCHEMA = f"""
CREATE TABLE thing (
    id int PRIMARY KEY, grp bigint, name text, fixed char(4), price numeric(6, 2), seen date, flag bool, note text,
    twice int GENERATED ALWAYS AS (grp * 2) STORED
);
CREATE TABLE part (id int PRIMARY KEY, thing_id int, name text);
INSERT INTO thing SELECT n, n % 4, 'n' || n % 4, 'f' || n % 3, n % 5, date '2024-01-01' + n % 4, n % 2 = 0, 'x'
    FROM generate_series(1, 12) n;
INSERT INTO part SELECT n, n % 6, 'n' || n % 4 FROM generate_series(1, 12) n;
CREATE PUBLICATION {PUBLICATION} FOR TABLE thing, part;
"""
# Columns, and texts of values: the same one in several forms, and some that are none of the column's.
_VALUES: dict[str, tuple[str, ...]] = {
    "id": ("1", "2", "3", "'1'", "'02'", "2.0", "'3'::int", "1::bigint", "NULL", "(1)", "2 + 0"),
    "grp": ("0", "1", "2", "'1'", "1.0", "'2'::bigint", "3"),
    "name": ("'n0'", "'n1'", "'n1 '", "'N1'", "E'n2'", "'n2'::text", "$$n3$$"),
    "fixed": ("'f0'", "'f1'", "'f1  '", "'f2'::char(4)", "'f0'::text"),
    "price": ("1", "1.0", "1.00", "'1'", "2", "'2.000'", "1e0", "2.5"),
    "seen": ("'2024-01-01'", "'2024-1-2'", "date '2024-01-02'", "'2024-01-03'::date", "'20240104'"),
    "flag": ("true", "'t'", "'yes'", "false", "'off'", "'f'::bool"),
    "twice": ("0", "2", "'2'", "4"),
    "note": ("'x'", "'y'"),
}
_SETTABLE = ("grp", "name", "fixed", "price", "seen", "flag", "note")


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[tuple[psycopg.Connection[tuple[Any, ...]], Templates]]:
    with postgres.database(f"written_{postgres.version}") as name:
        postgres.execute(_SCHEMA, database=name)
        templates = Templates()
        templates.use(read_catalog(postgres, name))
        with postgres.connect(name) as opened:
            yield opened, templates


def _condition(chance: random.Random, column: str, prefix: str = "") -> str:
    """Return a condition on a column, which both sides of a pair have in common, and perhaps on another one."""
    values = _VALUES[column]
    match chance.randrange(6):
        case 0:
            return f"{prefix}{column} IN ({', '.join(chance.sample(values, 2))})"
        case 1:
            return f"{chance.choice(values)} = {prefix}{column}"
        case 2:
            return f"({prefix}{column} = {chance.choice(values)} AND {_condition(chance, _any_column(chance), prefix)})"
        case 3 if chance.random() < 0.3:
            return f"({prefix}{column} = {chance.choice(values)} OR {_condition(chance, _any_column(chance), prefix)})"
        case _:
            return f"{prefix}{column} = {chance.choice(values)}"


def _any_column(chance: random.Random) -> str:
    return chance.choice(list(_VALUES))


def _write(chance: random.Random, column: str) -> str:
    where = _condition(chance, column)
    if chance.random() < 0.25:
        return f"DELETE FROM thing WHERE {where}"
    columns = chance.sample(_SETTABLE, chance.choice((1, 1, 2)))
    sets = ", ".join(f"{column} = {chance.choice(_VALUES[column])}" for column in columns)
    return f"UPDATE thing SET {sets} WHERE {where}"


def _read(chance: random.Random, column: str) -> str:
    match chance.randrange(5):
        case 0:
            return f"SELECT count(*), max(note), min(price) FROM thing WHERE {_condition(chance, column)}"
        case 1:
            where = _condition(chance, column, "t.")
            return f"SELECT t.*, p.name FROM thing t JOIN part p ON p.thing_id = t.id WHERE {where} ORDER BY t.id, p.id"
        case 2:
            one, other = _condition(chance, column, "a."), _condition(chance, column, "b.")
            return f"SELECT a.*, b.* FROM thing a, thing b WHERE {one} AND {other} ORDER BY a.id, b.id"
        case _:
            return f"SELECT * FROM thing WHERE {_condition(chance, column)} ORDER BY id"


def _request(text: str) -> Request:
    return Request(text.encode(), (), (), (), (), 0, True, False, True, None, True, False)


def test_a_write_changes_nothing_of_a_read_whose_rows_are_others(
    connection: tuple[psycopg.Connection[tuple[Any, ...]], Templates],
) -> None:
    opened, templates = connection
    chance, found = random.Random(20_261), Counter[str]()
    space = NameSpace(("pg_catalog", "public"))
    for _ in range(_PAIRS):
        column = _any_column(chance)
        write, read = _write(chance, column), _read(chance, column)
        writing, reading = templates.find(write.encode(), space), templates.find(read.encode(), space)
        assert writing is not None
        assert reading is not None
        written = rows_written(writing, templates.number, _request(write))
        if written is None or not reading.analysis.cacheable:
            found["not named"] += 1
            continue
        plan = Plan("", None, _request(read), reading, catalog=templates.number)  # type: ignore[arg-type]  # of a read
        looked = looked_at(plan)
        if looked is None or any(rows.may_share_a_row(written) for rows in looked if rows.relation == written.relation):
            found["may share a row"] += 1
            continue
        found[_try(opened, write, read)] += 1
    assert found["apart, and something was written"] > _LEAST_APART, found


def _try(connection: psycopg.Connection[tuple[Any, ...]], write: str, read: str) -> str:
    """Run a write between two reads, and take it back."""
    try:
        with connection.transaction(force_rollback=True):
            before = connection.execute(read.encode()).fetchall()
            count = connection.execute(write.encode()).rowcount
            assert connection.execute(read.encode()).fetchall() == before, f"{write} changed {read}"
    except psycopg.Error:
        return "an error"
    return "apart, and something was written" if count else "apart"
