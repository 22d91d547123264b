"""What a forwarded statement may do: the widest guess unless less is proven."""

import pytest

from services.proxy.sql.effect import StatementEffect
from services.proxy.sql.snapshot import Policy
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import NameSpace, analyse
from tests.unit.sql.small_catalog import ITEMS, ORDERS, TRIGGERED, USERS, column, small_catalog, table

PUBLIC = NameSpace(("pg_catalog", "public"))
CATALOG = small_catalog(
    table(20_300, "coded", user_code=True),
    table(20_301, "domained", column("id", "int4"), column("v", "positive", user_type=True)),
    table(20_302, "secured", row_security=True),
    table(20_303, "family", parts=(20_309, 20_310)),
    table(20_309, "child", ancestors=(20_303,), parts=(20_310,)),
    table(20_310, "grandchild", ancestors=(20_309, 20_303)),
    table(20_311, "watched_family", parts=(20_312,)),
    table(20_312, "watched_child", ancestors=(20_311,), user_triggers=True),
    table(20_313, "visited_family", temporary_children=True),
    table(20_304, "parted", kind="p", parts=(20_305, 20_306)),
    table(20_305, "parted_low", ancestors=(20_304,)),
    table(20_306, "parted_high", ancestors=(20_304,)),
    table(20_307, "split", kind="p", parts=(20_308,)),
    table(20_308, "split_part", ancestors=(20_307,), user_triggers=True),
    policies={20_302: (Policy("of_mine", True, "my_function(id)"),)},
)
NOTHING: frozenset[int] = frozenset()


def effect(text: str) -> StatementEffect:
    return analyse(lex(text), CATALOG, PUBLIC).effect


@pytest.mark.parametrize(
    "text",
    [
        "SELECT now(), random(), clock_timestamp()",
        "SELECT * FROM users FOR UPDATE",
        "SELECT count(*) FROM pg_class WHERE pg_table_is_visible(oid)",
        "SELECT current_user, version",
        "VALUES (1), (2)",
        "TABLE users",
        "SELECT 'users'::regclass",
        "SHOW search_path",
        "FETCH 10 FROM c",
        "MOVE c",
        "SELECT nextval('s'), currval('s')",
        "DECLARE c CURSOR FOR SELECT * FROM users WHERE name = 'x'",
        'declare  "a for b" NO SCROLL binary CURSOR WITH HOLD FOR WITH x AS (SELECT 1) TABLE x',
        "COPY users TO STDOUT",
        "COPY public.\"users\" (id, name) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (name), DELIMITER ';')",
        "COPY (SELECT name FROM users WHERE name = ')' || 'x') TO STDOUT (FORMAT csv, DELIMITER ';')",
        "EXPLAIN SELECT * FROM users WHERE id = 1",
        "EXPLAIN ANALYZE VERBOSE SELECT 1",
        "EXPLAIN (ANALYZE, BUFFERS off, FORMAT json) TABLE users",
        "",
    ],
)
def test_reads_write_nothing(text: str) -> None:
    assert effect(text) == StatementEffect(NOTHING, changes_session=False, changes_schema=False)


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("INSERT INTO users VALUES (1, 'x')", USERS),
        ("INSERT INTO public.orders (id, user_id) SELECT id, id FROM users RETURNING id", ORDERS),
        ("INSERT INTO users (id) VALUES (nextval('s')) ON CONFLICT (id) DO UPDATE SET name = upper('x')", USERS),
        ("UPDATE users SET name = 'x' WHERE id = 1", USERS),
        ("UPDATE ONLY users u SET name = o.status FROM orders o WHERE o.user_id = u.id", USERS),
        ("DELETE FROM items WHERE order_id IN (SELECT id FROM orders)", ITEMS),
        ("DELETE FROM items USING orders WHERE true", ITEMS),
        ("COPY users FROM STDIN", USERS),
        ("COPY public.orders(id, user_id) FROM STDIN WITH (FORMAT binary)", ORDERS),
        ("EXPLAIN ANALYZE UPDATE users SET name = 'x'", USERS),
        ("EXPLAIN DELETE FROM items", ITEMS),
    ],
)
def test_plain_writes_write_their_table(text: str, relation: object) -> None:
    assert relation in (USERS, ORDERS, ITEMS)
    oid = getattr(relation, "oid", 0)
    assert effect(text) == StatementEffect(frozenset((oid,)), changes_session=False, changes_schema=False)


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("INSERT INTO parted VALUES (1, 'x')", {20_304, 20_305, 20_306}),
        ("UPDATE parted_low SET v = 'x'", {20_304, 20_305}),
        ("COPY parted_high FROM STDIN", {20_304, 20_306}),
        ("INSERT INTO family VALUES (1, 'x')", {20_303}),
        ("UPDATE family SET v = 'x'", {20_303, 20_309, 20_310}),
        ("DELETE FROM child", {20_303, 20_309, 20_310}),
        ("UPDATE grandchild SET v = 'x'", {20_303, 20_309, 20_310}),
        ("INSERT INTO watched_family VALUES (1, 'x')", {20_311}),
        ("COPY visited_family FROM STDIN", {20_313}),
    ],
)
def test_writes_to_partitions_and_to_what_has_them_write_both(text: str, relations: set[int]) -> None:
    assert effect(text) == StatementEffect(frozenset(relations), changes_session=False, changes_schema=False)


@pytest.mark.parametrize(
    "text",
    [
        f"UPDATE {TRIGGERED.name} SET v = 'x'",
        "DELETE FROM orders WHERE id = 1",  # cascades
        "UPDATE orders SET id = 1",
        "INSERT INTO coded VALUES (1)",
        "INSERT INTO domained VALUES (1)",
        "COPY coded FROM STDIN",
        "INSERT INTO split VALUES (1)",  # a partition has a trigger
        "UPDATE watched_family SET v = 'x'",  # a child has one
        "DELETE FROM visited_family",  # a temporary child may have one
    ],
)
def test_a_write_with_side_effects_may_write_anything(text: str) -> None:
    assert effect(text).writes is None
    assert effect(text).changes_session


@pytest.mark.parametrize(
    "text",
    [
        "SELECT my_function(1)",
        "SELECT public.upper('x')",
        "SELECT x.my_function FROM users x",
        "SELECT set_config('a.b', my_function('c'), false)",
        "SELECT lo_get(1)",
        "SELECT table_to_xml('users', true, true, '')",
        "SELECT * FROM a_view",
        "SELECT * FROM secured",
        "SELECT * FROM nowhere",
        "SELECT id && id FROM users",
        "SELECT 'x'::positive",
        "SELECT * INTO x FROM users",
        "WITH d AS (DELETE FROM users RETURNING *) SELECT * FROM d",
        "WITH x AS (SELECT 1) DELETE FROM users",
        "UPDATE users SET name = my_function(name)",
        "UPDATE users SET name = v FROM a_view",
        "DELETE FROM items USING a_view",
        "INSERT INTO users SELECT * FROM a_view",
        "INSERT INTO secured VALUES (1)",
        "DELETE FROM nowhere",
        "SELECT 1; SELECT 2",
        "CREATE TABLE x (a int)",
        "ALTER TABLE users ADD x int",
        "GRANT SELECT ON users TO somebody",
        "TRUNCATE users",
        "COPY users FROM STDIN WHERE my_function(id)",
        "COPY users FROM PROGRAM 'x'",
        "COPY users TO '/x'",
        "COPY nowhere FROM STDIN",
        "COPY a_view TO STDOUT",
        "COPY secured TO STDOUT",
        "COPY domained TO STDOUT",
        "COPY (SELECT my_function(1)) TO STDOUT",
        "COPY (DELETE FROM orders RETURNING my_function(id)) TO STDOUT",
        "COPY (SELECT 1) TO STDOUT; DELETE FROM users",
        "EXPLAIN ANALYZE SELECT my_function(1)",
        "EXPLAIN ANALYZE EXECUTE s",
        "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1",
        "CALL p()",
        "DO 'x'",
        "EXECUTE s",
        "DECLARE c CURSOR FOR SELECT my_function(1)",
        "MERGE INTO users USING orders ON true WHEN MATCHED THEN DELETE",
        "DECLARE c CURSOR FOR SELECT 1 FROM nowhere",
        "DECLARE c INSENSITIVE x CURSOR FOR SELECT 1",
        "REFRESH MATERIALIZED VIEW m",
        "VACUUM FULL users",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "COMMIT AND CHAIN",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "gibberish",
    ],
)
def test_what_is_not_proven_may_do_everything(text: str) -> None:
    assert effect(text) == StatementEffect(None, changes_session=True, changes_schema=True)


@pytest.mark.parametrize(
    "text",
    ["SET x = 1", "RESET ALL", "DISCARD ALL", "PREPARE s AS SELECT 1", "DEALLOCATE s", "LISTEN c", "UNLISTEN *"],
)
def test_session_statements(text: str) -> None:
    assert effect(text) == StatementEffect(NOTHING, changes_session=True, changes_schema=False)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "begin"),
        ("START TRANSACTION", "begin"),
        ("COMMIT", "commit"),
        ("END", "commit"),
        ("ROLLBACK", "rollback"),
        ("ABORT", "rollback"),
        ("SAVEPOINT s", "savepoint"),
        ("RELEASE s", "savepoint"),
        ("ROLLBACK TO SAVEPOINT s", "savepoint"),
    ],
)
def test_transaction_steps(text: str, step: str) -> None:
    found = effect(text)
    undoes_settings = text.startswith("ROLLBACK TO")
    assert found == StatementEffect(
        NOTHING, changes_session=undoes_settings, changes_schema=False, transaction=found.transaction
    )
    assert found.transaction == step


_ASYNCPG_RESET = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"


@pytest.mark.parametrize(
    "text", [_ASYNCPG_RESET, "CLOSE ALL; UNLISTEN *; RESET ALL", "DISCARD PLANS;; DEALLOCATE ALL", "SHOW a; SHOW b"]
)
def test_what_a_pool_sends_between_two_users_writes_nothing(text: str) -> None:
    assert effect(text) == StatementEffect(NOTHING, changes_session=True, changes_schema=False)


@pytest.mark.parametrize(
    "text",
    [
        _ASYNCPG_RESET + "UPDATE users SET name = 'x'",
        "RESET ALL; COMMIT",
        "RESET ALL; SET CONSTRAINTS ALL IMMEDIATE",
        "SELECT mine.pg_advisory_unlock_all(); RESET ALL",
        "SELECT pg_advisory_unlock_all() FROM triggered; RESET ALL",
        "SELECT nextval('s'); RESET ALL",
        '"reset"; RESET ALL',
    ],
)
def test_several_statements_of_which_one_does_more_may_do_anything(text: str) -> None:
    assert effect(text) == StatementEffect(None, changes_session=True, changes_schema=True)
