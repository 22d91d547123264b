"""What a change tells of the row before it and of columns that are not sent: hazards H9, H12, H13, H42."""

from hashlib import sha256

import pytest

from schemas.changes import Changes, RowChange
from schemas.fields import HashedValue, Row
from services.shared.lsn import parse_lsn
from tests.integration.cdc_following import IN_PIECES, follow, follow_statements, row_changes
from tests.integration.cdc_harness import LogView, RunningCdc, until
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import OLDEST
from tests.servers.redis import RedisServer

_LONG = 2_500  # beyond what stays in a row, and short enough for an index
_IDENTITIES = """
    CREATE TABLE by_key (id int PRIMARY KEY, n int, small text, big text);
    CREATE TABLE by_whole (id int PRIMARY KEY, n int, small text, big text);
    ALTER TABLE by_whole REPLICA IDENTITY FULL;
    CREATE TABLE by_index (id int PRIMARY KEY, n int NOT NULL UNIQUE, small text, big text);
    ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_n_key;
    CREATE TABLE by_nothing (id int PRIMARY KEY, n int, small text, big text);
    ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE by_long (big text PRIMARY KEY, n int);
    ALTER TABLE by_key ALTER big SET STORAGE EXTERNAL;
    ALTER TABLE by_whole ALTER big SET STORAGE EXTERNAL;
    ALTER TABLE by_index ALTER big SET STORAGE EXTERNAL;
    ALTER TABLE by_nothing ALTER big SET STORAGE EXTERNAL;
    ALTER TABLE by_long ALTER big SET STORAGE EXTERNAL;
"""
_STEPS = (
    f"INSERT INTO {{}} VALUES (1, 10, 'a', repeat('x', {_LONG}))",
    "UPDATE {} SET small = 'b'",
    "UPDATE {} SET id = 2",
    "UPDATE {} SET n = 20",
    f"UPDATE {{}} SET big = repeat('y', {_LONG})",
    "DELETE FROM {}",
)
_LETTERS = {sha256((letter * _LONG).encode()).hexdigest(): letter.upper() for letter in "xy"}


def _shown(row: RowChange) -> tuple[str, str | None, str | None]:
    return (row.op, _written(row.old), _written(row.new))


def _written(row: Row | None) -> str | None:
    """Write what is known of a row: a long value as its letter."""
    if row is None:
        return None
    return " ".join(
        f"{name}={_LETTERS[value.sha256] if isinstance(value, HashedValue) else value}" for name, value in row.items()
    )


def test_every_replica_identity_gives_of_the_row_before_what_it_says(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H9, H13: under each identity, with updates of its columns, of others, and of a long value or beside one."""
    tables = ("by_key", "by_whole", "by_index", "by_nothing")
    statements = [step.format(table) for table in tables for step in _STEPS]
    view = follow_statements(postgres, database, valkey, _IDENTITIES, *statements)

    assert view.followed() == ["by_index", "by_key", "by_long", "by_whole", "mark"]
    assert row_changes(view, "by_nothing") == []
    assert [_shown(row) for row in row_changes(view, "by_key")] == [
        ("insert", None, "id=1 n=10 small=a big=X"),
        ("update", None, "id=1 n=10 small=b"),
        ("update", "id=1", "id=2 n=10 small=b"),
        ("update", None, "id=2 n=20 small=b"),
        ("update", None, "id=2 n=20 small=b big=Y"),
        ("delete", "id=2", None),
    ]
    assert [_shown(row) for row in row_changes(view, "by_index")] == [
        ("insert", None, "id=1 n=10 small=a big=X"),
        ("update", None, "id=1 n=10 small=b"),
        ("update", None, "id=2 n=10 small=b"),
        ("update", "n=10", "id=2 n=20 small=b"),
        ("update", None, "id=2 n=20 small=b big=Y"),
        ("delete", "n=20", None),
    ]
    assert [_shown(row) for row in row_changes(view, "by_whole")] == [
        ("insert", None, "id=1 n=10 small=a big=X"),
        ("update", "id=1 n=10 small=a big=X", "id=1 n=10 small=b big=X"),
        ("update", "id=1 n=10 small=b big=X", "id=2 n=10 small=b big=X"),
        ("update", "id=2 n=10 small=b big=X", "id=2 n=20 small=b big=X"),
        ("update", "id=2 n=20 small=b big=X", "id=2 n=20 small=b big=Y"),
        ("delete", "id=2 n=20 small=b big=Y", None),
    ]
    for table in ("by_key", "by_index"):
        assert [row.unchanged_toast for row in row_changes(view, table)] == [[], *[["big"]] * 3, [], []]
    assert [row.changed for row in row_changes(view, "by_whole")[1:5]] == [["small"], ["id"], ["n"], ["big"]]


def test_a_long_key_that_does_not_change_is_known_all_the_same(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H13: Postgres does not send it with the new row, but then with the old one."""
    statements = (f"INSERT INTO by_long VALUES (repeat('x', {_LONG}), 1)", "UPDATE by_long SET n = 2")
    view = follow_statements(postgres, database, valkey, _IDENTITIES, *statements)

    update = row_changes(view, "by_long")[1]
    assert _shown(update) == ("update", "big=X", "n=2")
    assert (update.unchanged_toast, update.changed) == (["big"], ["n"])


# -- generated columns

_GENERATED = """
    CREATE TABLE beside (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) {kind});
    CREATE TABLE in_whole (n int, twice int GENERATED ALWAYS AS (n * 2) {kind});
    ALTER TABLE in_whole REPLICA IDENTITY FULL;
"""
_IN_KEYS = """
    CREATE TABLE in_key (id int, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (id, twice));
    CREATE TABLE in_index (n int NOT NULL, twice int GENERATED ALWAYS AS (n * 2) STORED NOT NULL, UNIQUE (twice, n));
    ALTER TABLE in_index REPLICA IDENTITY USING INDEX in_index_twice_n_key;
    CREATE TABLE only_key (n int, twice int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY);
"""
_WRITTEN = ("INSERT INTO {} (n) VALUES (1)", "UPDATE {} SET n = 2", "DELETE FROM {}")


def _written_to(*tables: str) -> list[str]:
    numbered = [step.replace("(n) VALUES (1)", "(id, n) VALUES (7, 1)") for step in _WRITTEN]
    with_id = ("beside", "in_key")
    return [step.format(table) for table in tables for step in (numbered if table in with_id else _WRITTEN)]


def test_a_table_with_generated_columns_is_followed_without_them_or_its_updates_fail_nowhere(
    postgres: PostgresServer, database: str, valkey: RedisServer
) -> None:
    """H9, H12: from 18 on Postgres refuses UPDATE and DELETE where they are part of a published identity."""
    tables = ("beside", "in_whole", "in_key", "in_index", "only_key")
    sql = _GENERATED.format(kind="STORED") + _IN_KEYS
    view = follow_statements(postgres, database, valkey, sql, *_written_to(*tables))

    refused = () if postgres.version == OLDEST else ("in_whole", "in_key", "in_index")
    followed = sorted({*tables, "mark"} - {"only_key", *refused})
    assert view.followed() == followed
    assert view.rows("beside") == [
        ("insert", None, {"id": "7", "n": "1"}),
        ("update", None, {"id": "7", "n": "2"}),
        ("delete", {"id": "7"}, None),
    ]
    if not refused:
        assert view.rows("in_key")[1:] == [
            ("update", {"id": "7"}, {"id": "7", "n": "2"}),
            ("delete", {"id": "7"}, None),
        ]
        assert view.rows("in_whole")[1:] == [("update", {"n": "1"}, {"n": "2"}), ("delete", {"n": "2"}, None)]


def test_a_virtual_column_is_no_different(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    """H12."""
    sql = _GENERATED.format(kind="VIRTUAL")
    view = follow_statements(newest_postgres, newest_database, valkey, sql, *_written_to("beside", "in_whole"))

    assert view.followed() == ["beside", "mark"]
    assert [row.new for row in row_changes(view, "beside")] == [{"id": "7", "n": "1"}, {"id": "7", "n": "2"}, None]


def test_generated_columns_come_where_somebody_has_them_published(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    """H12: then what stores them in its identity can be followed, as long as they are published."""
    sql = _GENERATED.format(kind="STORED")

    async def play(view: LogView, _cdc: RunningCdc) -> None:
        assert view.followed() == ["beside", "mark"]
        (publication,) = newest_postgres.execute("SELECT pubname FROM pg_publication", database=newest_database)[0]
        alter = f"ALTER PUBLICATION {publication} SET (publish_generated_columns = "
        newest_postgres.execute(f"{alter}stored)", database=newest_database)
        await until(lambda: view.followed() == ["beside", "in_whole", "mark"], "the other table to be followed")
        for statement in _written_to("beside", "in_whole"):
            newest_postgres.execute(statement, database=newest_database)
        newest_postgres.execute(f"{alter}none)", database=newest_database)
        await until(lambda: view.followed() == ["beside", "mark"], "it to leave the publication")
        newest_postgres.execute("INSERT INTO in_whole VALUES (1); DELETE FROM in_whole", database=newest_database)

    view = follow(newest_postgres, newest_database, valkey, sql, play)
    assert view.rows("beside")[1:] == [
        ("update", None, {"id": "7", "n": "2", "twice": "4"}),
        ("delete", {"id": "7"}, None),
    ]
    assert view.rows("in_whole")[1:] == [
        ("update", {"n": "1", "twice": "2"}, {"n": "2", "twice": "4"}),
        ("delete", {"n": "2", "twice": "4"}, None),
    ]


# -- changes that come from elsewhere


@pytest.mark.parametrize("parameters", ["", IN_PIECES])
def test_what_was_applied_for_another_server_is_followed_too(
    postgres: PostgresServer, database: str, valkey: RedisServer, parameters: str
) -> None:
    """H42: a change that carries an origin is a change. Whatever time of commit the origin claims, it is told."""
    origin = f"elsewhere_{database}"
    sql = "CREATE TABLE t (id int PRIMARY KEY, v text)"
    claimed = ("'0/1', '1999-12-31'", "'0/2', 'infinity'", "'FFFFFFFF/FFFFFFFF', '4714-11-24 00:00:00+00 BC'")

    async def play(_view: LogView, _cdc: RunningCdc) -> None:
        with postgres.connect(database) as connection:
            connection.execute("SELECT pg_replication_origin_session_setup(%s)", [origin])
            for number, claim in enumerate(claimed):
                rows = f"SELECT n, repeat('x', 200) FROM generate_series({1000 * number}, {1000 * number + 700}) n"
                connection.execute(
                    f"SELECT pg_replication_origin_xact_setup({claim}); INSERT INTO t {rows};"
                    "UPDATE t SET v = 'short'; DELETE FROM t".encode()
                )
            connection.execute("SELECT pg_replication_origin_session_reset()")
            connection.execute("SELECT pg_replication_origin_drop(%s)", [origin])

    postgres.execute("SELECT pg_replication_origin_create(%s)", [origin], database=database)
    view = follow(postgres, database, valkey, sql, play, parameters)
    rows = row_changes(view, "t")
    assert [row.op for row in rows].count("delete") == [row.op for row in rows].count("update") == len(rows) / 3
    assert len(rows) == 3 * 3 * 701
    assert all(parse_lsn(event.end_lsn) > 0 for event in view.of(Changes))
