"""What happens to tables as a whole, to partitions, and to columns between and within transactions: H6, H7, H8, H28."""

from collections.abc import Sequence

from schemas.changes import Changes
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from tests.integration.cdc_following import IN_PIECES, follow, follow_statements, row_changes
from tests.integration.cdc_harness import LogView, RunningCdc, until
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

_REFERENCED = """
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent);
    CREATE TABLE grandchild (id int PRIMARY KEY, child int REFERENCES child);
    CREATE TABLE lonely (id serial PRIMARY KEY);
    CREATE TABLE keyless (parent int REFERENCES parent);
    CREATE TABLE whole (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE low PARTITION OF whole FOR VALUES FROM (0) TO (10);
    CREATE TABLE high PARTITION OF whole FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);
    CREATE TABLE high_odd PARTITION OF high FOR VALUES IN (1, 3);
    CREATE TABLE high_even (v text, at int NOT NULL, id int NOT NULL, PRIMARY KEY (id, at));
    ALTER TABLE high ATTACH PARTITION high_even FOR VALUES IN (2, 4);
"""


def _truncated(view: LogView) -> list[str]:
    """The tables that were truncated, by transaction, each transaction's in alphabetical order."""
    by_xid: dict[int, set[str]] = {}
    for event in view.of(RelationWide):
        if event.op == "truncate":
            assert event.xid is not None
            by_xid.setdefault(event.xid, set()).add(event.table)
    return [" ".join(sorted(tables)) for tables in by_xid.values()]


def test_truncate_tells_every_table_that_it_emptied(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H6: several at once, by CASCADE, with RESTART IDENTITY, of a leaf, of a tree, and between rows."""
    view = follow_statements(
        postgres,
        database,
        valkey,
        _REFERENCED,
        "TRUNCATE parent CASCADE",
        "TRUNCATE lonely, grandchild RESTART IDENTITY",
        "TRUNCATE ONLY lonely RESTART IDENTITY CASCADE",
        "TRUNCATE high_even",
        "TRUNCATE high",
        "TRUNCATE whole, lonely",
        "BEGIN; INSERT INTO lonely VALUES (1); TRUNCATE lonely; INSERT INTO lonely VALUES (2); COMMIT",
        "BEGIN; TRUNCATE lonely; ROLLBACK",
        "BEGIN; SAVEPOINT s; TRUNCATE lonely; ROLLBACK TO s; INSERT INTO lonely VALUES (3); COMMIT",
    )
    assert _truncated(view) == [
        "child grandchild parent",  # not keyless, which is not followed
        "grandchild lonely",
        "lonely",
        "high high_even whole",
        "high high_even high_odd whole",
        "high high_even high_odd lonely low whole",
        "lonely",
    ]
    assert view.inserted("lonely") == ["3"]


def test_a_row_that_moves_between_partitions_leaves_one_and_comes_to_the_other_under_every_name(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H7: and so it is where a move is the side effect of an upsert, or of a partition whose columns lie otherwise."""
    view = follow_statements(
        postgres,
        database,
        valkey,
        _REFERENCED,
        "INSERT INTO whole VALUES (1, 5, 'a')",
        "UPDATE whole SET at = 15",
        "UPDATE whole SET id = 2",
        "INSERT INTO whole VALUES (2, 15, 'b') ON CONFLICT (id, at) DO UPDATE SET v = 'c'",
        "UPDATE high SET id = 3, v = 'd'",
    )
    here: dict[str, object] = {"id": "1", "at": "15"}
    there: dict[str, object] = {"id": "2", "at": "15"}
    back: dict[str, object] = {"id": "3", "at": "15", "v": "d"}
    moves: list[tuple[str, dict[str, object] | None, dict[str, object] | None]] = [
        ("insert", None, {"id": "1", "at": "5", "v": "a"}),
        ("delete", {"id": "1", "at": "5"}, None),
        ("insert", None, here | {"v": "a"}),
        ("delete", here, None),
        ("insert", None, there | {"v": "a"}),
        ("update", None, there | {"v": "c"}),
        ("delete", there, None),
        ("insert", None, back),
    ]
    assert view.rows("low") == moves[:2]
    assert view.rows("high_odd") == [moves[2], moves[3], moves[7]]
    assert view.rows("high_even") == moves[4:7]
    assert _in_any_order(view.rows("whole")) == _in_any_order(moves)
    assert _in_any_order(view.rows("high")) == _in_any_order(moves[2:])
    by_transaction = [(event.xid, row.op) for event in view.of(Changes) if event.table == "whole" for row in event.rows]
    assert len({xid for xid, _ in by_transaction}) == 5


def _in_any_order(rows: Sequence[tuple[str, dict[str, object] | None, dict[str, object] | None]]) -> list[str]:
    return sorted(
        repr((op, sorted((old or {}).items()), sorted((new or {}).items(), key=repr))) for op, old, new in rows
    )


def test_what_happens_to_a_child_is_told_under_the_names_of_all_above_it(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H8: Postgres sends it under the child's name alone."""
    sql = "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY)"

    async def play(view: LogView, _cdc: RunningCdc) -> None:
        described = len(view.of(RelationSchema))
        postgres.execute("ALTER TABLE child INHERIT parent", database=database)
        await until(lambda: len(view.of(RelationSchema)) >= described + 2, "both to be described again")
        postgres.execute("INSERT INTO child VALUES (1); INSERT INTO parent VALUES (2)", database=database)
        postgres.execute("TRUNCATE ONLY child", database=database)

    view = follow(postgres, database, valkey, sql, play)
    assert (view.inserted("child"), view.inserted("parent")) == (["1"], ["1", "2"])
    assert _truncated(view) == ["child parent"]


_ALTERED = "CREATE TABLE t (id int PRIMARY KEY, v text, n int)"
_LARGE = "INSERT INTO t (id) SELECT n FROM generate_series(2, 1500) n; UPDATE t SET n = 5 WHERE id > 1"


def test_columns_that_change_within_a_transaction_are_those_of_each_moment(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H28: the description of a table comes again, before the next of its rows."""
    for number, parameters in enumerate(("", IN_PIECES)):
        with postgres.database(f"{database}_{number}") as name:
            view = follow_statements(
                postgres,
                name,
                valkey,
                _ALTERED,
                "BEGIN; INSERT INTO t VALUES (1, 'a', 1); ALTER TABLE t ADD w int DEFAULT 7;"
                "INSERT INTO t VALUES (-2, 'b', 2, 8); ALTER TABLE t DROP v; UPDATE t SET n = 3 WHERE id = 1;"
                f"ALTER TABLE t RENAME w TO x; {_LARGE};"
                "ALTER TABLE t ALTER n TYPE text USING 'n' || n; DELETE FROM t WHERE id > 1;"
                "ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (-3, 'c'); COMMIT",
                "INSERT INTO u VALUES (-4)",
                parameters=parameters,
            )
            rows = [(event.table, row) for event in view.of(Changes) for row in event.rows if event.table in "tu"]
            told = [(table, row.op, row.old, row.new) for table, row in rows]
            assert told[:3] == [
                ("t", "insert", None, {"id": "1", "v": "a", "n": "1"}),
                ("t", "insert", None, {"id": "-2", "v": "b", "n": "2", "w": "8"}),
                ("t", "update", None, {"id": "1", "n": "3", "w": "7"}),
            ]
            assert told[3] == ("t", "insert", None, {"id": "2", "n": None, "x": "7"})
            assert told[3 + 1499] == ("t", "update", None, {"id": "2", "n": "5", "x": "7"})
            assert told[3 + 2 * 1499] == ("t", "delete", {"id": "2"}, None)
            assert told[3 + 3 * 1499 :] == [
                ("u", "insert", None, {"id": "-3", "n": "c", "x": "7"}),
                ("u", "insert", None, {"id": "-4", "n": None, "x": "7"}),
            ]


def test_columns_that_were_changed_in_vain_are_forgotten(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H5, H28: a description within a part that is rolled back holds for nobody else, streamed or not."""
    for number, parameters in enumerate(("", IN_PIECES)):
        with postgres.database(f"{database}_{number}") as name:
            large = "INSERT INTO t (id) SELECT n FROM generate_series({0}, {0} + 1499) n"
            view = follow_statements(
                postgres,
                name,
                valkey,
                _ALTERED,
                f"BEGIN; {large.format(10_000)}; SAVEPOINT s; ALTER TABLE t DROP v, ADD w int DEFAULT 1;"
                f"{large.format(20_000)}; ROLLBACK TO s; {large.format(30_000)}; COMMIT",
                "INSERT INTO t VALUES (1, 'a', 1)",
                f"BEGIN; ALTER TABLE t ADD w int DEFAULT 1; {large.format(40_000)}; ROLLBACK",
                "INSERT INTO t VALUES (2, 'b', 2)",
                f"BEGIN; {large.format(50_000)}; SAVEPOINT s; ALTER TABLE t ADD w int DEFAULT 1; "
                f"{large.format(60_000)}; ROLLBACK TO s; COMMIT",
                "INSERT INTO t VALUES (3, 'c', 3)",
                parameters=parameters,
            )
            numbers = [int(str(number)) for number in view.inserted("t")]
            kept = (range(10_000, 11_500), range(30_000, 31_500), [1], [2], range(50_000, 51_500), [3])
            assert numbers == [number for part in kept for number in part]
            assert {tuple(row.new or ()) for row in row_changes(view, "t")} == {("id", "v", "n")}


def test_a_table_that_is_written_anew_is_told_as_a_whole(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H28: ALTER … TYPE … USING changes every value, and sends not one row."""

    async def play(view: LogView, _cdc: RunningCdc) -> None:
        postgres.execute("INSERT INTO t VALUES (1, 'a', 1)", database=database)
        await until(lambda: view.inserted("t") == ["1"], "the row")
        described = len(view.of(RelationSchema))
        postgres.execute("ALTER TABLE t ALTER n TYPE text USING 'n' || n", database=database)
        await until(lambda: len(view.of(RelationSchema)) > described, "it to be described again")

    view = follow(postgres, database, valkey, _ALTERED, play)
    assert view.wide("t") == ["ddl"]
    assert len(row_changes(view, "t")) == 1
    newest = [event for event in view.of(RelationSchema) if event.table == "t"][-1]
    assert [column.name for column in newest.columns] == ["id", "v", "n"]
