"""Verdicts against a catalog made by hand: which statements are cached, and by which name the others are refused."""

from dataclasses import replace

import pytest

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.reasons import ADVICE, Reason
from services.proxy.sql.snapshot import Catalog, Functions, Policy
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse, unanalysable
from tests.unit.sql.small_catalog import ITEMS, ORDERS, OTHER_USERS, USERS, column, small_catalog, table

PUBLIC = NameSpace(("pg_catalog", "public"))
CATALOG = small_catalog(
    table(20_100, "unlogged", persistence="u"),
    table(20_101, "secured", row_security=True),
    table(20_102, "unpublished", publication_entry=None),
    table(20_103, "family", parts=(20_113,)),
    table(20_113, "child", ancestors=(20_103,)),
    table(20_114, "torn_family", parts=(20_100,), whole=False),
    table(20_104, "keyless", key=()),
    table(20_105, "typed", column("id", "int4"), column("v", "vector", user_type=True), column("w")),
    table(20_106, "zoned", column("id", "int4"), column("v", "timetz"), column("w")),
    table(20_107, "foreign_one", kind="f"),
    table(20_108, "materialized_one", kind="m"),
    table(20_109, "counter", kind="S"),
    table(20_110, "an_index", kind="i"),
    table(20_111, "parted", kind="p", publication_entry=None),
    table(20_112, "ruled", rules=True),
    policies={20_101: (Policy("of_mine", True, "my_function(id)"),)},
)


def judge(text: str, catalog: Catalog = CATALOG, name_space: NameSpace = PUBLIC) -> Analysis:
    return analyse(lex(text), catalog, name_space)


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("SELECT * FROM users", {USERS.oid}),
        ("SELECT name AS n FROM public.users GROUP BY name HAVING count(*) > 1 ORDER BY 1 LIMIT 3", {USERS.oid}),
        ("SELECT * FROM users u JOIN orders o ON o.user_id = u.id LEFT JOIN items i ON i.order_id = o.id",
         {USERS.oid, ORDERS.oid, ITEMS.oid}),
        ("SELECT * FROM users, orders WHERE user_id = users.id", {USERS.oid, ORDERS.oid}),
        ("SELECT * FROM users WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = users.id)", {USERS.oid, ORDERS.oid}),
        ("SELECT (SELECT max(id) FROM orders) FROM users", {USERS.oid, ORDERS.oid}),
        ("SELECT id FROM users UNION ALL (SELECT user_id FROM orders) EXCEPT SELECT 1 FROM items",
         {USERS.oid, ORDERS.oid, ITEMS.oid}),
        ("WITH u AS (SELECT * FROM users) SELECT * FROM u JOIN orders ON true", {USERS.oid, ORDERS.oid}),
        ("WITH users AS (SELECT * FROM users) SELECT * FROM users", {USERS.oid}),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM users", None),  # the b inside a is no CTE
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t) SELECT * FROM t, users", {USERS.oid}),
        ("SELECT * FROM other.users", {OTHER_USERS.oid}),
        ("SELECT * FROM ONLY users", {USERS.oid}),
        ("SELECT * FROM family", {20_103}),
        ("SELECT * FROM ONLY torn_family", {20_114}),
        ("SELECT 1 FROM users, ONLY public.torn_family AS t WHERE EXISTS (SELECT 1 FROM ONLY torn_family)",
         {USERS.oid, 20_114}),
        ("SELECT x.n FROM (SELECT name AS n FROM users) x", {USERS.oid}),
        ("SELECT x.count FROM (SELECT count(*) FROM users) x", {USERS.oid}),
        ("SELECT 1 FROM ((SELECT id FROM users)) x, ((SELECT 1) UNION (SELECT 2)) y", {USERS.oid}),
        ("SELECT * FROM users JOIN (orders JOIN items ON true) ON true", {USERS.oid, ORDERS.oid, ITEMS.oid}),
        ("SELECT extract(year FROM created), substring(name FROM 1 FOR 2) FROM users", {USERS.oid}),
        ("SELECT name IS DISTINCT FROM 'x', name IS NOT DISTINCT FROM 'y' FROM users", {USERS.oid}),
        ("SELECT created::date, '2024-01-01'::timestamptz, $1::date FROM users", {USERS.oid}),
        ("SELECT date_trunc('month', created)::date FROM users", {USERS.oid}),
        ("SELECT cast(id AS numeric(10, 2)), id::varchar(3), '{1}'::int[] FROM users", {USERS.oid}),
        ("SELECT pg_catalog.upper(name) FROM users", {USERS.oid}),
        ("SELECT name FROM users WHERE id IN ($1,$2,$3) AND name=$4::text LIMIT $5 OFFSET $6", {USERS.oid}),
        ('SELECT u."a$1,$2" FROM users u (a, "a$1,$2") WHERE a IN ($1,$2)', {USERS.oid}),
        ("SELECT w FROM typed", {20_105}),
        ("SELECT b FROM (users CROSS JOIN orders) AS x (a, b)", {USERS.oid, ORDERS.oid}),
        ("SELECT x.name FROM (users CROSS JOIN orders) AS x", {USERS.oid, ORDERS.oid}),
        ("SELECT 1 FROM items JOIN ((users u JOIN orders o ON true)) x ON true", {ITEMS.oid, USERS.oid, ORDERS.oid}),
        ("SELECT 1 FROM ((SELECT 1) s JOIN users ON true) x", {USERS.oid}),
        ("SELECT * FROM users, unnest(ARRAY[1]) WITH ORDINALITY AS r (a, b), upper('x')", {USERS.oid}),
        ("SELECT name, unnest(ARRAY[id]), (SELECT max(n) FROM generate_series(1, id) n) FROM users", {USERS.oid}),
        ("SELECT * FROM users CROSS JOIN LATERAL json_each(to_json(name)) WITH ORDINALITY e (k, v, n)", {USERS.oid}),
        ("SELECT * FROM users, json_to_record('{}') AS r (a int, b text[], c numeric(3, 1))", {USERS.oid}),
        ("SELECT users, to_json(u), count(u.*) FROM users u, other.users GROUP BY 1, u", {USERS.oid, OTHER_USERS.oid}),
        ("SELECT e.upper, e.n FROM users, unnest(ARRAY[name]) WITH ORDINALITY AS e (upper, n)", {USERS.oid}),
        ("SELECT e.key, e.value FROM users, json_each(to_json(name)) e", {USERS.oid}),
        ("WITH c AS (SELECT count(*) FROM users) SELECT d.count, v.date FROM c d, (VALUES (1)) v (date)", {USERS.oid}),
        ("SELECT u.tableoid, name FROM users u", {USERS.oid}),
        ("SELECT int4(name), text(id), uuid(name), int4range(id, 3, '[]') FROM users", {USERS.oid}),
        ("SELECT age(created, '2024-01-01'::timestamptz) FROM users", {USERS.oid}),
        ("SELECT name @@ 'x', to_tsvector('english'::regconfig, name) @@ to_tsquery($1) FROM users", {USERS.oid}),
        ("SELECT name ~<~ 'a', 1 <<= 2, inet '::1' FROM users WHERE id = 1 AND name ~>=~ 'a'", {USERS.oid}),
        ("SELECT max(id) FROM users", {USERS.oid}),  # somebody's max() takes a type that is not used
    ],
)  # fmt: skip
def test_reads_of_tables_are_cached(text: str, relations: set[int] | None) -> None:
    analysis = judge(text)
    if relations is None:
        assert analysis.reason == Reason.UNKNOWN_RELATION
        return
    assert analysis.reason == ""
    assert analysis.cacheable
    assert set(analysis.relations) == relations
    assert analysis.effect.writes == frozenset()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.EMPTY),
        ("INSERT INTO users VALUES (1)", Reason.NOT_A_SELECT),
        ("VALUES (1)", Reason.NOT_A_SELECT),
        ("SELECT 1; SELECT 2", Reason.MULTIPLE_STATEMENTS),
        ("SELECT FROM WHERE", Reason.PARSE_ERROR),
        ("SELECT 'a' 'b' FROM users", Reason.PARSE_ERROR),
        ("SELECT id FROM users WHERE id ?# id", Reason.UNKNOWN_OPERATOR),  # the parser ends with a TypeError of its own
        ('SELECT U&"x" FROM users', Reason.LEX_ERROR),
        (f"SELECT {'x' * 64} FROM users", Reason.LEX_ERROR),
        ("SELECT 1", Reason.NO_RELATION),
        ("SELECT * FROM nowhere", Reason.UNKNOWN_RELATION),
        ("SELECT * FROM nowhere.users", Reason.UNKNOWN_RELATION),
        ('SELECT * FROM "Users"', Reason.UNKNOWN_RELATION),
        ("SELECT * FROM pg_class", Reason.SYSTEM_CATALOG),
        ("SELECT * FROM users, pg_catalog.pg_class", Reason.SYSTEM_CATALOG),
        ("SELECT * FROM unlogged", Reason.TEMPORARY_OR_UNLOGGED),
        ("SELECT * FROM foreign_one", Reason.FOREIGN_TABLE),
        ("SELECT * FROM a_view", Reason.VIEW),
        ("SELECT * FROM materialized_one", Reason.MATERIALIZED_VIEW),
        ("SELECT last_value FROM counter", Reason.SEQUENCE),
        ("SELECT * FROM an_index", Reason.NOT_A_TABLE),
        ("SELECT * FROM parted", Reason.NOT_PUBLISHED),
        ("SELECT * FROM torn_family", Reason.CHILD_NOT_FOLLOWED),
        ("SELECT * FROM torn_family *", Reason.CHILD_NOT_FOLLOWED),
        ("SELECT * FROM ONLY torn_family JOIN torn_family t USING (id)", Reason.CHILD_NOT_FOLLOWED),
        ("SELECT * FROM ONLY torn_family, torn_family t", Reason.CHILD_NOT_FOLLOWED),
        ("SELECT * FROM ONLY users, torn_family", Reason.CHILD_NOT_FOLLOWED),
        ("SELECT * FROM ONLY (torn_family)", Reason.PARSE_ERROR),
        ("SELECT * FROM unpublished", Reason.NOT_PUBLISHED),
        ("SELECT * FROM keyless", Reason.NO_REPLICA_IDENTITY),
        ("SELECT * FROM secured", Reason.POLICY_FUNCTION),
        ("SELECT * FROM ruled", Reason.RULES),
        ("SELECT nextval('s') FROM users", Reason.VOLATILE_FUNCTION),
        ("SELECT pg_sleep(1) FROM users", Reason.VOLATILE_FUNCTION),
        ("SELECT now() FROM users", Reason.CURRENT_TIME),
        ("SELECT age(created) FROM users", Reason.CURRENT_TIME),
        ("SELECT current_setting('x') FROM users", Reason.SESSION_FUNCTION),
        ("SELECT current_date FROM users", Reason.CURRENT_TIME),
        ("SELECT * FROM users WHERE name = current_user", Reason.SESSION_FUNCTION),
        ("SELECT user FROM users", Reason.SESSION_FUNCTION),
        ("SELECT localtimestamp(3) FROM users", Reason.CURRENT_TIME),
        ("SELECT lo_get(1) FROM users", Reason.LARGE_OBJECT),
        ("SELECT date(name) FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT regproc('x') FROM users", Reason.UNKNOWN_FUNCTION),
        ("SELECT pg_table_is_visible(1) FROM users", Reason.UNKNOWN_FUNCTION),
        ('SELECT "timestamp"(name) FROM users', Reason.RELATIVE_TIME_INPUT),
        ("SELECT my_function(id) FROM users", Reason.USER_FUNCTION),
        ("SELECT public.upper(name) FROM users", Reason.USER_FUNCTION),
        ("SELECT * FROM my_function(1)", Reason.USER_FUNCTION),
        # Of a function in FROM that gives single values, `e.upper` is upper(e).
        ("SELECT e.upper FROM users, unnest(ARRAY[name]) e", Reason.UNKNOWN_COLUMN),
        ("SELECT e.pg_sleep FROM users, LATERAL unnest(ARRAY[1.0]) AS e (a)", Reason.UNKNOWN_COLUMN),
        ("SELECT unnest.nextval FROM users, unnest(ARRAY[1])", Reason.UNKNOWN_COLUMN),
        ("SELECT e.date FROM users, generate_series(1, 2) e", Reason.UNKNOWN_COLUMN),
        ("SELECT * FROM users, ROWS FROM (unnest(ARRAY[1]), unnest(ARRAY[2])) r", Reason.TABLE_FUNCTION),
        ("SELECT * FROM users, coalesce(ROW(1)) AS r (a int)", Reason.TABLE_FUNCTION),
        ("SELECT * FROM users, json_to_record('{}') AS r (a date)", Reason.RELATIVE_TIME_INPUT),
        ("SELECT * FROM users, json_to_record('{}') AS r (a mood)", Reason.USER_TYPE),
        ("SELECT * FROM users, json_to_record('{}') AS r (a text COLLATE \"C\")", Reason.UNSUPPORTED_SYNTAX),
        ("SELECT * FROM users, json_populate_record(NULL::users, '{}') r", Reason.UNKNOWN_FUNCTION),
        ("SELECT id && id FROM users", Reason.USER_OPERATOR),
        ("SELECT id <=> id FROM users", Reason.UNKNOWN_OPERATOR),
        ("SELECT id OPERATOR(pg_catalog.=) 1 FROM users", Reason.UNSUPPORTED_SYNTAX),
        ("SELECT * FROM typed", Reason.USER_TYPE),
        ("SELECT v FROM typed", Reason.USER_TYPE),
        ("SELECT typed.* FROM typed", Reason.USER_TYPE),
        ("SELECT id::vector FROM users", Reason.USER_TYPE),
        ("SELECT id::public.t FROM users", Reason.UNSUPPORTED_SYNTAX),
        ('SELECT id::"integer" FROM users', Reason.USER_TYPE),
        ("SELECT mood 'ok' FROM users", Reason.USER_TYPE),
        ("SELECT v FROM zoned", Reason.UNSUPPORTED_TYPE),
        ("SELECT '10:00'::timetz FROM users", Reason.UNSUPPORTED_TYPE),
        ("SELECT time with time zone '10:00' FROM users", Reason.UNSUPPORTED_TYPE),
        ("SELECT 'users'::regclass FROM users", Reason.REG_TYPE_CAST),
        ("SELECT regclass 'users' FROM users", Reason.REG_TYPE_CAST),
        ("SELECT CAST('users' AS regclass) FROM users", Reason.REG_TYPE_CAST),
        ("SELECT 1::oid::regclass FROM users", Reason.REG_TYPE_CAST),
        ("SELECT * FROM users FOR UPDATE", Reason.LOCKING_CLAUSE),
        ("SELECT * FROM users FOR NO KEY UPDATE", Reason.LOCKING_CLAUSE),
        ("SELECT * FROM (SELECT * FROM users FOR SHARE) x", Reason.LOCKING_CLAUSE),
        ("WITH d AS (DELETE FROM users RETURNING *) SELECT * FROM d", Reason.DATA_MODIFYING_CTE),
        ("SELECT * INTO x FROM users", Reason.SELECT_INTO),
        ("SELECT ctid FROM users", Reason.SYSTEM_COLUMN),
        ("SELECT users.xmin FROM users", Reason.SYSTEM_COLUMN),
        ('SELECT "xmax" FROM users', Reason.SYSTEM_COLUMN),
        ("SELECT * FROM users TABLESAMPLE system (1)", Reason.TABLESAMPLE),
        ("SELECT name::date FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT (name || '')::timestamp FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT CAST(lower(name) AS date) FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT (name)::date FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT CASE WHEN true THEN name END::date FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT (SELECT name)::date FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT coalesce(name, 'x')::timestamptz FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT tsrange(name) FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT name::tsrange FROM users", Reason.RELATIVE_TIME_INPUT),
        ("SELECT x.created::date FROM (SELECT name AS created FROM users) x", Reason.RELATIVE_TIME_INPUT),
        ("SELECT users.missing FROM users", Reason.UNKNOWN_COLUMN),
        ("SELECT x.my_function FROM (SELECT 1 FROM users) x", Reason.UNKNOWN_COLUMN),
        ("SELECT typed FROM typed", Reason.USER_TYPE),
        ("SELECT to_json(t) FROM users, typed t", Reason.USER_TYPE),
        ("SELECT count(t.*) FROM typed t", Reason.USER_TYPE),
        ("SELECT (users).name FROM users", Reason.UNSUPPORTED_SYNTAX),
        ("TABLE users", Reason.NOT_A_SELECT),
        ("SELECT * FROM (TABLE users) x", Reason.UNSUPPORTED_SYNTAX),
        ("SELECT semi.name FROM users semi JOIN orders o ON true", Reason.UNSUPPORTED_SYNTAX),  # sqlglot's SEMI JOIN
        ("SELECT asof.name FROM users asof JOIN orders o ON true", Reason.UNSUPPORTED_SYNTAX),
        ("SELECT N'x' FROM users", Reason.UNSUPPORTED_SYNTAX),
        ("SELECT U&'x' FROM users", Reason.UNSUPPORTED_SYNTAX),
    ],
)
def test_refusals_have_names(text: str, reason: Reason) -> None:
    analysis = judge(text)
    assert analysis.reason == reason
    assert not analysis.cacheable
    if not analysis.ageing:
        assert (analysis.relations, analysis.tag_rules, analysis.fingerprint) == ((), (), "")


@pytest.mark.parametrize(
    ("text", "ageing"),
    [
        ("SELECT name, now() FROM users", {Ageing.CLOCK}),
        ("SELECT * FROM users WHERE created > now() - interval '1 day'", {Ageing.CLOCK}),
        ("SELECT * FROM users WHERE created::date = current_date AND id = 7", {Ageing.CLOCK}),
        ("SELECT transaction_timestamp(), statement_timestamp(), clock_timestamp() FROM users", {Ageing.CLOCK}),
        ("SELECT timeofday(), localtime, localtimestamp(3), current_time, current_timestamp(0) FROM users",
         {Ageing.CLOCK}),
        ("SELECT pg_catalog.now(), age(created) FROM users", {Ageing.CLOCK}),
        ("SELECT name::date FROM users", {Ageing.CLOCK}),
        ("SELECT * FROM recent", {Ageing.CLOCK}),
        ("SELECT * FROM materialized_one", {Ageing.REFRESH}),
        ("SELECT now() FROM materialized_one", {Ageing.CLOCK, Ageing.REFRESH}),
        ("SELECT m.v, u.name FROM materialized_one m JOIN users u USING (id) WHERE m.id = 7", {Ageing.REFRESH}),
        ("SELECT * FROM of_materialized", {Ageing.REFRESH}),
        ("SELECT 1 FROM users", set()),
        ("SELECT now()", set()),  # no table
        ("SELECT now(), random() FROM users", set()),
        ("SELECT now(), nextval('s') FROM users", set()),
        ("SELECT now(), txid_current() FROM users", set()),
        ("SELECT now(), pg_sleep(1) FROM users", set()),
        ("SELECT now(), current_user FROM users", set()),
        ("SELECT now(), xmin FROM users", set()),
        ("SELECT now() FROM users FOR UPDATE", set()),
        ("SELECT now() FROM unlogged", set()),
        ("SELECT now() FROM foreign_one", set()),
        ("SELECT now() FROM keyless", set()),
        ("SELECT now() FROM users, secured", set()),
        ("SELECT 1 FROM materialized_one, unpublished", set()),
    ],
)  # fmt: skip
def test_what_only_ages_is_told_from_what_is_refused_for_more(text: str, ageing: set[Ageing]) -> None:
    views = {
        20_115: "SELECT users.id FROM public.users WHERE (users.created > now())",
        20_116: "SELECT materialized_one.v FROM public.materialized_one",
    }
    catalog = small_catalog(
        *(relation for relation in CATALOG.relations.values() if relation.oid >= 20_100),
        table(20_115, "recent", kind="v", publication_entry=None, rules=True),
        table(20_116, "of_materialized", kind="v", publication_entry=None, rules=True),
        views=views,
        policies=CATALOG.policies,
    )
    analysis = judge(text, catalog)
    assert analysis.ageing == ageing
    assert analysis.cacheable == (text == "SELECT 1 FROM users")
    if ageing:
        assert analysis.reason in (Reason.CURRENT_TIME, Reason.MATERIALIZED_VIEW, Reason.RELATIVE_TIME_INPUT)
        assert analysis.effect.writes == frozenset()
        assert set(analysis.relations) == ({USERS.oid} if "users" in text or "recent" in text else set())
        assert {rule.shape.relation for rule in analysis.tag_rules} == set(analysis.relations)


def test_somebodys_now_is_not_the_clock() -> None:
    mine = CATALOG.functions
    functions = replace(mine, user=mine.user | {"now"}, competing=mine.competing | {"now"})
    analysis = judge("SELECT now() FROM users", small_catalog(functions=functions))
    assert (analysis.reason, analysis.ageing) == (Reason.USER_FUNCTION, frozenset())


def test_a_materialized_view_that_is_written_anew_is_another_fingerprint() -> None:
    text, view = "SELECT v FROM materialized_one, users", table(20_108, "materialized_one", kind="m")
    parts = small_catalog(view).relation_parts
    before = judge(text, small_catalog(view, relation_parts=parts)).fingerprint
    assert before == judge(text, small_catalog(view, relation_parts=parts)).fingerprint != ""
    assert judge(text, small_catalog(view, relation_parts={**parts, view.oid: "refreshed"})).fingerprint != before


def test_nothing_is_known_while_pg_catalog_does_not_come_first() -> None:
    analysis = judge("SELECT * FROM users", name_space=NameSpace(("public", "pg_catalog")))
    assert analysis.reason == Reason.SEARCH_PATH
    assert analysis.effect.writes is None


def test_a_cast_between_built_in_types_that_somebody_made_spoils_everything() -> None:
    assert judge("SELECT * FROM users", small_catalog(user_casts=True)).reason == Reason.USER_CAST


def test_words_before_a_parenthesis_may_be_functions_that_somebody_made() -> None:
    mine = CATALOG.functions
    functions = Functions(
        mine.immutable, mine.steady, mine.builtin, mine.user | {"first"}, mine.competing, mine.on_rows
    )
    assert judge("SELECT first(id) FROM users", small_catalog(functions=functions)).reason == Reason.USER_FUNCTION


def test_an_operator_that_a_word_stands_for_counts() -> None:
    operators = type(CATALOG.operators)(CATALOG.operators.builtin, frozenset(("~~",)))
    catalog = small_catalog(operators=operators)
    assert judge("SELECT * FROM users WHERE name LIKE 'x'", catalog).reason == Reason.USER_OPERATOR


def test_the_fingerprint_is_that_of_the_relations() -> None:
    before = judge("SELECT * FROM users").fingerprint
    changed = small_catalog(relation_parts={USERS.oid: f"part of {USERS.oid}", ORDERS.oid: "another"})
    assert judge("SELECT * FROM users", changed).fingerprint == before
    assert judge("SELECT * FROM orders", changed).fingerprint != judge("SELECT * FROM orders").fingerprint
    assert judge("SELECT * FROM users", small_catalog(global_part="another")).fingerprint != before


def test_what_cannot_be_read_has_the_widest_effect() -> None:
    analysis = unanalysable()
    assert not analysis.cacheable
    assert (analysis.effect.writes, analysis.effect.changes_session, analysis.effect.changes_schema) == (
        None,
        True,
        True,
    )


def test_every_reason_has_advice() -> None:
    assert set(ADVICE) == set(Reason)
    assert all(sentence.endswith(".") for sentence in ADVICE.values())
