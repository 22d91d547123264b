"""Names of prepared statements that SQL may have removed, or given another meaning."""

import pytest

from tests.integration.proxied_postgres import ProxiedPostgres

_ODD_NAME = "nam\u00e9 \\\" '\n\x01".encode()
_CALLABLE = r"""
CREATE OR REPLACE PROCEDURE does_nothing() LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE FUNCTION renames(name text, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'DEALLOCATE ' || name;
    EXECUTE 'PREPARE ' || name || ' AS ' || statement;
END $$;
"""


@pytest.fixture(scope="module")
def proxied(cached: ProxiedPostgres) -> ProxiedPostgres:
    """A stack before a database with something to call."""
    cached.server.execute(_CALLABLE)
    return cached


@pytest.mark.parametrize(
    "statement",
    [
        "DEALLOCATE other",
        "PREPARE made_by_sql AS SELECT 1",
        "DO $$ BEGIN PERFORM 1; END $$",
        "CALL does_nothing()",
        "SELECT renames('other', 'SELECT 2')",
        "BEGIN; DO $$ BEGIN EXECUTE 'DEALLOCATE other'; END $$; ROLLBACK",
    ],
)
def test_the_names_that_are_left_are_hits_again(proxied: ProxiedPostgres, statement: str) -> None:
    with proxied.connect() as connection:
        pq = connection.pgconn
        pq.prepare(_ODD_NAME, b"SELECT name FROM people WHERE id = $1")
        pq.prepare(b"other", b"SELECT 1")
        pq.exec_(statement.encode())

        def run() -> None:
            assert pq.exec_prepared(_ODD_NAME, [b"8"]).get_value(0, 0) == b"person 8"

        proxied.wait_cached(run)


@pytest.mark.parametrize(
    "statement",
    [
        "DEALLOCATE s; PREPARE s AS SELECT 'other'",
        "DO $$ BEGIN EXECUTE 'DEALLOCATE s'; EXECUTE 'PREPARE s AS SELECT ''other'''; END $$",
        "SELECT renames('s', 'SELECT ''other''')",
    ],
)
def test_a_name_to_which_sql_has_given_another_meaning_is_left_to_postgres(
    proxied: ProxiedPostgres, statement: str
) -> None:
    with proxied.connect() as connection:
        pq = connection.pgconn
        pq.prepare(b"s", b"SELECT name FROM people WHERE id = 9")
        proxied.wait_cached(lambda: pq.exec_prepared(b"s", []))
        pq.exec_(statement.encode())
        proxied.wait_cached(lambda: connection.execute("SELECT name FROM people WHERE id = 10", prepare=False))
        for _ in range(3):
            assert pq.exec_prepared(b"s", []).get_value(0, 0) == b"other"
        pq.exec_(b"DEALLOCATE s")
        assert b"does not exist" in pq.exec_prepared(b"s", []).error_message
        pq.prepare(b"s", b"SELECT name FROM people WHERE id = 9")
        proxied.wait_cached(lambda: pq.exec_prepared(b"s", []))
