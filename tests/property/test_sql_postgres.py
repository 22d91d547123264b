"""Our lexer against Postgres' own: the same statement after lexing is the same statement to Postgres."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.proxy.sql.lexer import LexError
from services.proxy.sql.template import lex
from tests.servers.postgres import PostgresServer

Connection = psycopg.Connection[tuple[Any, ...]]
_FIXTURES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_VALUES = (
    "1", "-1", "1.50", ".5", "1e3", "'a'", "'a''b'", "'a'\n 'b'", "'a' -- x\n 'b'", "E'a\\nb'", "E'\\x41\\'\\\\'",
    "e'\\101' \n 'b\\n'", "$$a'b$$", "$x$ $$ $x$", "U&'\\0041'", "B'101'", "X'1F'", "N'n'", "NULL", "true",
    "'{1,2}'::int[]",
    "'a' || 'b'", "'x'::text", "DATE '2024-01-01'", "INTERVAL '1' day", "CAST('5' AS int)", "1+-2", "2*-1", "- 1",
    "5/2",
    "'/* no */'", "'-- no'", "'\"'", "$$;$$", "5 - -3", "'é'", "1::int", "ARRAY[1,2][1:1]", "(1)", "'''a'''", "E'\\''",
)  # fmt: skip
_NAMES = ("a", "A", '"a"', '"A"', '"a b"', '"a""b"', "é", "É", "a1", "a$1", "_x", "Ab", '";"', '"--"', '"\'"')
_GAPS = (" ", "  ", "\n", "\t", "\r\n", " /* x */ ", " /* a /* b */ ' */ ", " -- 'x'\n", "\f")


@pytest.fixture(scope="module")
def connection(newest_postgres: PostgresServer) -> Iterator[Connection]:
    with newest_postgres.connect() as opened:
        yield opened


@st.composite
def selects(draw: st.DrawFn) -> str:
    """Give `SELECT value AS name, ...` in many spellings."""
    gap = st.sampled_from(_GAPS)
    columns = draw(st.lists(st.tuples(st.sampled_from(_VALUES), st.sampled_from(_NAMES)), min_size=1, max_size=4))
    word, as_ = draw(st.sampled_from(("SELECT", "select", "SeLeCt"))), draw(st.sampled_from(("AS", "as")))
    listed = [draw(gap).join((value, as_, name)) for value, name in columns]
    text = word + draw(gap) + (draw(gap) + "," + draw(gap)).join(listed)
    return draw(st.sampled_from(("", " ", "-- x\n"))) + text + draw(st.sampled_from(("", ";", " ; ", " -- end")))


def answer(connection: Connection, text: str) -> object:
    """Return names, types and rows, or what kind of error it is."""
    try:
        cursor = connection.execute(text.encode())
        described = cursor.description or []
        return [(column.name, column.type_code) for column in described], [repr(row) for row in cursor.fetchall()]
    except psycopg.Error as error:
        return error.sqlstate


@_FIXTURES
@given(text=selects())
def test_the_lexed_text_is_the_same_statement(text: str, connection: Connection) -> None:
    assert answer(connection, lex(text).text) == answer(connection, text)


@_FIXTURES
@given(texts=st.lists(selects(), min_size=2, max_size=2))
def test_equal_templates_and_literals_mean_equal_answers(texts: list[str], connection: Connection) -> None:
    first, second = (lex(text) for text in texts)
    same = (first.template, first.literals) == (second.template, second.literals)
    assert not same or answer(connection, texts[0]) == answer(connection, texts[1])


@_FIXTURES
@given(tail=st.text(alphabet="abeEnNxXuU&'\"$10._-+*/; \n\t\\:=?|@", max_size=14))
def test_arbitrary_tails_are_the_same_statement_or_refused(tail: str, connection: Connection) -> None:
    text = f"SELECT 1 {tail}"
    try:
        lexed = lex(text)
    except LexError:
        return
    if lexed.statement_count == 1:
        assert answer(connection, lexed.text) == answer(connection, text)


@_FIXTURES
@given(values=st.lists(st.sampled_from([value for value in _VALUES if value[-1:] in "'$"]), min_size=1, max_size=4))
def test_the_value_of_a_literal_is_what_postgres_reads(values: list[str], connection: Connection) -> None:
    for literal in lex("SELECT " + ", ".join(values)).literals:
        if literal.value is not None:
            row = connection.execute(f"SELECT {literal.text}::text".encode()).fetchone()
            assert row == (literal.value,)
