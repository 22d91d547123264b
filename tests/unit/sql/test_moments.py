"""What is cast to a date or time: never what may be a text out of a table, which could say 'now'."""

import pytest
import sqlglot
from sqlglot import exp

from services.proxy.sql.functions import ALLOWED, GIVES_MOMENT, GIVES_ROWS, SPECIAL_FORMS, TEXT_SEARCH
from services.proxy.sql.moments import GIVERS, KEEPERS
from services.proxy.sql.reasons import Reason
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse
from tests.unit.sql.small_catalog import column, small_catalog, table

# `seen` is a text here and a date there; `coalesce` and `case` are names that outputs without a name have.
_EVENTS = table(
    20_200, "events", column("id", "int4"), column("at", "timestamptz"), column("till", "timestamptz"),
    column("day", "date"), column("said", "text"), column("seen", "date"), column("days", "date"),
    column("detail", "jsonb"), column("value", "date"), column("lexeme", "date"), column("coalesce", "date"),
    column("case", "date"),
)  # fmt: skip
_NOTES = table(20_201, "notes", column("id", "int4"), column("seen", "text"), column("words", "text"))
_CATALOG = small_catalog(_EVENTS, _NOTES)


def judge(text: str) -> Analysis:
    return analyse(lex(text), _CATALOG, NameSpace(("pg_catalog", "public")))


_CACHED = [
    "(at AT TIME ZONE 'UTC')::date",
    "CAST(at AT TIME ZONE $1 AS date)",
    "(e.at AT TIME ZONE 'UTC' + '1 day'::interval)::date",
    "(at - interval '1 day')::time",
    "(day + 7)::timestamp",
    "CAST(day + id * 2 AS timestamp)",
    "at::date::timestamp::timestamptz",
    "'2024-05-01'::timestamptz::timestamp",
    "date_trunc('week', at)::date",
    "(date_trunc('week', at::timestamptz AT TIME ZONE 'UTC') + interval '1 day')::date",
    "max(at)::date",
    "max(at) FILTER (WHERE id > 1) OVER (ORDER BY id)::date",
    "coalesce(till, at, '2024-01-01', $1)::date",
    "greatest(at, least(till, nullif(at, till)))::date",
    "(CASE WHEN said = 'x' THEN till ELSE at END)::date",
    "CASE id WHEN 1 THEN day END::timestamp",
    "lag(at, 1, till) OVER (ORDER BY id)::date",
    "(array_agg(at ORDER BY said))[1]::date",
    "ARRAY[at, till]::date[]",
    "(SELECT max(e2.at) FROM events e2)::date",
    "date(at)",
    "date(at AT TIME ZONE 'UTC')",
    '"timestamp"(day)',
    "timestamptz(day)",
    "pg_catalog.date(at)",
    "unnest(ARRAY[at])::date",
    "make_date(2024, 1, id)::timestamp",
    "to_timestamp(id)::date",
    "to_date(said, 'YYYY')::timestamp",
    "daterange(day, 'infinity', '[]')",
    "days::date[]",
    "to_char(at, 'YYYY'), at::date, upper(said)",
    "detail -> 'a'::text, at::date",
]
_REFUSED = [
    "said::date",
    "(said)::date",
    "date(said)",
    "CAST(said AS timestamptz)",
    "pg_catalog.date(said)",
    "said::pg_catalog.date",
    '"time"(said)',
    "timestamptz(said)",
    "daterange(said)",
    "(said || ' 12:00')::timestamp",
    "(day || '')::date",
    "('' || day + 1)::date",  # || is applied to the sum
    "(detail ->> 1 + 1)::date",  # sqlglot: the sum of a text and a number
    "(detail ->> 'a' AT TIME ZONE 'UTC')::date",
    "(detail ->> 'day')::date",
    "coalesce(till::text, said)::date",
    "coalesce(at, said::timestamptz)",
    "max(said)::date",
    "min(day::text)::timestamp",
    "(CASE WHEN true THEN said END)::date",
    "nullif(said, 'x')::date",
    "lag(said) OVER (ORDER BY id)::date",
    "(SELECT said)::date",
    "(SELECT words FROM notes)::date",
    "ARRAY[said]::date[]",
    "(ARRAY[said])[1]::date",
    "(array_agg(said))::date[]",
    "string_to_array(said, ',')::date[]",
    "unnest(ARRAY[said])::date",
    "concat(day)::date",
    "to_char(at, said)::date",
    "trim(said)::date",
    "text(at)::date",
    '(said COLLATE "C")::date',
    "(e).day::date",
]


@pytest.mark.parametrize("value", _CACHED)
def test_what_cannot_be_a_text_is_cast(value: str) -> None:
    assert judge(f"SELECT {value} FROM events e").reason == ""


@pytest.mark.parametrize("value", _REFUSED)
def test_what_may_be_a_text_is_not(value: str) -> None:
    reason = judge(f"SELECT {value} FROM events e").reason
    assert reason in (Reason.RELATIVE_TIME_INPUT, Reason.UNSUPPORTED_SYNTAX)
    assert judge(f"SELECT {value.replace('said', 'day').replace('words', 'id')} FROM events e").reason != "user_type"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT x.d::date FROM (SELECT date_trunc('day', at) AS d FROM events) x",
        "WITH x AS (SELECT max(at) AS d FROM events GROUP BY id) SELECT d::date FROM x",
        "WITH x (d) AS (SELECT at FROM events UNION SELECT till FROM events) SELECT d::date FROM x",
        "WITH RECURSIVE x (d, n) AS (SELECT day, 1 FROM events UNION SELECT d + 1, n + 1 FROM x) SELECT d::time FROM x",
        "SELECT g::date FROM generate_series('2024-01-01'::timestamp, '2024-02-01', '1 day') g, events",
        "SELECT g.d::date FROM events, generate_series(at, till, '1 day') AS g (d)",
        "SELECT generate_series(at, till, '1 day')::date FROM events",
        "SELECT u::date FROM events, unnest(ARRAY[at, till]) u",
        "SELECT v.d::timestamp FROM events JOIN (VALUES (day, 1), ('2024-01-01', 2)) AS v (d, n) ON true",
        "SELECT e.seen::timestamp FROM events e",
    ],
)
def test_names_are_followed(text: str) -> None:
    assert judge(text).reason == ""


@pytest.mark.parametrize(
    "text",
    [
        "SELECT x.d::date FROM (SELECT said AS d FROM events) x",
        "SELECT seen::date FROM events, notes",
        "SELECT e.seen::timestamp FROM events e, notes",  # not told apart by the table
        "SELECT d::date FROM (SELECT at AS d FROM events) x, (SELECT said AS d FROM events) y",
        "WITH x (d) AS (SELECT day FROM events UNION SELECT 'no' || 'w' FROM events) SELECT d::date FROM x",
        "WITH x (d) AS (SELECT * FROM notes) SELECT d::date FROM x",
        "SELECT g.d::date FROM events, regexp_split_to_table(said, ',') AS g (d)",
        "SELECT g::date FROM events, string_to_table(said, ',') g",
        "SELECT unnest::date FROM events, unnest(ARRAY[said]), (SELECT count(*) FROM notes) c",
        "SELECT r.day::timestamp FROM events, json_to_record(detail::json) AS r (day text)",
        "SELECT value::timestamp FROM jsonb_each_text('{}'), (SELECT id FROM events) e",
        "SELECT j.value::timestamp FROM events e, jsonb_each_text(detail) j",
        "SELECT u.lexeme::timestamp FROM events e, unnest(to_tsvector(said)) u",
        "SELECT v.column1::date FROM events, (VALUES (said)) v",
        # Outputs that nobody names have names all the same, which here are columns of the table, too.
        "SELECT x.day::timestamp FROM (SELECT CASE WHEN id > 0 THEN said ELSE day::text END FROM events) x",
        'SELECT x."case"::date FROM (SELECT CASE WHEN id > 0 THEN said END FROM events) x, events e',
        "SELECT x.\"coalesce\"::date FROM (SELECT coalesce(said, '') FROM events) x, events e",
        "SELECT x.till::date FROM (SELECT (SELECT said AS till) FROM events) x",
        "SELECT x.d::date FROM events AS x (d)",
        "SELECT unknown_to_us::date FROM events",
        "SELECT j.d::date FROM (events JOIN notes ON true) AS j (a, d)",
    ],
)
def test_names_that_may_be_texts_are_found(text: str) -> None:
    assert judge(text).reason == Reason.RELATIVE_TIME_INPUT


def test_the_parser_makes_these_nodes_of_no_other_function() -> None:
    """A text-giving function that sqlglot takes for one of these would be trusted."""
    keepers = {
        "any_value", "array_agg", "coalesce", "first_value", "greatest", "lag", "last_value", "lead", "least", "max",
        "min", "nth_value", "nullif", "unnest",
    }  # fmt: skip
    givers = GIVES_MOMENT | {"count", "date_part", "extract", "generate_series"}
    for name in sorted(ALLOWED | GIVES_ROWS | TEXT_SEARCH | SPECIAL_FORMS - {"cast", "values", "row", "array"}):
        for arguments in ("", "a", "a, b", "a, b, c", "a, b, c, d", "a, b, c, d, e, f"):
            for node in _nodes(f"SELECT {name}({arguments})"):
                assert not isinstance(node, tuple(KEEPERS)) or name in keepers, (name, node)
                assert not isinstance(node, GIVERS) or name in givers, (name, node)
                casts = isinstance(node, exp.Date | exp.Time | exp.Timestamp | exp.Cast)
                # The one takes three arguments here, and no type; the other is numeric.
                assert not casts or name in ("convert", "div"), (name, node)


def _nodes(text: str) -> list[exp.Expr]:
    try:
        return list(sqlglot.parse_one(text, dialect="postgres").find_all(exp.Func))
    except sqlglot.ParseError:
        return []
