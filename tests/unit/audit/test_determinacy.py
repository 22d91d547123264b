"""Where the data alone decides an answer, another one proves something; where Postgres has a choice, it does not."""

from dataclasses import replace

import pytest

from services.proxy.audit.determinacy import Decided, Determinacy, determinacy
from services.proxy.session.requests import Request
from services.proxy.sql.snapshot import Policy
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import NameSpace, analyse
from tests.unit.audit.answers import answer
from tests.unit.sql.small_catalog import USERS, column, small_catalog, table

_PRICES = table(
    20_500, "prices", column("id", "int4"), column("grp", "int4"), column("cents", "int8"), column("price", "numeric")
)
_SECURED = table(20_501, "secured", row_security=True)
_NAME_SPACE = NameSpace(("pg_catalog", "public"))
_REQUEST = Request(b"", (), (), (), (), 0, False, False, False, None, False, False)


def _determinacy(text: str, policy: str = "v = 'x'") -> Determinacy:
    plain = small_catalog(_PRICES, _SECURED, policies={_SECURED.oid: (Policy("p", True, policy),)})
    catalog = replace(plain, functions=replace(plain.functions, user=frozenset()))
    lexed = lex(text)
    analysis = analyse(lexed, catalog, _NAME_SPACE)
    assert analysis.cacheable, analysis.reason
    return determinacy(lexed, analysis, catalog)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM prices WHERE grp = 1",
        "SELECT name, upper(name) FROM users WHERE id IN (1, 2) ORDER BY created",
        "SELECT u.name, p.price * 2.0 FROM users u JOIN prices p ON p.id = u.id",
        "SELECT name FROM users WHERE EXISTS (SELECT 1 FROM prices WHERE prices.id = users.id)",
        "SELECT * FROM prices WHERE id = $1 LIMIT 1",
        "SELECT v FROM secured WHERE id = 7",
        "SELECT count(*) FROM prices",
        "SELECT grp, count(*) AS n, sum(cents), max(cents) FROM prices GROUP BY grp ORDER BY n DESC",
        "SELECT DISTINCT name FROM users",
        "SELECT id FROM users UNION SELECT user_id FROM orders",
        "SELECT coalesce(sum(cents), 0) FROM prices WHERE grp = $1",
    ],
)
def test_the_data_decides_the_rows(text: str) -> None:
    assert _determinacy(text).decided is Decided.ROWS


@pytest.mark.parametrize(
    "text",
    [
        "SELECT DISTINCT price FROM prices",  # 1.0 and 1.00
        "SELECT DISTINCT * FROM prices",
        "SELECT DISTINCT p FROM prices p",
        "SELECT price, count(*) FROM prices GROUP BY price",
        "SELECT max(price) FROM prices",
        "SELECT sum(cents * 0.1) FROM prices",
        "SELECT sum(cents::float8) FROM prices",
        "SELECT sum(CAST(cents AS float8)) FROM prices",
        "SELECT sum(cents * $1) FROM prices",
        "SELECT string_agg(name, ',') FROM users",
        "SELECT array_agg(id) FROM users",
        "SELECT array(SELECT id FROM users)",
        "SELECT DISTINCT ON (grp) id, grp FROM prices ORDER BY grp",
        "SELECT id, row_number() OVER (ORDER BY grp) FROM prices",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY cents) FROM prices",
        "SELECT * FROM (SELECT id FROM users LIMIT 1) u",
        "SELECT name FROM users WHERE id = (SELECT id FROM prices ORDER BY grp LIMIT 1)",
        "SELECT id FROM prices ORDER BY grp FETCH FIRST 1 ROWS ONLY",
        "SELECT pg_catalog.sum(price) FROM prices",
        'SELECT "string_agg"(name, name) FROM users',
    ],
)
def test_something_leaves_a_choice(text: str) -> None:
    assert _determinacy(text).decided is Decided.NOTHING


def test_policies_with_queries_of_their_own_are_not_looked_into() -> None:
    text = "SELECT v FROM secured WHERE id = 7"
    assert _determinacy(text, "v IN (SELECT name FROM public.users LIMIT 1)").decided is Decided.NOTHING


def test_a_limit_leaves_a_choice_where_it_leaves_out_rows() -> None:
    text = "SELECT id FROM prices WHERE grp = 1 LIMIT 2"
    found = _determinacy(text)
    assert found.decided is Decided.COUNT

    def tells(one: int, other: int) -> bool:
        rows, others = (b"a%d", one), (b"b%d", other)
        made = [answer(*(form % number for number in range(count))) for form, count in (rows, others)]
        return found.tells(lex(text), _REQUEST, *made)

    assert not tells(2, 2)  # any two of many
    assert tells(1, 2)  # the data decides how many
    assert tells(1, 1)  # all that there are: it is full with two


def test_behind_an_offset_only_the_number_of_rows_is_decided() -> None:
    text = "SELECT id FROM prices WHERE grp = 1 LIMIT 5 OFFSET 2"
    found = _determinacy(text)
    assert not found.tells(lex(text), _REQUEST, answer(b"1"), answer(b"2"))
    assert found.tells(lex(text), _REQUEST, answer(b"1"), answer())


def test_a_client_s_row_limit_leaves_a_choice() -> None:
    found = _determinacy("SELECT name FROM users")
    assert found.tells(lex(""), _REQUEST, answer(b"1"), answer(b"2"))
    assert not found.tells(lex(""), _REQUEST, answer(b"1", cut=True), answer(b"2", cut=True))


def test_parameters_that_are_not_exact_leave_a_choice_where_values_are_merged() -> None:
    found = _determinacy("SELECT coalesce(sum(cents), $1) FROM prices")
    assert found.tells(lex(""), _REQUEST._replace(parameter_types=(20,)), answer(b"1"), answer(b"2"))
    assert not found.tells(lex(""), _REQUEST._replace(parameter_types=(701,)), answer(b"1"), answer(b"2"))


def test_a_name_that_may_mean_a_view_decides_nothing() -> None:
    plain = small_catalog(_PRICES, views={20_005: " SELECT users.id FROM users LIMIT 1;"})
    lexed = lex("SELECT id FROM users WHERE id = 1")
    analysis = analyse(lexed, plain, _NAME_SPACE)
    assert determinacy(lexed, analysis, plain).decided is Decided.ROWS
    read = replace(analysis, names=(USERS.oid, 20_005))
    assert determinacy(lexed, read, plain).decided is Decided.NOTHING
