"""A statement becomes a template and literals."""

import time

import pytest

from services.proxy.sql.inputs import relative_time_input, relative_time_literal
from services.proxy.sql.lexer import LexError
from services.proxy.sql.template import Lexed, lex

POINT_SELECT = "SELECT abalance FROM pgbench_accounts WHERE aid = 12345"
ORM_SELECT = (
    'SELECT "app_order"."id", "app_order"."number", "app_order"."status", "app_order"."created_at", '
    '"app_customer"."id", "app_customer"."name", "app_customer"."email" FROM "app_order" '
    'INNER JOIN "app_customer" ON ("app_order"."customer_id" = "app_customer"."id") '
    'WHERE ("app_order"."status" IN (\'new\', \'paid\', \'sent\') AND "app_order"."total" >= 100.50 '
    'AND "app_order"."created_at" > \'2024-01-01 00:00:00+00:00\'::timestamptz '
    'AND NOT "app_customer"."blocked") ORDER BY "app_order"."created_at" DESC LIMIT 21 OFFSET 40'
)


@pytest.mark.parametrize(
    ("text", "template", "values"),
    [
        (POINT_SELECT, "select abalance from pgbench_accounts where aid = {int}", ["12345"]),
        ("SELECT\n\t1 ;", "select {int}", ["1"]),
        ("select 'a''b'", "select {str}", ["a'b"]),
        ("select 'a' -- why\n 'b'", "select {str}", ["ab"]),
        ("select E'a\\'b\\n\\x41\\101\\u00e9'", "select {estr}", ["a'b\nAAé"]),
        ("select e'\\xff'", "select {estr}", [None]),
        ("select $$a'b$$, $x$ $$ $x$", "select {dstr}, {dstr}", ["a'b", " $$ "]),
        ("select U&'\\0041', B'1', x'1F', N'n'", "select {ustr}, {bit}, {hex}, {nstr}", [None] * 4),
        (
            "select 1.5, .5, 1., 1e10, 1.5E-3",
            "select {num}, {num}, {num}, {num}, {num}",
            ["1.5", ".5", "1.", "1e10", "1.5E-3"],
        ),
        ("select 0x1F, 1_000, 0b1, 0o7", "select {radix}, {radix}, {radix}, {radix}", [None] * 4),
        ("select t1.c2 from t1", "select t1.c2 from t1", []),
        ('SELECT "A b""c", É FROM T', 'select "A b""c", É from t', []),
        ("select a/*b/*c*/d*/e", "select a e", []),
        ("/* 'x' */ select 1 -- 2", "select {int}", ["1"]),
        ("select 5 - -3, a--b", "select {int} - -{int}, a", ["5", "3"]),
        ("select $1, $2::int", "select $1, $2::int", []),
        ("select a[1:2], b::text", "select a[{int}:{int}], b::text", ["1", "2"]),
        ("select a$1b, x from t$t$", "select a$1b, x from t$t$", []),
    ],
)
def test_template_and_literals(text: str, template: str, values: list[str | None]) -> None:
    lexed = lex(text)
    assert lexed.template == template
    assert [literal.value for literal in lexed.literals] == values
    assert lex(lexed.text) == lexed


@pytest.mark.parametrize(
    "text",
    ["select 123abc", "select 1..2", "select 'a", 'select "a', "select $a$x$b$", "select /* a", "select \\ 1",
     "select {int}", "select $1a", "select E'\\", "select \x01", "select \v1", "select 1$$x$$", "select 0x"],
)  # fmt: skip
def test_uncertain_text_is_a_lex_error(text: str) -> None:
    with pytest.raises(LexError):
        lex(text)


@pytest.mark.parametrize(
    ("text", "count", "keyword"),
    [
        ("", 0, ""),
        (" ; ;; ", 0, ""),
        ("-- nothing", 0, ""),
        ("select 1", 1, "SELECT"),
        (";select 1;;", 1, "SELECT"),
        ("begin; select 1; commit", 3, "BEGIN"),
        ("select ';'", 1, "SELECT"),
        ("((select 1))", 1, "SELECT"),
        ("1", 1, ""),
    ],
)
def test_statements_are_counted(text: str, count: int, keyword: str) -> None:
    lexed = lex(text)
    assert (lexed.statement_count, lexed.keyword) == (count, keyword)


def test_the_empty_text_is_itself() -> None:
    assert Lexed.empty() == lex("")


def test_what_differs_only_in_case_space_or_comments_is_the_same() -> None:
    assert lex("SELECT  a\n FROM T /* x */ WHERE b='x'") == lex("select a from t where b='x'")


def test_what_means_another_thing_is_not_the_same() -> None:
    texts = ["select a", 'select "A"', "select É", "select é", "select 'a'", "select E'a'", "select 'A'", "select 1"]
    texts += ["select 1.0", "select '1'", "select a -1", "select a - 1", "select ?s", "select 's'", "select ''''"]
    assert len({(lexed.template, lexed.literals) for lexed in map(lex, texts)}) == len(texts)


@pytest.mark.parametrize(("text", "budget_us"), [(POINT_SELECT, 20), (ORM_SELECT, 60)])
def test_lexing_is_cheap(text: str, budget_us: float) -> None:
    def one_round() -> float:
        begin = time.process_time()
        for _ in range(200):
            lex(text)
        return (time.process_time() - begin) / 200 * 1e6

    # The best of many rounds, against several times the budget: this catches a change of kind, not a busy machine.
    assert min(one_round() for _ in range(10)) < 4 * budget_us


@pytest.mark.parametrize(
    ("value", "relative"),
    [
        ("now", True),
        (" NOW ", True),
        ("{2020-01-01,today}", True),
        ("[yesterday,)", True),
        ("tomorrow 10:00", True),
        ("{n\\ow}", True),
        ('{2020-01-01,"to\\day"}', True),
        ('[n"o"w,)', True),
        ('{"[\\"n\\\\ow\\",)"}', True),
        ("know", False),
        ("nowhere", False),
        ("2024-01-01", False),
        ("", False),
    ],
)
def test_relative_time(value: str, relative: bool) -> None:
    assert relative_time_input(value) is relative
    assert relative_time_input(value.encode()) is relative
    escaped = value.replace("'", "''")
    assert relative_time_literal(lex(f"select 1, '{escaped}'")) is relative


def test_relative_time_hides_behind_no_spelling() -> None:
    plain = ("'no'\n'w'", "E'n\\x6fw'", "$$now$$", "$a$today$a$", "E'n' \n 'ow'", "E'{n\\\\ow}'")
    unread = ("E'\\xC2\\xA0'",)  # what it says is not known
    for text in (*plain, *unread):
        assert relative_time_literal(lex(f"select {text}::date"))


@pytest.mark.parametrize(
    ("text", "by_settings"),
    [
        ("SELECT '01/02/2024'::date", True),
        ("SELECT E'x'", True),
        ("SELECT $$x$$", True),
        ("SELECT a = NULL", True),
        ("SELECT (NULL) = a", True),
        ("SELECT 1, 2.5, $1, a IS NULL", False),
        ("SELECT a ORDER BY a NULLS FIRST", False),
    ],
)
def test_what_is_read_by_settings(text: str, by_settings: bool) -> None:
    assert lex(text).is_read_by_settings is by_settings
