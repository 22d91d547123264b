"""Turns that read, change what the read depends on, read again, take it back and read once more.

Whatever is missing in a key, or is evicted too late, shows here: the same bytes have to get another answer.
"""

from dataclasses import dataclass

from services.shared.pgwire.frontend import Bind, Describe, Execute, Parse, Query, Sync, Target
from tests.wire.chance import Chance
from tests.wire.statements import Kind, Statement
from tests.wire.stream import Message, Step
from tests.wire.values import bind, literally, types_of

Turn = list[Step]

_KEY = (Kind.KEY,)


@dataclass(frozen=True, slots=True)
class Dance:
    """Reads, what changes their answer, and what may take it back."""

    reads: tuple[Statement, ...]
    changes: tuple[str, ...]
    back: tuple[str, ...]


_DANCES = (
    Dance(
        (
            Statement("SELECT id, placed, span, weight, body, day FROM orders WHERE id = $1", _KEY),
            Statement("SELECT weight::text, placed::text, body::text FROM orders WHERE id = $1", _KEY),
        ),
        (
            "SET TimeZone = 'Asia/Tokyo'",
            "SET LOCAL TimeZone = 'America/New_York'",
            "SET DateStyle = 'German'",
            "SET IntervalStyle = 'iso_8601'",
            "SET extra_float_digits = 0",
            "SET bytea_output = 'escape'",
            "SELECT set_config('TimeZone', 'Asia/Tokyo', false)",
            "SELECT set_config('DateStyle', 'SQL, DMY', true)",
            "SET TimeZone = 'Asia/Tokyo'; SELECT 1",
            "DO $$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$",
            "UPDATE orders SET weight = weight + 1",
        ),
        ("RESET ALL", "DISCARD ALL", "SET TimeZone = DEFAULT", "ROLLBACK TO a"),
    ),
    Dance(
        (
            Statement("SELECT name FROM people WHERE id = $1", _KEY),
            Statement("SELECT count(*), min(name) FROM people"),
        ),
        (
            "SET search_path = other, public",
            "SET LOCAL search_path = other",
            "CREATE TEMP TABLE people AS SELECT 1 AS id, 'temporary' AS name",
            "CREATE TEMP TABLE people (id int, name text) ON COMMIT DROP",
            "CREATE TEMP VIEW people AS SELECT 1 AS id, 'viewed' AS name",
            "UPDATE people SET name = 'changed'",
            "UPDATE people SET name = 'changed' WHERE id = 1",
            "DELETE FROM people WHERE id = 12",
            "INSERT INTO people VALUES (99, 'new')",
            "UPDATE other.people SET name = 'not this one'",
            "WITH w AS (UPDATE people SET name = 'by a query' RETURNING 1) SELECT count(*) FROM w",
            "DO $$ BEGIN UPDATE people SET name = 'by a block'; END $$",
            "BEGIN; UPDATE people SET name = 'in a block'; COMMIT",
            "EXECUTE p",
        ),
        ("RESET search_path", "DROP TABLE pg_temp.people", "DISCARD ALL", "DISCARD TEMP", "ROLLBACK TO a", "ROLLBACK"),
    ),
    Dance(
        (
            Statement("SELECT total FROM orders WHERE id = $1", _KEY),
            Statement("SELECT owner FROM guarded ORDER BY id"),
        ),
        ("SET ROLE reader", "SET LOCAL ROLE reader", "SET SESSION AUTHORIZATION reader", "SET ROLE writer"),
        ("RESET ROLE", "SET ROLE none", "RESET SESSION AUTHORIZATION", "DISCARD ALL", "ROLLBACK"),
    ),
    Dance(
        (Statement("SELECT * FROM shifting ORDER BY id"), Statement("SELECT * FROM shifting WHERE id = $1", _KEY)),
        (
            "ALTER TABLE shifting ADD COLUMN extra text DEFAULT 'added'",
            "ALTER TABLE shifting DROP COLUMN n",
            "ALTER TABLE shifting RENAME COLUMN n TO m",
            "ALTER TABLE shifting ALTER COLUMN n TYPE text",
            "ALTER TABLE shifting RENAME TO shifted; ALTER TABLE shifted RENAME TO shifting",
            "TRUNCATE shifting",
            "UPDATE shifting SET n = n + 1",
        ),
        ("ROLLBACK TO a", "ROLLBACK", "INSERT INTO shifting (id) VALUES (7)"),
    ),
    Dance(
        (Statement("SELECT note FROM people WHERE id = $1", _KEY), Statement("SELECT max(age) FROM people")),
        (
            "INSERT INTO audited VALUES (1, 7) ON CONFLICT (id) DO UPDATE SET n = audited.n + 1",
            "SELECT bump(1)",
            "SELECT bump(5), bump(5)",
            "PREPARE p AS UPDATE people SET age = 99, note = 'prepared'",
        ),
        ("EXECUTE p", "ROLLBACK TO a", "COMMIT"),
    ),
)


def dance(chance: Chance) -> Turn:
    """Read, change, read, take back, read: the same bytes each time."""
    drawn = chance.pick(_DANCES[:3] + _DANCES)  # settings, names and roles more often than the others
    prepared, asks = _read(chance, chance.pick(drawn.reads))
    steps = [*prepared, Step(asks, settled=chance.one_in(2))]
    in_block = chance.one_in(3)
    if in_block:
        steps += [Step((Query(b"BEGIN"),)), Step((Query(b"SAVEPOINT a"),))]
    if chance.one_in(2):
        steps.append(Step(asks))
    steps += [_ask(chance, chance.pick(drawn.changes)), Step(asks)]
    if chance.one_in(2):
        steps.append(Step(asks, settled=True))  # from here on it may be a hit, whatever the change was
    if chance.one_in(2):
        steps += [_ask(chance, chance.pick(drawn.back)), Step(asks)]
    if in_block or chance.one_in(4):
        steps += [Step((Query(chance.pick((b"COMMIT", b"ROLLBACK"))),)), Step(asks)]
    return steps


def _read(chance: Chance, read: Statement) -> tuple[Turn, tuple[Message, ...]]:
    """Return what prepares a read, and what runs it."""
    form = chance.pick(("simple", "unnamed", "named", "named and described"))
    if form == "simple":
        return [], (Query(literally(chance, read)),)
    name = b"" if form == "unnamed" else b"s"
    parse = Parse(name, read.sql.encode(), types_of(chance, read))
    described = (Describe(Target.PORTAL, b""),) if form == "named and described" else ()
    run = (bind(chance, read, name), *described, Execute(b""), Sync())
    return ([], (parse, *run)) if form == "unnamed" else ([Step((parse, Sync()))], run)


def _ask(chance: Chance, sql: str) -> Step:
    if ";" in sql or chance.one_in(2):
        return Step((Query(sql.encode()),))
    return Step((Parse(b"", sql.encode()), Bind(b"", b"", (), (), ()), Execute(b""), Sync()))
