"""Which values of a statement name the rows that its answer rests on."""

from dataclasses import replace

import pytest

from services.proxy.sql.given_conditions import MOST_ALTERNATIVES
from services.proxy.sql.snapshot import Relation
from services.proxy.sql.tag_rules import TagRule
from services.proxy.sql.template import lex
from services.proxy.sql.value_sources import LiteralSource, ParameterSource, ValueSource
from services.proxy.sql.verdict import NameSpace, analyse
from tests.unit.sql.small_catalog import ITEMS, ORDERS, USERS, column, small_catalog, table

PUBLIC = NameSpace(("pg_catalog", "public"))
FULL = table(
    20_300,
    "full_identity",
    column("id", "int4"),
    column("user_id", "int4"),
    column("status"),
    column("mood", "enum", is_enum=True),
    column("twice", "int4", generated=True),
    column("price", "numeric"),
    identity="f",
    identity_columns=frozenset(("id", "user_id", "status", "mood", "price", "twice")),
)
TEXT_KEY = table(20_200, "text_key", column("id", "text"), column("v"))
LAX_TEXT_KEY = table(20_201, "lax_text_key", column("id", "text", deterministic=False), column("v"))
UUID_KEY = table(20_202, "uuid_key", column("id", "uuid"), column("v"))
CHAR_KEY = table(20_203, "char_key", column("id", "bpchar"), column("v"))
GENERATED_KEY = table(20_204, "generated_key", column("id", "int4", generated=True), column("v"))
ENUMS = table(20_205, "enums", column("id", "int4"), column("moods", "enum"))
CATALOG = small_catalog(FULL, TEXT_KEY, LAX_TEXT_KEY, UUID_KEY, CHAR_KEY, GENERATED_KEY, ENUMS)
FROM_FULL = "SELECT id FROM full_identity f WHERE "


def rules(text: str) -> tuple[TagRule, ...]:
    """Return the rules of a statement that is cached."""
    analysis = analyse(lex(text), CATALOG, PUBLIC)
    assert analysis.reason == "", text
    return analysis.tag_rules


def held(text: str, relation: Relation = USERS) -> dict[str, str]:
    """Return what each column of the only occurrence is held equal to: literals as numbers, parameters as `$1`."""
    (rule,) = (rule for rule in rules(text) if rule.shape.relation == relation.oid)
    return {
        shape_column.name: ",".join(map(_told, sources))
        for shape_column, sources in zip(rule.shape.columns, rule.sources, strict=True)
    }


def _told(source: ValueSource) -> str:
    name = f"${source.index + 1}" if isinstance(source, ParameterSource) else f"{source.index}"
    return f"any({name})" if source.is_array else name


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("id = 5", "0"),
        ("5 = id", "0"),
        ("id = '5'", "0"),
        ("id = '5'::int", "0"),
        ("id = int '5'", "0"),
        ("id = CAST('5' AS int)", "0"),
        ("id = CAST($1 AS bigint)", "$1"),
        ("id = $1", "$1"),
        ("name = 'x' AND id = $2", "$2"),
        ("u.id = 5", "0"),
        ('("u"."id" = 5 AND 1=1)', "0"),
        ("((id = 5)) AND (name = 'x' OR name = 'y')", "0"),
        ("id = 5 AND EXTRACT(year FROM created) = 2000", "0"),
        ("id = 5 GROUP BY id HAVING count(*) > 1 ORDER BY 1 LIMIT 3 OFFSET 1", "0"),
        ("id = $1::INTEGER", "$1"),
        ("id = $1::pg_catalog.int8", "$1"),
        ("id = $1::numeric", "$1"),
        ("id IN (5)", "0"),
        ("id IN (5, $1, 7)", "0,$1,1"),
        ("id = ANY ($1)", "any($1)"),
        ("id = ANY ($1::int[])", "any($1)"),
        ("id = ANY ('{1,2}')", "any(0)"),
        ("id = ANY ('{1,2}'::int8[])", "any(0)"),
        ("id BETWEEN 1 AND 5 AND id = 5", "2"),
        ("id IN (1, 2) AND id = 3", "2"),
        ("id = $1 AND id IN (1, 2)", "$1"),
    ],
)
def test_the_key_of_one_table(condition: str, value: str) -> None:
    assert held(f"SELECT count(*) FROM users u WHERE {condition}") == {"id": value}


@pytest.mark.parametrize(
    "condition",
    [
        "id = 5 OR true",
        "id = 5 OR name = 'x' OR created IS NULL",
        "NOT (id = 5 OR name = 'x')",
        "(id = 5 OR name = 'x') IS NOT FALSE",
        "id = 5 AND name = 'x' OR name <> 'y'",
        " OR ".join(f"id = {number}" for number in range(MOST_ALTERNATIVES + 1)),
        "NOT id = 5",
        "NOT (id = 5)",
        "id = -5",
        "id = 5 + 1",
        "id = 5.0",
        "id = $1::text::int",
        "id = $1::int[]",
        "id <> 5",
        "id >= 5",
        "id NOT IN (5)",
        "id IN (5, id)",
        "id IN (5, 6) IS TRUE",
        "id IN (SELECT 5 FROM orders)",
        "id = ALL ($1)",
        "id <> ANY ($1)",
        "id = ANY (ARRAY[1, 2])",
        "id = id",
        "id = 5 IS TRUE",
        "(id = 5) IS NOT TRUE",
        "coalesce(id = 5, true)",
        "CASE WHEN true AND id = 5 THEN true END",
        "(id, name) = (5, 'x')",
        "id IS NOT DISTINCT FROM 5",
        "true",
    ],
)
def test_what_holds_no_column_equal(condition: str) -> None:
    assert held(f"SELECT count(*) FROM users u WHERE {condition}") == {}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("order_id = 7 AND line = $1", {"line": "$1", "order_id": "0"}),
        ("line = 1 AND order_id = 2", {"line": "0", "order_id": "1"}),
        ("sku = 'a' AND line = 1 AND sku = 'b' AND order_id = '2'", {"line": "1", "order_id": "3"}),
        ("order_id = 7", {"order_id": "0"}),
        ("order_id = 7 AND sku = 'a'", {"order_id": "0"}),  # an update does not tell the old sku
        ("sku = 'a'", {"sku": "0"}),
    ],
)
def test_columns_of_the_identity_go_first(condition: str, expected: dict[str, str]) -> None:
    assert held(f"SELECT * FROM items WHERE {condition}", ITEMS) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("user_id = 7 AND status = 'open'", {"status": "1", "user_id": "0"}),
        ("user_id = 7 AND id = 1", {"id": "1"}),
        ("mood = 'glad'", {"mood": "0"}),
        ("mood = $1", {"mood": "$1"}),
        ("price = 5", {"price": "0"}),
        ("price = 5.00", {"price": "0"}),
        ("twice = 5", {}),
    ],
)
def test_with_full_identity_all_count(condition: str, expected: dict[str, str]) -> None:
    assert held(FROM_FULL + condition, FULL) == expected


def test_an_enum_is_read_as_text_and_an_array_of_enums_is_not_read() -> None:
    (rule,) = rules(FROM_FULL + "mood = $1")
    assert rule.sources == ((ParameterSource(0, (0, 705, 99_999), 25, (99_999,)),),)
    assert rule.shape.columns[0].type_oid == 25
    assert held("SELECT * FROM enums WHERE moods = '{a}'", ENUMS) == {}


@pytest.mark.parametrize(
    ("relation", "value", "sources"),
    [
        (TEXT_KEY, "'x'", LiteralSource(0, 25)),
        (TEXT_KEY, "E'x'", LiteralSource(0, 25)),
        (TEXT_KEY, "$$x$$", LiteralSource(0, 25)),
        (TEXT_KEY, "$1", ParameterSource(0, (0, 705, 25, 1043), 25, (25, 1043))),
        (TEXT_KEY, "$1::VARCHAR", ParameterSource(0, (0, 705, 25, 1043), 1043, (25, 1043))),
        (TEXT_KEY, "$1::VARCHAR(3)", None),  # cuts the value
        (TEXT_KEY, "$1::CHAR(3)", None),
        (TEXT_KEY, "'x' COLLATE \"C\"", None),
        (TEXT_KEY, "5", None),
        (LAX_TEXT_KEY, "'x'", None),
        (UUID_KEY, "'7d444840-9dc0-11d1-b245-5ffdce74fad2'", LiteralSource(0, 2950)),
        (UUID_KEY, "$1::UUID", ParameterSource(0, (0, 705, 2950), 2950, (2950,))),
        (CHAR_KEY, "'x'", None),
        (GENERATED_KEY, "5", None),
    ],
)
def test_types(relation: Relation, value: str, sources: ValueSource | None) -> None:
    (rule,) = rules(f"SELECT * FROM {relation.name} WHERE id = {value}")
    assert rule.sources == (() if sources is None else ((sources,),))


JOINED = "SELECT 1 FROM users u {} orders o ON {} WHERE {}"


@pytest.mark.parametrize(
    ("join", "on", "where", "users", "orders"),
    [
        ("JOIN", "o.user_id = u.id", "u.id = 5", {"id": "1"}, {"user_id": "1"}),
        ("JOIN", "o.user_id = u.id AND u.id = 5", "true", {"id": "1"}, {"user_id": "1"}),
        ("JOIN", "o.user_id = u.id", "o.id = 5", {}, {"id": "1"}),
        ("JOIN", "o.user_id = u.id", "o.user_id = 5", {"id": "1"}, {"user_id": "1"}),
        ("JOIN", "o.user_id = u.id OR true", "u.id = 5", {"id": "1"}, {}),
        ("LEFT JOIN", "o.user_id = u.id", "u.id = 5", {"id": "1"}, {"user_id": "1"}),
        ("LEFT JOIN", "o.user_id = u.id AND u.id = 5", "true", {}, {"user_id": "1"}),
        ("LEFT JOIN", "o.id = 5", "true", {}, {"id": "1"}),
        ("LEFT JOIN", "o.user_id = u.id", "o.id = 5", {}, {"id": "1"}),
        ("LEFT JOIN", "o.user_id = u.id", "o.id IS NULL AND u.id = 5", {"id": "1"}, {"user_id": "1"}),
        ("RIGHT JOIN", "o.user_id = u.id AND u.id = 5", "true", {"id": "1"}, {}),
        ("RIGHT JOIN", "o.user_id = u.id", "o.id = 5", {}, {"id": "1"}),
        ("FULL JOIN", "o.user_id = u.id AND u.id = 5", "true", {}, {}),
        ("FULL JOIN", "o.user_id = u.id", "u.id = 5", {"id": "1"}, {}),
    ],
)
def test_joins(join: str, on: str, where: str, users: dict[str, str], orders: dict[str, str]) -> None:
    text = JOINED.format(join, on, where)
    assert (held(text, USERS), held(text, ORDERS)) == (users, orders)


@pytest.mark.parametrize(
    ("text", "users", "orders"),
    [
        # What follows an inner join may let come out what does not satisfy its ON.
        ("FROM users u JOIN items i ON u.id = 5 RIGHT JOIN orders o ON o.id = u.id", {"id": "1"}, {}),
        ("FROM users u JOIN items i ON u.id = 5 LEFT JOIN orders o ON o.user_id = u.id", {"id": "1"}, {"user_id": "1"}),
        ("FROM users u JOIN items i ON u.id = 5 FULL JOIN orders o ON o.user_id = u.id", {"id": "1"}, {}),
        # The comma binds weaker than JOIN.
        ("FROM users u, items i RIGHT JOIN orders o ON o.id = i.line WHERE u.id = 5", {"id": "1"}, {}),
        ("FROM users u, orders o WHERE u.id = o.user_id AND o.user_id = $1", {"id": "$1"}, {"user_id": "$1"}),
        ("FROM users u NATURAL JOIN orders o WHERE u.id = 5", {}, {}),
        ("FROM users u JOIN orders o USING (id) WHERE u.id = 5", {"id": "1"}, {}),
        ("FROM users u JOIN orders o USING (id) WHERE id = 5", {}, {}),
        ("FROM users u CROSS JOIN orders o WHERE o.id = 1 AND u.id = 2", {"id": "2"}, {"id": "1"}),
        # Sub-queries.
        (
            "FROM users u WHERE id = 5 AND EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)",
            {"id": "1"},
            {"user_id": "1"},
        ),
        ("FROM users u WHERE id = 5 OR EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)", {}, {}),
        ("FROM users u WHERE id = 5 AND NOT EXISTS (SELECT FROM orders o WHERE o.id = 7)", {"id": "1"}, {"id": "2"}),
        ("FROM users u WHERE id NOT IN (SELECT user_id FROM orders WHERE id = 7)", {}, {"id": "1"}),
        (
            "FROM users WHERE name = 'x' AND id = (SELECT max(id) FROM orders WHERE user_id = 7)",
            {"name": "1"},
            {"user_id": "2"},
        ),
        ("FROM (SELECT * FROM users WHERE id = 5) s JOIN orders o ON o.user_id = s.id", {"id": "1"}, {}),
        ("FROM users u, LATERAL (SELECT * FROM orders o WHERE o.user_id = u.id) l WHERE u.id = 5", {"id": "1"}, {}),
        ("FROM users AS u(a, id) JOIN orders o ON true WHERE u.id = 'x' AND o.id = 1", {}, {"id": "2"}),
        ("FROM users u JOIN (orders o JOIN items i ON true) ON u.id = 5 WHERE o.id = 1", {}, {}),
        # Functions give rows; what goes by a name that is not seen here may be theirs.
        ("FROM orders o, users u, generate_series(1, 3) g WHERE u.id = 5 AND g = 2", {"id": "3"}, {}),
        ("FROM orders o, users u CROSS JOIN LATERAL unnest(ARRAY[u.name]) e (id) WHERE u.id = 5", {"id": "1"}, {}),
        (
            "FROM orders o, unnest(ARRAY[1]) e LEFT JOIN users u ON u.id = 5 WHERE u.name = 'x'",
            {"id": "2"},
            {},
        ),
        ("FROM orders o, users u LEFT JOIN unnest(ARRAY[1]) e ON u.id = 5", {}, {}),
        ("FROM orders o, users u, unnest(ARRAY[1]) WHERE u.id = 5", {}, {}),
        ("FROM (users u JOIN orders o ON true) AS j WHERE j.id = 5", {}, {}),
        # ON sees what it joins, and what is around: here `name`, `u.id` are those of the outer query.
        (
            "FROM full_identity f WHERE EXISTS (SELECT FROM users u, items i JOIN orders o ON o.status = name "
            "WHERE name = 'x')",
            {"name": "1"},
            {},
        ),
        (
            "FROM full_identity u WHERE EXISTS (SELECT FROM items i JOIN orders o ON o.user_id = u.id "
            "JOIN users u ON true WHERE u.id = 5)",
            {"id": "1"},
            {},
        ),
        # A sub-query of what comes out of the joins, except where an aggregate gives a row for nothing.
        (
            "FROM users u WHERE u.id = 5 ORDER BY (SELECT o.id FROM orders o WHERE o.user_id = u.id)",
            {"id": "1"},
            {"user_id": "1"},
        ),
    ],
)
def test_blocks(text: str, users: dict[str, str], orders: dict[str, str]) -> None:
    assert (held(f"SELECT 1 {text}", USERS), held(f"SELECT 1 {text}", ORDERS)) == (users, orders)


@pytest.mark.parametrize(
    "selected",
    [
        "u.id, (SELECT count(*) FROM orders o WHERE o.user_id = u.id)",
        "(SELECT count(*) FROM orders o WHERE o.user_id = u.id)",
        "*, (SELECT sum(id) FROM orders WHERE user_id = u.id)",
        "(SELECT sum(id) FROM orders WHERE user_id = 7)",
    ],
)
def test_a_sub_query_of_the_select_list(selected: str) -> None:
    assert held(f"SELECT {selected} FROM users u WHERE u.id = 5", ORDERS) == {"user_id": "0"}


@pytest.mark.parametrize(
    ("inner", "orders"),
    [
        ("SELECT (SELECT 1 FROM orders o WHERE o.user_id = i.line), count(*) FROM users WHERE i.line = 7", {}),
        ("SELECT (SELECT 1 FROM orders o WHERE o.user_id = i.line) FROM users WHERE i.line = 7 HAVING true", {}),
        ("SELECT max((SELECT 1 FROM orders o WHERE o.user_id = i.line)) FROM users WHERE i.line = 7", {}),
        (
            "SELECT (SELECT 1 FROM orders o WHERE o.user_id = i.line) FROM users WHERE i.line = 7 GROUP BY name, ()",
            {"user_id": "0"},
        ),
        (
            "SELECT (SELECT 1 FROM orders o WHERE user_id = i.line) FROM users WHERE i.line = 7 GROUP BY ROLLUP (name)",
            {},
        ),
        ("SELECT (SELECT 1 FROM orders o WHERE o.user_id = i.line) FROM users WHERE i.line = 7", {"user_id": "0"}),
        (
            "SELECT name, (SELECT 1 FROM orders o WHERE o.user_id = i.line), users.id FROM users WHERE i.line = 7",
            {"user_id": "0"},
        ),
    ],
)
def test_an_aggregate_asks_for_nothing_too(inner: str, orders: dict[str, str]) -> None:
    found = held(f"SELECT 1 FROM items i WHERE EXISTS ({inner})", ORDERS)
    assert set(found) == set(orders)


@pytest.mark.parametrize(
    ("condition", "types"),
    [
        ("price = $1", (0, 705, 20, 21, 23, 1700)),
        ("price = $1 AND price = $1", (0, 705, 20, 21, 23, 1700)),
        ("price = $1 AND EXISTS (SELECT FROM full_identity g WHERE g.price = $1)", (0, 705, 20, 21, 23, 1700)),
        ("price = $1 AND id = $1", (20, 21, 23, 1700)),  # an int4 or a numeric, whichever Postgres meets first
        ("price = $1 AND id < $1", (20, 21, 23, 1700)),
        ("price = $1 ORDER BY $1::int", (20, 21, 23, 1700)),
        ("price = $1::numeric", (0, 705, 20, 21, 23, 1700)),
        ("price = $1::int", (0, 705, 20, 21, 23)),  # a numeric would be rounded
        ("price IN ($1, $2)", (0, 705, 20, 21, 23, 1700)),
        ("price IN ($1, 5)", (20, 21, 23, 1700)),
        ("price IN ($1, $2::int)", (20, 21, 23, 1700)),
        ("price = ANY ($1::int[])", (0, 705, 1016, 1005, 1007)),
    ],
)
def test_which_types_a_parameter_may_be_declared_of(condition: str, types: tuple[int, ...]) -> None:
    rule = rules(FROM_FULL + condition)[0]
    (source,) = (source for source in rule.sources[-1] if isinstance(source, ParameterSource) and source.index == 0)
    assert sorted(source.types) == sorted(types)


def test_a_condition_counts_only_where_tree_and_tokens_agree_everywhere() -> None:
    assert held(FROM_FULL + "id = $1::numeric(3,0) AND (price = 1 OR (id = $1))", FULL) == {}


def test_each_branch_and_each_occurrence_has_its_own() -> None:
    union = "SELECT id FROM users WHERE id = 1 UNION SELECT id FROM users WHERE name = 'x'"
    assert [[found.name for found in rule.shape.columns] for rule in rules(union)] == [["id"], ["name"]]
    itself = "SELECT 1 FROM users a JOIN users b ON a.name = b.name WHERE a.id = 1"
    assert [[found.name for found in rule.shape.columns] for rule in rules(itself)] == [["id"], []]
    with_ = "WITH w AS (SELECT * FROM users WHERE id = 1) SELECT * FROM w JOIN orders o ON o.id = 2"
    assert [[found.name for found in rule.shape.columns] for rule in rules(with_)] == [["id"], ["id"]]


@pytest.mark.parametrize(
    ("text", "watched"),
    [
        (FROM_FULL + "user_id = 7", ("id", "user_id")),
        ("SELECT count(*) FROM full_identity", ()),
        ("SELECT * FROM full_identity WHERE user_id = 7", None),
        ("SELECT f.* FROM full_identity f", None),
        ("SELECT status FROM full_identity ORDER BY price", ("price", "status")),
        ("SELECT twice FROM full_identity", None),
        ("SELECT to_json(f) FROM full_identity f", None),
        ("SELECT full_identity IS NULL FROM full_identity", None),
        ("SELECT count(f.*) FROM full_identity f", None),
        # A call of to_json() with the row, although something else of that name has such a column.
        ("SELECT f.to_json FROM full_identity f WHERE EXISTS (SELECT FROM (SELECT 1 AS to_json) f)", None),
        ("SELECT f.to_json FROM full_identity f WHERE EXISTS (SELECT FROM unnest(ARRAY[1]) f (to_json))", None),
        ("SELECT j.k FROM (full_identity f CROSS JOIN generate_series(1, 2) g) AS j (a, b, k)", None),
        ("SELECT tableoid, g.* FROM full_identity f, generate_series(1, f.id) g", ("id",)),
        ("SELECT EXISTS (SELECT * FROM full_identity WHERE user_id = 7)", ("user_id",)),
        ("SELECT EXISTS (SELECT DISTINCT * FROM full_identity WHERE user_id = 7 OFFSET 1)", None),
        ("SELECT id FROM users", ("id",)),
        ("SELECT name FROM users", None),  # a change does not tell whether it was touched
    ],
)
def test_watched_columns(text: str, watched: tuple[str, ...] | None) -> None:
    assert {rule.shape.watched for rule in rules(text)} == {watched}


def test_a_name_counts_for_every_occurrence_that_it_may_belong_to() -> None:
    text = "SELECT price FROM full_identity a JOIN full_identity b USING (id) WHERE b.status = 'x' AND a.user_id = 1"
    assert [rule.shape.watched for rule in rules(text)] == [("id", "price", "user_id"), ("id", "price", "status")]


def ranged(text: str) -> dict[str, tuple[str, str]]:
    """Return between which values each column is that is in a range."""
    return {
        rule.shape.ranged.name: (",".join(map(_told, rule.bounds.low)), ",".join(map(_told, rule.bounds.high)))
        for rule in rules(text)
        if rule.shape.ranged is not None
    }


@pytest.mark.parametrize(
    ("condition", "bounds"),
    [
        ("price > 5", ("0", "")),
        ("price >= 5.5 AND price < $1", ("0", "$1")),
        ("5 < f.price", ("0", "")),
        ("$1 >= price", ("", "$1")),
        ("price BETWEEN $1 AND '7'", ("$1", "0")),
        ("(price BETWEEN 1 AND 7) AND status <> 'x'", ("0", "1")),
        ("price > 1 AND price > 2 AND price <= 3::numeric", ("0,1", "")),
        ("price > '1'::numeric", ("0", "")),
    ],
)
def test_a_range(condition: str, bounds: tuple[str, str]) -> None:
    assert ranged(FROM_FULL + condition) == {"price": bounds}


@pytest.mark.parametrize(
    "condition",
    [
        "NOT price > 5",
        "price NOT BETWEEN 1 AND 5",
        "price BETWEEN SYMMETRIC 5 AND 1",
        "price BETWEEN 1 AND user_id",
        "price > ANY ($1)",
        "price > user_id",
        "price <> 5",
        "price > 5 IS TRUE",
        "price + 1 > 5",
        "price > $1::numeric(3)",
        "twice > 5",
        "status > 'a'",
        "mood > 'a'",
        "(price > 5) = $1",
    ],
)
def test_what_is_no_range(condition: str) -> None:
    assert ranged(FROM_FULL + condition) == {}


@pytest.mark.parametrize(
    ("condition", "alternatives"),
    [
        ("id = 5 OR name = 'x'", ["id", "name"]),
        ("((id = 5) OR (name = $1))", ["id", "name"]),
        ("name = 'x' OR true AND id = 5", ["name", "id"]),
        ("id = 5 AND name = 'x' OR name = 'y'", ["id", "name"]),
        ("id = 5 OR id = 6 OR (id > 7 AND id < 9)", ["id", "id", "id"]),
        ("(id = 5 OR true) AND (name = 'x' OR id BETWEEN 1 AND 3)", ["name", "id"]),
        ("(id = 5 OR name = 'x') AND created IS NULL", ["id", "name"]),
    ],
)
def test_a_disjunction_has_a_rule_for_each_alternative(condition: str, alternatives: list[str]) -> None:
    found = rules(f"SELECT count(*) FROM users u WHERE {condition}")
    assert [rule.shape.named[0].name for rule in found] == alternatives


def test_a_disjunction_goes_over_to_what_is_equal_and_no_further() -> None:
    text = "SELECT i.sku FROM users u {} items i ON i.line = u.id WHERE u.id = 5 OR u.id = 6"
    assert [rule.shape.named[0].name for rule in rules(text.format("LEFT JOIN"))] == ["id", "id", "line", "line"]
    both = "SELECT i.sku FROM users u JOIN items i ON i.line = u.id WHERE u.id = 5 OR i.sku = 'x'"
    assert [[column.name for column in rule.shape.named] for rule in rules(both)] == [[], ["line"], ["sku"]]


def test_one_conjunct_is_enough_without_a_disjunction() -> None:
    assert held("SELECT name FROM users WHERE (id = 5 OR name = 'x') AND id = 7") == {"id": "2"}


def test_a_parameter_in_two_alternatives_is_of_their_type() -> None:
    (one, other) = rules(FROM_FULL + "id = $1 OR user_id = $1")
    for rule in (one, other):
        (source,) = rule.sources[0]
        assert isinstance(source, ParameterSource)
        assert 0 in source.types


def test_an_equality_is_rather_looked_at_than_a_range() -> None:
    assert ranged(FROM_FULL + "price > 5 AND user_id = 7") == {}
    assert held(FROM_FULL + "price > 5 AND user_id = 7", FULL) == {"user_id": "1"}


def test_a_range_with_two_ends_is_looked_at_first() -> None:
    assert ranged(FROM_FULL + "id > 5 AND price BETWEEN 1 AND 2") == {"price": ("1", "2")}


def test_a_range_goes_over_to_what_is_equal() -> None:
    found = rules("SELECT i.sku FROM full_identity f LEFT JOIN items i ON i.line = f.id WHERE f.id > 5 AND f.id < 9")
    assert [rule.shape.ranged is not None and rule.shape.ranged.name for rule in found] == ["id", "line"]


PAGED = table(
    20_301,
    "paged",
    column("id", "int4", not_null=True),
    column("owner", "int4"),
    column("score", "int4", not_null=True),
    column("rank", "numeric"),
    column("title"),
    identity="f",
    identity_columns=frozenset(("id", "owner", "score", "rank", "title")),
)


def page(text: str, relation: Relation = PAGED) -> tuple[str, int, bool] | None:
    """Return by what a statement pages, where that is shown, and whether great values come first."""
    analysis = analyse(lex(text), small_catalog(relation), PUBLIC)
    assert analysis.reason == "", text
    found = analysis.tag_rules[0].page
    return None if found is None else (found.column.name, found.place, found.is_descending)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT * FROM paged ORDER BY score LIMIT 10", ("score", 2, False)),
        ("SELECT * FROM paged ORDER BY score DESC LIMIT $1", ("score", 2, True)),
        ("SELECT id, p.score AS s FROM paged p WHERE owner = 7 ORDER BY p.score DESC, id LIMIT 10", ("score", 1, True)),
        ("SELECT rank FROM paged ORDER BY rank LIMIT 10", ("rank", 0, False)),
        ("SELECT score FROM paged ORDER BY score LIMIT 10 OFFSET 5", ("score", 0, False)),
        ("SELECT score FROM paged ORDER BY score DESC OFFSET $2 LIMIT $1", ("score", 0, True)),
        ("SELECT score AS s, upper(title) FROM paged ORDER BY score LIMIT 10", ("score", 0, False)),
        ("SELECT rank FROM paged ORDER BY rank DESC NULLS LAST LIMIT 10", ("rank", 0, True)),
        ("SELECT score AS score FROM paged ORDER BY score ASC NULLS FIRST LIMIT 10", ("score", 0, False)),
    ],
)
def test_a_page(text: str, found: tuple[str, int, bool]) -> None:
    assert page(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT rank FROM paged ORDER BY rank DESC LIMIT 10",  # NULLs come first, and are in no range
        "SELECT rank FROM paged ORDER BY rank NULLS FIRST LIMIT 10",
        "SELECT title FROM paged ORDER BY title LIMIT 10",
        "SELECT id FROM paged ORDER BY score LIMIT 10",
        "SELECT id, score FROM paged ORDER BY 2 LIMIT 10",
        "SELECT id, score + 0 FROM paged ORDER BY score + 0 LIMIT 10",
        "SELECT -score AS score, score AS s FROM paged ORDER BY score LIMIT 10",
        "SELECT score AS s, score::text FROM paged ORDER BY score LIMIT 10",  # Postgres calls the text score
        "SELECT score AS s, CASE WHEN id > 1 THEN 'x' ELSE score::text END FROM paged ORDER BY score LIMIT 10",
        "SELECT (SELECT max(line) AS score FROM items), score AS s FROM paged ORDER BY score LIMIT 10",
        "SELECT score FROM paged ORDER BY score",
        "SELECT score FROM paged ORDER BY score LIMIT 10 OFFSET 5 + 5",
        "SELECT score FROM paged ORDER BY score OFFSET 5",
        "SELECT score FROM paged WHERE id = (SELECT 1 LIMIT 1) ORDER BY score LIMIT 10",
        "SELECT score FROM paged ORDER BY score LIMIT 5 + 5",
        "SELECT score FROM paged ORDER BY score LIMIT ALL",
        "SELECT score FROM paged ORDER BY score FETCH FIRST 10 ROWS WITH TIES",
        "SELECT DISTINCT score FROM paged ORDER BY score LIMIT 10",
        "SELECT score FROM paged GROUP BY score ORDER BY score LIMIT 10",
        "SELECT p.score FROM paged p JOIN items i ON i.line = p.id ORDER BY p.score LIMIT 10",
        "SELECT score FROM paged WHERE id > (SELECT min(id) FROM paged) ORDER BY score LIMIT 10",
        "SELECT score, row_number() OVER (ORDER BY id) FROM paged ORDER BY score LIMIT 10",
        "SELECT score FROM paged WHERE id = 5 ORDER BY score LIMIT 10",
        "SELECT score FROM paged WHERE score = 5 ORDER BY score LIMIT 10",
        "(SELECT score FROM paged ORDER BY score LIMIT 10) LIMIT 5",
    ],
)
def test_what_is_no_page(text: str) -> None:
    assert page(text) is None


def test_a_page_by_what_changes_do_not_tell_is_not_looked_at_where_the_rest_is_told() -> None:
    default = {"identity": "d", "identity_columns": frozenset(("id", "owner")), "primary_key": ("id", "owner")}
    keyed = replace(PAGED, **default)  # type: ignore[arg-type]  # mypy takes the dictionary's values for one type
    assert page("SELECT score FROM paged WHERE owner = 7 ORDER BY score LIMIT 10", keyed) is None
    assert page("SELECT id, owner FROM paged WHERE owner = 7 ORDER BY id LIMIT 10", keyed) == ("id", 0, False)
    assert page("SELECT score FROM paged WHERE rank = 7 ORDER BY score LIMIT 10", keyed) == ("score", 0, False)
