"""What streams say in SQL: pools of statements, of which each stream draws a few again and again.

Answers must not depend on the moment, on chance or on the physical order of rows; texts that name a parameter say of
which kind it is.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a parameter is: a key, a number, a text, a pattern."""

    KEY = "key"
    NUMBER = "number"
    TEXT = "text"
    PATTERN = "pattern"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        sql: Its text.
        parameters: Of which kind each parameter is.
    """

    sql: str
    parameters: tuple[Kind, ...] = ()


def _plain(*texts: str) -> tuple[Statement, ...]:
    return tuple(Statement(text) for text in texts)


_KEY, _NUMBER, _TEXT, _PATTERN = (Kind.KEY,), (Kind.NUMBER,), (Kind.TEXT,), (Kind.PATTERN,)

READS = (
    Statement("SELECT name FROM people WHERE id = $1", _KEY),
    Statement("SELECT id, name, age, note FROM people WHERE id = $1", _KEY),
    Statement("SELECT id, placed, span, weight, body, day FROM orders WHERE id = $1", _KEY),
    Statement("SELECT id FROM people WHERE age > $1 ORDER BY id", _NUMBER),
    Statement("SELECT count(*), sum(age), min(name) FROM people"),
    Statement("SELECT p.name, o.total, o.paid FROM people p JOIN orders o ON o.person = p.id ORDER BY o.id"),
    Statement("SELECT * FROM orders WHERE person = $1 ORDER BY id", _KEY),
    Statement("SELECT id, name FROM people ORDER BY id"),
    Statement("SELECT id FROM people WHERE name LIKE $1 ORDER BY id", _PATTERN),
    Statement("SELECT id, note FROM people WHERE name = $1 AND id < $2 ORDER BY id", (Kind.TEXT, Kind.NUMBER)),
    Statement("SELECT age, count(*) FROM people GROUP BY age HAVING count(*) > 1 ORDER BY age"),
    Statement("WITH old AS (SELECT * FROM people WHERE age >= $1) SELECT name FROM old ORDER BY id", _NUMBER),
    Statement("SELECT n, word FROM scratch WHERE id = $1", _KEY),
    Statement("SELECT n FROM late ORDER BY id"),
    Statement("SELECT 100 / (age - 30) FROM people WHERE id = $1", _KEY),  # fails for 2
    Statement("SELECT * FROM shifting ORDER BY id"),
    Statement("SELECT name FROM people WHERE id = 1 -- with a comment"),
    Statement("SELECT EXISTS (SELECT 1 FROM orders WHERE paid AND person = $1)", _KEY),
    Statement("SELECT name FROM other.people WHERE id = $1", _KEY),
)

BROKEN_READS = (
    *_plain(
        "SELECT missing FROM people WHERE id = 1",
        "SELECT name FROM missing",
        "SELECT name FROM people WHERE id = 'x'",
        "SELECT name FROM people WHERE",
        "SELECT 1/0",
        "SELECT max(name) FROM people WHERE lower(id) = 'x'",
        "SELEKT 1",
    ),
    Statement("SELECT $1::int / 0", _NUMBER),
    Statement("SELECT name FROM people WHERE id = $2", (Kind.KEY, Kind.KEY)),  # the first one's type is unknown
)

OTHER_READS = (
    *_plain(
        "SELECT 1",
        "",
        " ; -- nothing",
        "VALUES (1, NULL), (2, 'two')",
        "SELECT",
        "SELECT current_user, session_user",
        "SELECT current_setting('TimeZone')",
        "SHOW search_path",
        "SHOW transaction_isolation",
        "SHOW transaction_read_only",
        "SELECT name FROM adults ORDER BY id",
        "SELECT word FROM heap ORDER BY n, word",
        "SELECT owner FROM guarded ORDER BY id",
        "TABLE scratch ORDER BY id",
        "SELECT * FROM made ORDER BY id",
        "SELECT name FROM made_view",
        "SELECT name FROM people WHERE id = 1 FOR UPDATE",
        "SELECT id FROM people ORDER BY id LIMIT 2 FOR SHARE",
        "SELECT pg_current_xact_id_if_assigned() IS NULL",
        "SELECT now() = transaction_timestamp()",
        "SELECT speak('a word')",
        "SELECT nextval('counter')",
        "SELECT '2026-01-01'::timestamptz, 0.1::float8 + 0.2::float8, '\\x00ff'::bytea",
        "SELECT name FROM people WHERE note IS DISTINCT FROM 'x' ORDER BY random() LIMIT 0",
        "EXPLAIN (COSTS OFF) SELECT 1",
    ),
    Statement("SELECT $1", _TEXT),
    Statement("SELECT $1::int + 1", _NUMBER),
)

WRITES = (
    Statement("UPDATE people SET age = age + 1 WHERE id = $1", _KEY),
    Statement("UPDATE people SET name = $1 WHERE id = 1", _TEXT),
    Statement("UPDATE people SET note = 'written' WHERE id = $1 RETURNING id, note", _KEY),
    Statement("UPDATE orders SET total = total + 1, paid = NOT paid WHERE id = $1", _KEY),
    Statement("INSERT INTO scratch VALUES (5, 5, 'five') ON CONFLICT (id) DO UPDATE SET n = scratch.n + 1"),
    Statement("INSERT INTO scratch VALUES ($1, 1, 'unique') RETURNING word", _KEY),
    Statement("INSERT INTO scratch VALUES (6, 5000, 'too much')"),
    Statement("DELETE FROM scratch WHERE id = $1", _KEY),
    Statement("DELETE FROM people WHERE id = 12"),
    Statement("DELETE FROM people WHERE id = 1"),  # an order holds it
    Statement("INSERT INTO heap VALUES ($1, 'more')", _NUMBER),
    Statement("INSERT INTO late VALUES (9, 1)"),  # fails when it commits
    Statement("INSERT INTO late VALUES (8, 8) ON CONFLICT DO NOTHING"),
    Statement("INSERT INTO audited VALUES (2, 2) ON CONFLICT (id) DO UPDATE SET n = audited.n + 1"),
    Statement("WITH w AS (UPDATE people SET age = 7 WHERE id = 2 RETURNING name) SELECT name FROM w"),
    Statement("SELECT bump($1)", _KEY),
    Statement("UPDATE shifting SET n = 7 WHERE id = 1"),
    Statement("UPDATE other.people SET name = 'elsewhere' WHERE id = 1"),
    Statement("INSERT INTO made VALUES (1, 1)"),
    Statement("UPDATE people SET nothing = 1"),
)

SETTINGS = _plain(
    "SET TimeZone = 'Asia/Tokyo'",
    "SET LOCAL TimeZone = 'America/New_York'",
    "SET TIME ZONE 'Europe/Berlin'",
    "RESET TimeZone",
    "SET DateStyle = 'German'",
    "SET IntervalStyle = 'iso_8601'",
    "SET extra_float_digits = 0",
    "SET bytea_output = 'escape'",
    "SELECT set_config('TimeZone', 'Asia/Tokyo', false)",
    "SELECT set_config('DateStyle', 'SQL, DMY', true)",
    "SET search_path = other, public",
    "SET LOCAL search_path = other",
    "SET search_path = ''",
    "RESET search_path",
    "SET ROLE reader",
    "SET LOCAL ROLE writer",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION reader",
    "RESET SESSION AUTHORIZATION",
    "SET wire.own = 'mine'",
    "SET LOCAL wire.own = 'only here'",
    "SET application_name = 'renamed'",
    "SET nonsense = 1",
    "SET TimeZone = 'Nowhere/Land'",
    "SET client_encoding = 'LATIN1'",
    "SET client_min_messages = 'error'",
    "SET standard_conforming_strings = off",
    "SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_read_only = on",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "RESET ALL",
    "DISCARD ALL",
    "DISCARD PLANS",
    "DISCARD TEMP",
    "DO $$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$",
)

DEFINITIONS = _plain(
    "CREATE TABLE made (id int PRIMARY KEY, n int)",
    "DROP TABLE made",
    "CREATE TABLE other.made (id int PRIMARY KEY, n int)",
    "CREATE TEMP TABLE people (id int, name text, age int, note text)",
    "CREATE TEMP TABLE passing (n int) ON COMMIT DROP",
    "CREATE TEMP VIEW orders AS SELECT 1 AS id, 1 AS person, true AS paid",
    "INSERT INTO pg_temp.people VALUES (1, 'temporary', 1, NULL)",
    "DROP TABLE pg_temp.people",
    "ALTER TABLE shifting ADD COLUMN extra text DEFAULT 'added'",
    "ALTER TABLE shifting DROP COLUMN n",
    "ALTER TABLE shifting RENAME COLUMN n TO m",
    "ALTER TABLE shifting ALTER COLUMN n TYPE text",
    "CREATE VIEW made_view AS SELECT name FROM people WHERE id = 1",
    "CREATE OR REPLACE FUNCTION made_function(int) RETURNS int LANGUAGE sql AS 'SELECT $1'",
    "SELECT made_function(3)",
    "GRANT SELECT ON orders TO reader",
    "REVOKE SELECT ON people FROM reader",
    "TRUNCATE scratch",
    "CALL settle_orders()",
    "DO $$ BEGIN UPDATE people SET age = 1 WHERE id = 1; END $$",
    "LOCK TABLE people IN SHARE MODE",
)

BEGINS = _plain(
    "BEGIN",
    "BEGIN READ ONLY",
    "START TRANSACTION",
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    "begin work isolation level read uncommitted, read write",
    "BEGIN DEFERRABLE",
    "START TRANSACTION READ ONLY, NOT DEFERRABLE",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    "BEGIN; -- and a comment",
    "/* first */ BEGIN",
    "BEGIN ISOLATION LEVEL NONSENSE",
    "BEGIN READ ONLY READ WRITE",
)

ENDS = _plain(
    "COMMIT",
    "ROLLBACK",
    "END",
    "ABORT",
    "commit work",
    "ROLLBACK TRANSACTION",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "COMMIT AND NO CHAIN",
    "COMMIT;",
    "END -- done",
)

WITHIN = _plain(
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "ROLLBACK TO SAVEPOINT a",
    "RELEASE a",
    "RELEASE missing",
    "SAVEPOINT b",
    "ROLLBACK TO b",
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION READ WRITE",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET TRANSACTION DEFERRABLE",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "SHOW transaction_isolation",
    "SHOW transaction_deferrable",
    "BEGIN",
    "SELECT 1/0",
)

NAMED = _plain(
    "PREPARE s (int) AS SELECT name FROM people WHERE id = $1",
    "PREPARE t AS SELECT count(*) FROM people",
    "EXECUTE s(1)",
    "EXECUTE s(2)",
    "EXECUTE t",
    "DEALLOCATE s",
    "DEALLOCATE PREPARE t",
    "DEALLOCATE ALL",
)

CURSORS = _plain(
    "DECLARE c CURSOR FOR SELECT id, name FROM people ORDER BY id",
    "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM people ORDER BY id",
    "DECLARE p SCROLL CURSOR FOR SELECT id FROM orders ORDER BY id",
    "FETCH 2 FROM c",
    "FETCH ALL FROM c",
    "FETCH BACKWARD 1 FROM p",
    "MOVE 1 IN c",
    "CLOSE c",
    "CLOSE ALL",
)

NOTIFYING = _plain(
    "LISTEN news",
    "NOTIFY news",
    "NOTIFY news, 'a payload'",
    "SELECT pg_notify('news', 'another')",
    "UNLISTEN news",
    "UNLISTEN *",
)

LOCKS = _plain(
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(2)",
    "SELECT pg_try_advisory_lock(3)",
    "SELECT pg_advisory_unlock(1)",
    "SELECT pg_advisory_unlock_all()",
)

LARGE_OBJECTS = _plain(
    "SELECT lo_create(700001)",
    "SELECT lo_from_bytea(700002, 'large')",
    "SELECT lo_get(700002)",
    "SELECT lo_put(700002, 1, 'ARG')",
    "SELECT lo_open(700002, 393216)",
    "SELECT loread(0, 10)",
    "SELECT lowrite(0, 'xyz')",
    "SELECT lo_unlink(700001)",
)

SEVERAL = _plain(
    "SELECT 1; SELECT name FROM people WHERE id = 1; SELECT 3",
    "SELECT name FROM people WHERE id = 1; SELECT name FROM people WHERE id = 2",
    "UPDATE people SET age = 3 WHERE id = 3; SELECT age FROM people WHERE id = 3",
    "INSERT INTO heap VALUES (1, 'one'); SELECT 1/0; SELECT 2",
    "BEGIN; SELECT name FROM people WHERE id = 1",
    "BEGIN; UPDATE people SET age = 4 WHERE id = 4",
    "SELECT name FROM people WHERE id = 1; COMMIT",
    "COMMIT; BEGIN",
    "BEGIN; SELECT name FROM people WHERE id = 1; COMMIT",
    "BEGIN; SELECT 1/0; COMMIT",
    "SET TimeZone = 'Asia/Tokyo'; SELECT placed FROM orders WHERE id = 1",
    "SELECT set_config('TimeZone', 'Asia/Tokyo', true); SELECT placed FROM orders WHERE id = 1",
    "SAVEPOINT a; SELECT 1",
    "ROLLBACK; SELECT name FROM people WHERE id = 1",
    ";;",
)

ENDING = Statement("SELECT pg_terminate_backend(pg_backend_pid())")
