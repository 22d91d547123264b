"""Tables with children by INHERITS: cached under every name, evicted by what happens to any table below."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from tests.integration.inherits_history import KEYS, TABLES, History
from tests.integration.proxied_postgres import Connection, ProxiedPostgres
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE people (id int PRIMARY KEY, name text);
CREATE TABLE things (code text PRIMARY KEY, name text);
CREATE TABLE staff (salary int, PRIMARY KEY (id)) INHERITS (people);
CREATE TABLE guests (room text PRIMARY KEY, name text, id int NOT NULL);
ALTER TABLE guests INHERIT people;
CREATE TABLE visits () INHERITS (people);
ALTER TABLE visits REPLICA IDENTITY FULL;
CREATE TABLE badges (PRIMARY KEY (code)) INHERITS (things, people);
CREATE TABLE keepers (PRIMARY KEY (id)) INHERITS (badges, staff);
INSERT INTO people VALUES (1, 'p1'), (2, 'p2');
INSERT INTO staff (id, name, salary) VALUES (2, 's2', 20), (3, 's3', 30);
INSERT INTO guests (id, name, room) VALUES (3, 'g3', 'a'), (4, 'g4', 'b');
INSERT INTO visits VALUES (1, 'v1'), (5, 'v5');
INSERT INTO badges (id, name, code) VALUES (6, 'b6', 'x'), (3, 'b3', 'y');
INSERT INTO keepers (id, name, code) VALUES (7, 'k7', 'z');
INSERT INTO things VALUES ('x', 't');
"""
_TABLES = "late, keepers, badges, visits, guests, staff, things, people"
_ALL = "SELECT id, name FROM people ORDER BY id, name"
_ONLY = "SELECT id, name FROM ONLY people ORDER BY id"
_CATALOG_QUERY = "SELECT query_start FROM pg_stat_activity WHERE application_name = 'tidegate-proxy-catalog'"
_CHANGES = 40
_WRITES = 500
_SECONDS = 10.0  # for an eviction, which takes milliseconds, and for the catalog to be looked at


@pytest.fixture
def proxied(eager: ProxiedPostgres) -> ProxiedPostgres:
    """With tables as good as new."""
    eager.server.execute(f"DROP TABLE IF EXISTS {_TABLES} CASCADE")
    eager.server.execute(_SQL)
    return eager


def _rows(connection: Connection, read: str) -> list[tuple[object, ...]]:
    return connection.execute(read, prepare=False).fetchall()


def _cache(proxied: ProxiedPostgres, connection: Connection, reads: Sequence[str]) -> None:
    """Repeat reads until all of them are hits."""

    def all_hits() -> bool:
        before = proxied.hits()
        for read in reads:
            _rows(connection, read)
        return proxied.hits() - before == len(reads)

    wait_until(all_hits, f"{len(reads)} hits", _SECONDS)


def _compare(connection: Connection, direct: Connection, reads: Sequence[str], change: str) -> None:
    """Wait until the cache says what Postgres says."""
    for read in reads:
        expected = _rows(direct, read)
        wait_until(lambda: _rows(connection, read) == expected, f"{read} behind {change}", _SECONDS)  # noqa: B023


def _compare_hits(
    proxied: ProxiedPostgres, connection: Connection, direct: Connection, reads: Sequence[str], change: str
) -> None:
    """As `_compare`, and that it stays so: what is forwarded for a moment behind DDL is right in any case."""
    _compare(connection, direct, reads, change)
    _cache(proxied, connection, reads)
    assert [_rows(connection, read) for read in reads] == [_rows(direct, read) for read in reads], change


def test_what_is_read_of_a_family_is_what_postgres_says(proxied: ProxiedPostgres) -> None:
    reads = (
        _ALL,
        _ONLY,
        *(f"SELECT name FROM people WHERE id = {number} ORDER BY name" for number in range(1, 9)),
        *(f"SELECT name FROM things WHERE code = '{code}' ORDER BY name" for code in "xyz"),
        "SELECT count(*), max(salary) FROM staff",
        "SELECT name FROM ONLY staff WHERE id = 3",
        "SELECT code, name FROM things ORDER BY code, name",
        "SELECT count(*) FROM ONLY people o JOIN people p USING (id)",
    )
    changes = (
        "UPDATE staff SET name = 's3 again' WHERE id = 3",
        "UPDATE people SET name = name || '!' WHERE id = 3",  # in three children, but for the parent itself
        "UPDATE guests SET id = 8 WHERE room = 'b'",  # its identity does not say which id it had
        "UPDATE guests SET room = 'c' WHERE room = 'a'",
        "UPDATE visits SET id = id + 1",  # no key at all
        "UPDATE badges SET id = 4 WHERE code = 'y'",
        "UPDATE keepers SET code = 'x', id = 1",
        "WITH gone AS (DELETE FROM ONLY people WHERE id = 1 RETURNING *) INSERT INTO staff SELECT * FROM gone",
        "DELETE FROM people WHERE id = 2",
        "INSERT INTO keepers (id, name, code) VALUES (2, 'k2', 'z')",
        "TRUNCATE ONLY people",
        "TRUNCATE guests",
        "TRUNCATE staff",  # and what is below it
        "INSERT INTO people VALUES (3, 'p3'); INSERT INTO guests VALUES ('d', 'g3', 3)",
        "ALTER TABLE guests NO INHERIT people",
        "UPDATE guests SET name = 'on their own'; INSERT INTO guests VALUES ('e', 'g1', 1)",
        "ALTER TABLE guests INHERIT people",
        "UPDATE guests SET name = 'children again', id = id + 1",
        "CREATE TABLE late (more text, PRIMARY KEY (id)) INHERITS (staff); INSERT INTO late VALUES (1, 'l1')",
        "UPDATE late SET id = 2, name = 'l2'",
        "DROP TABLE late",
        "ALTER TABLE badges NO INHERIT people",  # keepers are people by their other parent
        "UPDATE badges SET id = id + 1; INSERT INTO keepers (id, name, code) VALUES (8, 'k8', 'y')",
        "TRUNCATE people",
    )
    with proxied.connect() as connection, proxied.server.connect() as direct:
        _cache(proxied, connection, reads)
        for change in changes:
            direct.execute(change)
            _compare_hits(proxied, connection, direct, reads, change)


def test_a_change_of_a_child_evicts_the_rows_that_it_names_and_no_others(proxied: ProxiedPostgres) -> None:
    changed, others = (f"SELECT name FROM people WHERE id = {number} ORDER BY name" for number in (3, 2))
    with proxied.connect() as connection, proxied.server.connect() as direct:
        _cache(proxied, connection, (changed, others))
        direct.execute("UPDATE staff SET name = 'another' WHERE id = 3")
        _compare(connection, direct, (changed,), "an update of staff")
        assert proxied.is_hit(lambda: _rows(connection, others))


def test_a_session_reads_what_it_wrote_by_another_name(proxied: ProxiedPostgres) -> None:
    things = "SELECT name FROM things WHERE code = 'z'"
    with proxied.connect() as connection:
        _cache(proxied, connection, (_ALL, _ONLY, things))
        for number in range(10):
            connection.execute(f"UPDATE keepers SET name = 'below {number}'", prepare=False)
            assert _rows(connection, _ALL)[-1] == (7, f"below {number}")
            assert _rows(connection, things) == [(f"below {number}",)]
            connection.execute(f"UPDATE people SET name = 'above {number}'", prepare=False)
            assert _rows(connection, _ONLY)[0] == (1, f"above {number}")
            assert _rows(connection, things) == [(f"above {number}",)]
            _cache(proxied, connection, (_ALL, _ONLY, things))


@pytest.mark.parametrize(
    "child",
    [
        "CREATE UNLOGGED TABLE loose (PRIMARY KEY (id)) INHERITS ({})",
        "CREATE TABLE loose () INHERITS ({})",
        "CREATE TEMPORARY TABLE loose (PRIMARY KEY (id)) INHERITS ({})",
        "CREATE FOREIGN TABLE loose () INHERITS ({}) SERVER nowhere",
    ],
)
def test_a_child_that_is_not_followed_keeps_what_reads_it_out_of_the_cache(
    proxied: ProxiedPostgres, child: str
) -> None:
    proxied.server.execute("DROP FOREIGN DATA WRAPPER IF EXISTS none CASCADE; CREATE FOREIGN DATA WRAPPER none")
    proxied.server.execute("CREATE SERVER nowhere FOREIGN DATA WRAPPER none")
    with proxied.connect() as connection, proxied.server.connect() as owner:

        def is_refused() -> bool:
            before = proxied.forwarded("child_not_followed")
            with suppress(psycopg.Error):  # the foreign table's server is nowhere
                _rows(connection, _ALL)
            return proxied.forwarded("child_not_followed") > before

        _cache(proxied, connection, (_ALL, _ONLY))
        owner.execute(child.format("staff"))
        wait_until(is_refused, "the whole to be forwarded", _SECONDS)
        _cache(proxied, connection, (_ONLY, "SELECT count(*) FROM ONLY staff", "SELECT count(*) FROM guests"))
        if "FOREIGN" not in child:
            owner.execute("INSERT INTO loose (id, name) VALUES (0, 'not in the stream')")
            expected = [] if "TEMPORARY" in child else [(0, "not in the stream")]  # those are the session's own
            assert _rows(connection, _ALL)[: len(expected)] == expected
        owner.execute("UPDATE ONLY people SET name = 'by itself' WHERE id = 1")
        _compare(connection, owner, (_ONLY,), "an update of ONLY people")
        owner.execute("DROP FOREIGN TABLE loose" if "FOREIGN" in child else "DROP TABLE loose")
        _cache(proxied, connection, (_ALL, _ONLY))


def test_a_child_is_followed_once_those_have_ended_who_wrote_to_it_before_it_was_published(
    proxied: ProxiedPostgres,
) -> None:
    """H11."""
    published = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'late'"
    with proxied.connect() as connection, proxied.server.connect() as direct, proxied.server.connect() as writer:
        _cache(proxied, connection, (_ALL, _ONLY))
        direct.execute("CREATE TABLE late (PRIMARY KEY (id)) INHERITS (guests)")
        with writer.transaction():
            writer.execute("INSERT INTO late (id, name, room) VALUES (0, 'written early', 'l')")
            wait_until(lambda: direct.execute(published).fetchone() == (1,), "it to be published", _SECONDS)
            for _ in range(20):
                assert not proxied.is_hit(lambda: _rows(connection, _ALL))
        _compare_hits(proxied, connection, direct, (_ALL, _ONLY), "the end of the early writer")
        assert _rows(connection, _ALL)[0] == (0, "written early")


def _wait_for_looks_at_the_catalog(direct: Connection) -> None:
    """Wait until the proxy has run several statements on the catalog: there are four to a look that finds no change."""
    seen: set[object] = set()

    def have_begun() -> bool:
        (begun,) = direct.execute(_CATALOG_QUERY).fetchall()
        seen.add(begun)
        return len(seen) > 10

    wait_until(have_begun, "looks at the catalog", _SECONDS)


@pytest.mark.parametrize("eager", [NEWEST], indirect=True)  # from 17 on
def test_what_a_part_alone_is_redefined_to_is_seen_in_the_whole(eager: ProxiedPostgres) -> None:
    """H28: the rows are written anew, and no change of them comes."""
    twice = "id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED"
    eager.server.execute(
        f"DROP TABLE IF EXISTS whole, split CASCADE; CREATE TABLE whole ({twice});"
        "CREATE TABLE whole_part (PRIMARY KEY (id)) INHERITS (whole); INSERT INTO whole_part VALUES (1);"
        f"CREATE TABLE split ({twice}) PARTITION BY RANGE (id);"
        "CREATE TABLE split_part PARTITION OF split FOR VALUES FROM (0) TO (9); INSERT INTO split VALUES (1)"
    )
    reads = ("SELECT * FROM whole", "SELECT * FROM split")
    with eager.connect() as connection, eager.server.connect() as direct:
        _cache(eager, connection, reads)
        _wait_for_looks_at_the_catalog(direct)  # what was kept since the last one would be dropped in any case
        assert all(eager.is_hit(lambda read=read: _rows(connection, read)) for read in reads)  # type: ignore[misc]
        for part in ("whole_part", "split_part"):
            direct.execute(f"ALTER TABLE {part} ALTER COLUMN twice SET EXPRESSION AS (id * 3)")
        _compare_hits(eager, connection, direct, reads, "another expression")
        assert _rows(connection, reads[0]) == [(1, 3)]


@pytest.mark.parametrize("eager", [OLDEST], indirect=True)  # up to 15
def test_a_column_that_is_generated_in_a_child_alone_is_not_told_of(eager: ProxiedPostgres) -> None:
    eager.server.execute(
        "DROP TABLE IF EXISTS plain CASCADE; CREATE TABLE plain (id int PRIMARY KEY, a int, b int, c int);"
        "CREATE TABLE computed (b int GENERATED ALWAYS AS (a * 2) STORED) INHERITS (plain);"
        "ALTER TABLE plain REPLICA IDENTITY FULL; ALTER TABLE computed REPLICA IDENTITY FULL;"
        "INSERT INTO computed (id, a) VALUES (1, 1)"
    )
    reads = ("SELECT b FROM plain", "SELECT id FROM plain WHERE b = 2", "SELECT id FROM plain WHERE b = 4")
    with eager.connect() as connection, eager.server.connect() as direct:
        _cache(eager, connection, reads)
        direct.execute("UPDATE computed SET a = 2")
        _compare_hits(eager, connection, direct, reads, "an update that says nothing of b")


def test_children_that_come_and_go_under_load_leave_nothing_stale(proxied: ProxiedPostgres) -> None:
    reads = (_ALL, _ONLY, *(f"SELECT name FROM people WHERE id = {number} ORDER BY name" for number in range(1, 6)))

    def write(table: str) -> None:
        with proxied.server.connect() as writer:
            for number in range(_WRITES):
                with suppress(psycopg.errors.UndefinedTable):  # not yet, or not any more
                    writer.execute(f"UPDATE {table} SET name = '{table} {number}' WHERE id = {1 + number % 5}")

    def read() -> None:
        with proxied.connect() as connection:
            for number in range(_WRITES):
                _rows(connection, reads[number % len(reads)])

    with proxied.connect() as connection, proxied.server.connect() as direct, ThreadPoolExecutor(4) as threads:
        _cache(proxied, connection, reads)
        under_way = [threads.submit(write, table) for table in ("people", "late", "guests")] + [threads.submit(read)]
        direct.execute("CREATE TABLE late (PRIMARY KEY (id)) INHERITS (guests)")
        direct.execute("INSERT INTO late (id, name, room) SELECT n, 'new', n::text FROM generate_series(1, 5) n")
        direct.execute("ALTER TABLE late NO INHERIT guests; ALTER TABLE late INHERIT people")
        proxied.wait_cached(lambda: _rows(connection, _ONLY))
        direct.execute("ALTER TABLE guests NO INHERIT people; ALTER TABLE guests INHERIT people")
        for done in under_way:
            done.result()
        _compare_hits(proxied, connection, direct, reads, "the load")


def test_random_histories_of_a_family_leave_nothing_stale(proxied: ProxiedPostgres) -> None:
    """Any table may be below any other that was made before it, in several ways, with any identity."""
    history = History(seed=int(proxied.server.version))
    reads = [
        *(f"SELECT id, v FROM {only} {table} ORDER BY id, v" for table in TABLES for only in ("", "ONLY")),
        *(f"SELECT v FROM {table} WHERE id = {key} ORDER BY v" for table in TABLES for key in KEYS),
        *(f"SELECT id FROM {table} WHERE v = {table[1]} ORDER BY id" for table in TABLES),
        "SELECT count(*) FROM t1 JOIN t0 USING (id) WHERE t1.v IN (2, 3)",
    ]
    proxied.server.execute(f"DROP TABLE IF EXISTS {', '.join(TABLES)} CASCADE; DROP SEQUENCE IF EXISTS keys")
    proxied.server.execute(history.schema())
    before, count = proxied.hits(), 0
    with proxied.connect() as connection, proxied.server.connect() as direct:
        _cache(proxied, connection, reads)
        for change in history.changes(_CHANGES):
            with suppress(psycopg.errors.UniqueViolation):
                (connection if change.own else direct).execute(change.sql, prepare=False)
            if change.own:  # a session reads its own writes at once
                seen = [_rows(connection, read) for read in reads]
                assert seen == [_rows(direct, read) for read in reads], change
            if "ALTER" in change.sql:
                _compare_hits(proxied, connection, direct, reads, change.sql)
            else:
                _compare(connection, direct, reads, change.sql)
            count += 1
        _compare_hits(proxied, connection, direct, reads, "all of it")
    assert proxied.hits() - before > count * len(reads) / 3
