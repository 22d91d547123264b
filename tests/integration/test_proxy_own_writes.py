"""A session reads its own writes at once, however they were made; nobody reads what is not committed."""

from functools import partial

import psycopg
import pytest

from tests.integration.proxied_postgres import Connection, ProxiedPostgres
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE IF NOT EXISTS written (id int PRIMARY KEY, v int);
CREATE TABLE IF NOT EXISTS derived (id int PRIMARY KEY, v int);
CREATE TABLE IF NOT EXISTS child (id int PRIMARY KEY, parent int REFERENCES written ON DELETE CASCADE);
CREATE OR REPLACE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN UPDATE derived SET v = NEW.v WHERE id = NEW.id; RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER derives AFTER UPDATE ON written FOR EACH ROW EXECUTE FUNCTION derive();
CREATE OR REPLACE FUNCTION set_written(value int) RETURNS void LANGUAGE sql AS
    $$ UPDATE written SET v = value WHERE id = 1 $$;
CREATE OR REPLACE PROCEDURE set_written_by_call(value int) LANGUAGE sql AS
    $$ UPDATE written SET v = value WHERE id = 1 $$;
TRUNCATE written, derived, child;
INSERT INTO written VALUES (1, 0);
INSERT INTO derived VALUES (1, 0);
"""
_READ = "SELECT v FROM written WHERE id = 1"
_READ_DERIVED = "SELECT v FROM derived WHERE id = 1"


def _reads(connection: Connection, sql: str, value: int) -> bool:
    return connection.execute(sql).fetchone() == (value,)


@pytest.fixture
def written(cached: ProxiedPostgres) -> ProxiedPostgres:
    """Two tables, of which one follows the other by a trigger; reads of both are hits."""
    cached.server.execute(_SQL)
    with cached.connect() as connection:
        for sql in (_READ, _READ_DERIVED):
            wait_until(partial(_reads, connection, sql, 0), "the fresh row")
            cached.wait_cached(partial(connection.execute, sql))
    return cached


def test_an_own_write_is_read_back_at_once_every_time(written: ProxiedPostgres) -> None:
    with written.connect() as connection:
        for value in range(1, 201):
            connection.execute("UPDATE written SET v = %s WHERE id = 1", [value])
            assert connection.execute(_READ).fetchone() == (value,)
            assert connection.execute("SELECT sum(v) FROM written").fetchone() == (value,)


def test_an_own_write_is_read_back_also_from_hits(written: ProxiedPostgres) -> None:
    """The session goes back to the cache after each write, so that old entries have their chance."""
    with written.connect() as connection:
        for value in range(1, 11):
            connection.execute("UPDATE written SET v = %s WHERE id = 1", [value])

            def run(value: int = value) -> None:
                assert connection.execute(_READ).fetchone() == (value,)

            run()
            written.wait_cached(run)


@pytest.mark.parametrize(
    "write",
    [
        "UPDATE written SET v = {} WHERE id = 1",
        "WITH done AS (UPDATE written SET v = {} WHERE id = 1 RETURNING v) SELECT * FROM done",
        "INSERT INTO written VALUES (1, {0}) ON CONFLICT (id) DO UPDATE SET v = {0}",
        "DO $$ BEGIN UPDATE written SET v = {} WHERE id = 1; END $$",
        "SELECT set_written({})",
        "CALL set_written_by_call({})",
        "BEGIN; UPDATE written SET v = {} WHERE id = 1; COMMIT",
        "UPDATE written SET v = {} WHERE id = 1; SELECT 1",
        "EXPLAIN ANALYZE UPDATE written SET v = {} WHERE id = 1",
        "PREPARE w AS UPDATE written SET v = {} WHERE id = 1; EXECUTE w; DEALLOCATE w",
    ],
)
def test_however_it_was_written_it_is_read_back_at_once(written: ProxiedPostgres, write: str) -> None:
    with written.connect() as connection:
        for value in range(1, 21):
            connection.execute(write.format(value), prepare=False)
            assert connection.execute(_READ).fetchone() == (value,)
            assert connection.execute(_READ_DERIVED).fetchone() == (value,)  # written by a trigger


def test_what_a_cascade_removes_is_gone_at_once(written: ProxiedPostgres) -> None:
    count = "SELECT count(*) FROM child"
    with written.connect() as connection:
        for round_ in range(20):
            connection.execute(f"INSERT INTO written VALUES (2, {round_}); INSERT INTO child VALUES (1, 2)")
            assert connection.execute(count).fetchone() == (1,)
            connection.execute("DELETE FROM written WHERE id = 2")
            assert connection.execute(count).fetchone() == (0,)


def test_what_was_copied_in_is_read_back_at_once(written: ProxiedPostgres) -> None:
    with written.connect() as connection:
        for value in range(2, 22):
            with connection.cursor().copy("COPY written FROM STDIN") as copy:
                copy.write_row((value, value))
            assert connection.execute("SELECT count(*) FROM written").fetchone() == (value,)


def test_a_write_and_a_read_in_one_pipeline(written: ProxiedPostgres) -> None:
    with written.connect() as connection:
        for value in range(1, 51):
            with connection.pipeline():
                connection.execute("UPDATE written SET v = %s WHERE id = 1", [value])
                read = connection.execute(_READ)
            assert read.fetchone() == (value,)


def test_only_the_transaction_itself_sees_what_is_not_committed(written: ProxiedPostgres) -> None:
    with written.connect() as writer, written.connect() as other:
        writer.execute("BEGIN")
        assert writer.execute(_READ).fetchone() == (0,)
        writer.execute("UPDATE written SET v = 1 WHERE id = 1")
        assert writer.execute(_READ).fetchone() == (1,)
        for _ in range(20):
            assert other.execute(_READ).fetchone() == (0,)
        writer.execute("ROLLBACK")
        assert writer.execute(_READ).fetchone() == (0,)
        written.wait_cached(lambda: other.execute(_READ))
        assert other.execute(_READ).fetchone() == (0,)


def test_savepoints_give_back_what_was_before_them(written: ProxiedPostgres) -> None:
    with written.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE written SET v = 1 WHERE id = 1")
        connection.execute("SAVEPOINT a")
        connection.execute("UPDATE written SET v = 2 WHERE id = 1")
        assert connection.execute(_READ).fetchone() == (2,)
        connection.execute("ROLLBACK TO a")
        assert connection.execute(_READ).fetchone() == (1,)
        connection.execute("COMMIT")
        assert connection.execute(_READ).fetchone() == (1,)
        assert connection.execute(_READ_DERIVED).fetchone() == (1,)


def test_a_commit_is_seen_at_once_by_its_session_and_soon_by_others(written: ProxiedPostgres) -> None:
    with written.connect() as writer, written.connect() as other:
        for value in range(1, 21):
            with writer.transaction():
                writer.execute("UPDATE written SET v = %s WHERE id = 1", [value])
            assert writer.execute(_READ).fetchone() == (value,)
            wait_until(partial(_reads, other, _READ, value), "the commit")


def test_a_snapshot_that_repeats_is_not_served_what_came_later(written: ProxiedPostgres) -> None:
    with written.connect() as reader, written.connect() as other:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert reader.execute(_READ).fetchone() == (0,)
        written.server.execute("UPDATE written SET v = 1 WHERE id = 1")
        wait_until(lambda: other.execute(_READ).fetchone() == (1,), "the change")
        written.wait_cached(lambda: other.execute(_READ))
        assert reader.execute(_READ).fetchone() == (0,)
        reader.execute("COMMIT")
        wait_until(lambda: reader.execute(_READ).fetchone() == (1,), "the change")


def test_a_write_that_fails_leaves_the_cache_true(written: ProxiedPostgres) -> None:
    with written.wire() as client:
        for _ in range(20):
            answers = client.query("UPDATE written SET v = v / 0 WHERE id = 1")
            assert answers[0].kind == "E"
            assert client.query(_READ)[1].raw.endswith(b"\0\0\0\x010")


def test_an_own_write_is_read_back_in_the_next_block_whose_begin_is_held_back(written: ProxiedPostgres) -> None:
    """As an object mapper does it: a block for the write, a block for the read, never without one."""
    held = written.stack.counter("tidegate_proxy_blocks_held_total")
    with psycopg.connect(written.url()) as connection:
        for value in range(1, 101):
            connection.execute("UPDATE written SET v = %s WHERE id = 1", [value])
            assert connection.execute(_READ).fetchone() == (value,)
            connection.commit()
            assert connection.execute(_READ).fetchone() == (value,)
            assert connection.execute("SELECT sum(v) FROM written").fetchone() == (value,)
            connection.commit()
    assert written.stack.counter("tidegate_proxy_blocks_held_total") - held == 200


def test_a_write_that_is_rolled_back_was_never_there(written: ProxiedPostgres) -> None:
    with psycopg.connect(written.url()) as connection:
        for value in range(1, 51):
            assert connection.execute(_READ).fetchone() == (0,)
            connection.execute("UPDATE written SET v = %s WHERE id = 1", [value])
            assert connection.execute(_READ).fetchone() == (value,)
            connection.rollback()
            assert connection.execute(_READ).fetchone() == (0,)
            connection.commit()


def test_an_own_write_is_read_back_in_a_pipeline_of_reads(written: ProxiedPostgres) -> None:
    with written.connect() as connection:
        for value in range(1, 51):
            with connection.pipeline():
                connection.execute("UPDATE written SET v = %s WHERE id = 1", [value])
                reads = [connection.execute(sql) for sql in (_READ, "SELECT sum(v) FROM written", _READ)]
            assert [read.fetchone() for read in reads] == [(value,)] * 3
            with connection.pipeline():
                reads = [connection.execute(sql) for sql in (_READ, "SELECT sum(v) FROM written", _READ)]
            assert [read.fetchone() for read in reads] == [(value,)] * 3


def test_a_session_that_reads_its_own_writes_from_now_on_reads_those_from_before(written: ProxiedPostgres) -> None:
    with written.connect() as connection:
        for value in range(1, 21):
            connection.execute("SET tidegate.consistency = bounded")
            connection.execute("UPDATE written SET v = %s WHERE id = 1", [value])
            connection.execute("SET tidegate.consistency = session")
            assert connection.execute(_READ).fetchone() == (value,)
