"""Sessions that differ in what can change an answer never share one; nor does the schema of yesterday answer today."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from tests.integration.proxied_postgres import Connection, ProxiedPostgres
from tests.servers.processes import wait_until

_POLL_SECONDS = 5.0  # of the catalog and of privileges, with what a loaded machine adds

_READ_TIME = "SELECT placed FROM orders WHERE id = 5"


def _text(connection: Connection, sql: str) -> str | None:
    """Run a simple query and return its only value as Postgres wrote it."""
    result = connection.pgconn.exec_(sql.encode())
    value = result.get_value(0, 0)
    assert value is not None or result.ntuples == 0, result.error_message
    return None if value is None else bytes(value).decode("latin-1")


@pytest.mark.parametrize(
    ("sql", "settings"),
    [
        (_READ_TIME, ["TimeZone = 'Asia/Tokyo'", "TimeZone = 'America/Lima'", "DateStyle = 'German, DMY'"]),
        ("SELECT body FROM orders WHERE id = 5", ["bytea_output = escape", "bytea_output = hex"]),
        ("SELECT weight FROM orders WHERE id = 5", ["extra_float_digits = 0", "extra_float_digits = 1"]),
        (
            "SELECT placed - '2026-01-01'::timestamptz FROM orders WHERE id = 5",
            ["IntervalStyle = iso_8601", "IntervalStyle = sql_standard"],
        ),
        ("SELECT name || '\u00e9' FROM people WHERE id = 5", ["client_encoding = LATIN1", "client_encoding = UTF8"]),
    ],
)
def test_settings_that_change_an_answer_keep_sessions_apart(
    cached: ProxiedPostgres, sql: str, settings: list[str]
) -> None:
    with cached.connect() as plain, cached.connect() as changing, cached.server.connect() as direct:
        expected_plain = _text(direct, sql)
        for _ in range(3):
            for setting in settings:
                changing.execute(f"SET {setting}")
                direct.execute(f"SET {setting}")
                for _ in range(3):
                    assert _text(changing, sql) == _text(direct, sql)
                    assert _text(plain, sql) == expected_plain
                name = setting.partition(" ")[0]
                changing.execute(f"RESET {name}")
                direct.execute(f"RESET {name}")


@pytest.mark.parametrize(
    "change",
    [
        "SELECT set_config('TimeZone', 'Asia/Tokyo', false)",
        "DO $$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$",
        "BEGIN; SET TimeZone = 'Asia/Tokyo'; COMMIT",
        "SET SESSION TIME ZONE 'Asia/Tokyo'",
    ],
)
def test_a_setting_counts_however_it_was_set_and_until_it_is_reset(cached: ProxiedPostgres, change: str) -> None:
    with cached.connect() as connection:
        before = _text(connection, _READ_TIME)
        cached.wait_cached(lambda: _text(connection, _READ_TIME))
        connection.execute(change)
        assert _text(connection, _READ_TIME) == "2026-01-01 14:00:00+09"
        cached.wait_cached(lambda: _text(connection, _READ_TIME))
        assert _text(connection, _READ_TIME) == "2026-01-01 14:00:00+09"
        connection.execute("DISCARD ALL")
        assert _text(connection, _READ_TIME) == before


def test_a_setting_of_one_transaction_ends_with_it(cached: ProxiedPostgres) -> None:
    with cached.connect() as connection:
        before = _text(connection, _READ_TIME)
        for end in ("COMMIT", "ROLLBACK"):
            connection.execute("BEGIN")
            connection.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
            assert _text(connection, _READ_TIME) == "2026-01-01 14:00:00+09"
            connection.execute(end)
            assert _text(connection, _READ_TIME) == before


# -- settings of our own, which Postgres keeps


def _is_off(cached: ProxiedPostgres, connection: Connection) -> bool:
    """Tell whether a read is forwarded because the session asked for that."""
    before = cached.forwarded("consistency_off")
    connection.execute("SELECT name FROM people WHERE id = 41")
    return cached.forwarded("consistency_off") > before


def test_a_session_switches_its_cache_off_and_on_like_any_setting(cached: ProxiedPostgres) -> None:
    read = "SELECT name FROM people WHERE id = 41"
    with cached.connect() as connection, cached.connect() as other:
        cached.wait_cached(lambda: connection.execute(read))
        connection.execute("SET tidegate.consistency = 'off'")
        assert _is_off(cached, connection)
        assert connection.execute("SHOW tidegate.consistency").fetchone() == ("off",)
        assert not _is_off(cached, other)
        connection.execute("RESET tidegate.consistency")
        assert not _is_off(cached, connection)

        connection.execute("BEGIN")
        connection.execute("SET LOCAL tidegate.consistency = 'off'")
        connection.execute("COMMIT")
        assert not _is_off(cached, connection)
        connection.execute("BEGIN")
        connection.execute("SET tidegate.consistency = 'off'")
        connection.execute("ROLLBACK")
        assert not _is_off(cached, connection)
        connection.execute("SET tidegate.consistency = 'off'")
        connection.execute("DISCARD ALL")
        assert not _is_off(cached, connection)


def test_a_level_in_the_options_of_the_connection_string(cached: ProxiedPostgres) -> None:
    with cached.connect(options="-c tidegate.consistency=off") as connection:
        assert _is_off(cached, connection)
        connection.execute("SET tidegate.consistency = session")
        assert not _is_off(cached, connection)


def test_a_level_that_there_is_not_is_named(cached: ProxiedPostgres) -> None:
    with cached.connect() as connection:
        connection.execute("SET tidegate.consistency = 'sometimes'")
        before = cached.forwarded("unknown_consistency")
        connection.execute("SELECT name FROM people WHERE id = 41")
        assert cached.forwarded("unknown_consistency") == before + 1


def test_settings_of_the_start_up_packet_count(cached: ProxiedPostgres) -> None:
    with cached.connect() as plain, cached.connect(options="-c TimeZone=Asia/Tokyo") as other:
        for _ in range(5):
            assert _text(plain, _READ_TIME) == "2026-01-01 05:00:00+00"
            assert _text(other, _READ_TIME) == "2026-01-01 14:00:00+09"


def test_the_same_name_in_two_schemas_is_never_mixed(cached: ProxiedPostgres) -> None:
    cached.server.execute(
        "CREATE SCHEMA north; CREATE SCHEMA south; CREATE TABLE north.towns (id int PRIMARY KEY, name text);"
        "CREATE TABLE south.towns (id int PRIMARY KEY, name text); INSERT INTO north.towns VALUES (1, 'north');"
        "INSERT INTO south.towns VALUES (1, 'south')"
    )
    read = "SELECT name FROM towns WHERE id = 1"
    with cached.connect() as connection, cached.connect(options="-c search_path=south") as southern:
        connection.execute("SET search_path = north")
        cached.wait_cached(lambda: connection.execute(read))
        for _ in range(20):
            connection.execute("SET search_path = south")
            assert connection.execute(read).fetchone() == ("south",)
            assert southern.execute(read).fetchone() == ("south",)
            connection.execute("SET search_path = north")
            assert connection.execute(read).fetchone() == ("north",)


def test_a_table_that_comes_before_on_the_search_path_is_read_from_then_on(cached: ProxiedPostgres) -> None:
    cached.server.execute(
        "CREATE SCHEMA before; CREATE TABLE shadowed (id int PRIMARY KEY, v text);"
        "INSERT INTO shadowed VALUES (1, 'old')"
    )
    read = "SELECT v FROM shadowed WHERE id = 1"
    with cached.connect(options="-c search_path=before,public") as connection:

        def reads(value: str) -> bool:
            return connection.execute(read, prepare=False).fetchone() == (value,)

        cached.wait_cached(lambda: reads("old"))
        cached.server.execute("CREATE TABLE before.shadowed AS SELECT 1 AS id, 'new' AS v")
        wait_until(lambda: reads("new"), "the new table", _POLL_SECONDS)


def test_a_temporary_table_hides_the_permanent_one_from_its_session_alone(cached: ProxiedPostgres) -> None:
    read = "SELECT name FROM people WHERE id = 77"
    with cached.connect() as connection, cached.connect() as other:
        cached.wait_cached(lambda: connection.execute(read))
        connection.execute("CREATE TEMP TABLE people AS SELECT 77 AS id, 'temporary' AS name")
        for _ in range(5):
            assert connection.execute(read).fetchone() == ("temporary",)
            assert other.execute(read).fetchone() == ("person 77",)
        connection.execute("DROP TABLE pg_temp.people")
        assert connection.execute(read).fetchone() == ("person 77",)


@pytest.mark.parametrize(
    "path", ["pg_temp", '"pg_temp", public', "nowhere, pg_temp", '"$user", pg_temp', "pg_temp,x", '"a,""b", pg_temp']
)
def test_asking_for_the_state_makes_no_temporary_schema(cached: ProxiedPostgres, path: str) -> None:
    with cached.connect() as connection:
        connection.execute(f"SET search_path TO {path}")
        connection.execute("SELECT 1")
        made = connection.execute("SELECT pg_catalog.pg_my_temp_schema()").fetchone()
        assert made == (0,)


@pytest.mark.parametrize("path", ["public, pg_temp", "public,pg_temp", '"$user", public, pg_temp'])
def test_a_search_path_that_ends_with_the_temporary_schema_is_cached(cached: ProxiedPostgres, path: str) -> None:
    with cached.connect(options=f"-c search_path={path.replace(' ', chr(92) + ' ')}") as connection:
        cached.wait_cached(lambda: connection.execute("SELECT name FROM people WHERE id = 1").fetchone())


def test_a_temporary_table_made_by_a_function_hides_it_too(cached: ProxiedPostgres) -> None:
    read = "SELECT name FROM people WHERE id = 78"
    with cached.connect() as connection:
        cached.wait_cached(lambda: connection.execute(read))
        connection.execute("DO $$ BEGIN CREATE TEMP TABLE people AS SELECT 78 AS id, 'temporary' AS name; END $$")
        assert connection.execute(read).fetchone() == ("temporary",)


@pytest.fixture(scope="module")
def guarded(cached: ProxiedPostgres) -> ProxiedPostgres:
    """A table that the role `reader` may read and the role `stranger` may not."""
    cached.server.execute(
        "CREATE TABLE guarded (id int PRIMARY KEY, v text); INSERT INTO guarded VALUES (1, 'secret');"
        "CREATE ROLE reader LOGIN; CREATE ROLE stranger LOGIN; GRANT SELECT ON guarded TO reader"
    )
    return cached


_READ_GUARDED = "SELECT v FROM guarded WHERE id = 1"


def test_roles_never_share_an_answer(guarded: ProxiedPostgres) -> None:
    with guarded.connect("reader") as reader, guarded.connect("stranger") as stranger:
        guarded.wait_cached(lambda: reader.execute(_READ_GUARDED))
        for _ in range(5):
            with pytest.raises(errors.InsufficientPrivilege):
                stranger.execute(_READ_GUARDED)


@pytest.mark.parametrize("change", ["SET ROLE stranger", "SET SESSION AUTHORIZATION stranger"])
def test_a_session_that_becomes_another_role_has_its_rights_alone(guarded: ProxiedPostgres, change: str) -> None:
    with guarded.connect() as connection:
        guarded.wait_cached(lambda: connection.execute(_READ_GUARDED))
        connection.execute(change)
        for _ in range(3):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(_READ_GUARDED)
        connection.execute("RESET ROLE" if "ROLE" in change else "RESET SESSION AUTHORIZATION")
        assert connection.execute(_READ_GUARDED).fetchone() == ("secret",)


def _refused(connection: Connection, sql: str) -> bool:
    try:
        connection.execute(sql)
    except (errors.InsufficientPrivilege, errors.UndefinedTable):  # a schema that may not be used hides its tables
        return True
    return False


@pytest.mark.parametrize(
    ("revoke", "grant"),
    [
        ("REVOKE SELECT ON guarded FROM reader", "GRANT SELECT ON guarded TO reader"),
        ("REVOKE USAGE ON SCHEMA public FROM public", "GRANT USAGE ON SCHEMA public TO public"),
    ],
)
def test_a_revoked_privilege_ends_within_the_poll(guarded: ProxiedPostgres, revoke: str, grant: str) -> None:
    with guarded.connect("reader") as reader:
        guarded.wait_cached(lambda: reader.execute(_READ_GUARDED))
        guarded.server.execute(revoke)
        try:
            wait_until(lambda: _refused(reader, _READ_GUARDED), "the refusal", _POLL_SECONDS)
            for _ in range(5):
                assert _refused(reader, _READ_GUARDED)
        finally:
            guarded.server.execute(grant)
        wait_until(lambda: not _refused(reader, _READ_GUARDED), "the grant", _POLL_SECONDS)


def test_a_membership_that_ends_takes_its_rights_along(guarded: ProxiedPostgres) -> None:
    guarded.server.execute("CREATE ROLE member LOGIN IN ROLE reader")
    with guarded.connect("member") as member:
        guarded.wait_cached(lambda: member.execute(_READ_GUARDED))
        guarded.server.execute("REVOKE reader FROM member")
        wait_until(lambda: _refused(member, _READ_GUARDED), "the refusal", _POLL_SECONDS)


def test_row_security_that_is_switched_on_is_obeyed_within_the_poll(guarded: ProxiedPostgres) -> None:
    with guarded.connect("reader") as reader:
        guarded.wait_cached(lambda: reader.execute(_READ_GUARDED))
        guarded.server.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY")
        wait_until(lambda: reader.execute(_READ_GUARDED).fetchall() == [], "the policy", _POLL_SECONDS)
        guarded.server.execute("ALTER TABLE guarded DISABLE ROW LEVEL SECURITY")
        wait_until(lambda: reader.execute(_READ_GUARDED).fetchall() != [], "its end", _POLL_SECONDS)


_SHAPED = "CREATE TABLE shaped (id int PRIMARY KEY, v text); INSERT INTO shaped VALUES (1, 'a')"
_READ_SHAPED = "SELECT * FROM shaped ORDER BY id"

_CHANGES: dict[str, tuple[str, object]] = {
    "a column more": ("ALTER TABLE shaped ADD COLUMN w int DEFAULT 7", [(1, "a", 7)]),
    "a column less": ("ALTER TABLE shaped DROP COLUMN v", [(1,)]),
    "another type": ("ALTER TABLE shaped ALTER COLUMN v TYPE int USING 42", [(1, 42)]),
    "made anew": (
        "DROP TABLE shaped; CREATE TABLE shaped (id int PRIMARY KEY, v text); INSERT INTO shaped VALUES (1, 'b')",
        [(1, "b")],
    ),
    "renamed": (
        "ALTER TABLE shaped RENAME TO gone; CREATE TABLE shaped (id int PRIMARY KEY); DROP TABLE gone",
        [],
    ),
}


def _fresh_shape(cached: ProxiedPostgres, run: Callable[[], object]) -> None:
    cached.server.execute("DROP TABLE IF EXISTS shaped")
    cached.server.execute(_SHAPED)
    cached.wait_cached(run)


@pytest.mark.parametrize("name", _CHANGES)
def test_own_ddl_counts_at_once(cached: ProxiedPostgres, name: str) -> None:
    change, expected = _CHANGES[name]
    with cached.connect() as connection:
        _fresh_shape(cached, lambda: connection.execute(_READ_SHAPED, prepare=False))
        connection.execute(change)
        for _ in range(5):
            assert connection.execute(_READ_SHAPED, prepare=False).fetchall() == expected
        cached.wait_cached(lambda: connection.execute(_READ_SHAPED, prepare=False))
        assert connection.execute(_READ_SHAPED, prepare=False).fetchall() == expected


@pytest.mark.parametrize("name", _CHANGES)
def test_ddl_made_directly_counts_within_the_poll(cached: ProxiedPostgres, name: str) -> None:
    change, expected = _CHANGES[name]
    with cached.connect() as connection:
        _fresh_shape(cached, lambda: connection.execute(_READ_SHAPED, prepare=False))
        cached.server.execute(change)

        def seen() -> bool:
            return connection.execute(_READ_SHAPED, prepare=False).fetchall() == expected

        wait_until(seen, "the change", _POLL_SECONDS)
        cached.wait_cached(lambda: connection.execute(_READ_SHAPED, prepare=False))
        assert seen()


def test_a_dropped_table_is_an_error_and_not_an_answer(cached: ProxiedPostgres) -> None:
    cached.server.execute("CREATE TABLE doomed (id int PRIMARY KEY); INSERT INTO doomed VALUES (1)")
    read = "SELECT id FROM doomed WHERE id = 1"
    with cached.connect() as connection, cached.connect() as other:
        cached.wait_cached(lambda: connection.execute(read, prepare=False))
        connection.execute("DROP TABLE doomed")
        with pytest.raises(errors.UndefinedTable):
            connection.execute(read, prepare=False)

        def refused() -> bool:
            try:
                other.execute(read, prepare=False)
            except errors.UndefinedTable:
                return True
            return False

        wait_until(refused, "the error for others", _POLL_SECONDS)


def test_the_same_name_means_another_statement_in_another_session(cached: ProxiedPostgres) -> None:
    statements = {
        "age": ("SELECT age FROM people WHERE id = $1", b"25"),
        "name": ("SELECT name FROM people WHERE id = $1", b"person 5"),
    }
    sessions = {name: psycopg.connect(cached.url(), autocommit=True) for name in statements}
    try:
        for name, (sql, _) in statements.items():
            sessions[name].pgconn.prepare(b"S_1", sql.encode())
        for _ in range(10):
            for name, (_, expected) in statements.items():
                assert sessions[name].pgconn.exec_prepared(b"S_1", [b"5"]).get_value(0, 0) == expected
    finally:
        for session in sessions.values():
            session.close()


def test_a_name_that_is_prepared_again_means_the_new_statement(cached: ProxiedPostgres) -> None:
    with cached.connect() as connection:
        pq = connection.pgconn
        for _ in range(5):
            for column, expected in (("age", b"26"), ("name", b"person 6")):
                pq.prepare(b"again", f"SELECT {column} FROM people WHERE id = $1".encode())
                for _ in range(3):
                    assert pq.exec_prepared(b"again", [b"6"]).get_value(0, 0) == expected
                connection.execute("DEALLOCATE again")


def test_the_same_text_with_other_parameter_types_is_another_statement(cached: ProxiedPostgres) -> None:
    text_oid, int_oid = 25, 23
    sql = b"SELECT count(*) FROM people WHERE $1 = '07'"
    with cached.connect() as connection:
        for _ in range(5):
            as_text = connection.pgconn.exec_params(sql, [b"7"], [text_oid])
            as_number = connection.pgconn.exec_params(sql, [b"7"], [int_oid])
            assert (as_text.get_value(0, 0), as_number.get_value(0, 0)) == (b"0", b"1000")


def test_a_statement_that_was_prepared_before_a_name_changed_keeps_its_meaning_to_itself(
    cached: ProxiedPostgres,
) -> None:
    """Postgres does not look a name up again when a table of that name appears earlier on the search path."""
    cached.server.execute(
        "CREATE SCHEMA earlier; CREATE TABLE kept (id int PRIMARY KEY, v text); INSERT INTO kept VALUES (1, 'old')"
    )
    read = "SELECT v FROM kept WHERE id = 1"
    options = "-c search_path=earlier,public"
    with cached.connect(options=options) as prepared, cached.connect(options=options) as other:
        cached.wait_cached(lambda: other.execute(read, prepare=False))  # the proxy knows the table from here on
        pq = prepared.pgconn
        pq.prepare(b"kept", read.encode())

        def run() -> bytes | None:
            return pq.exec_prepared(b"kept", []).get_value(0, 0)

        cached.wait_cached(run)
        cached.server.execute("CREATE TABLE earlier.kept (id int PRIMARY KEY, v text)")
        cached.server.execute("INSERT INTO earlier.kept VALUES (1, 'new')")

        def seen_by_other() -> bool:
            assert run() == b"old"
            return other.execute(read, prepare=False).fetchone() == ("new",)

        wait_until(seen_by_other, "the new table", _POLL_SECONDS)
        cached.wait_cached(lambda: other.execute("SELECT v FROM earlier.kept WHERE id = 1", prepare=False))
        for _ in range(10):
            assert run() == b"old"
            assert other.execute(read, prepare=False).fetchone() == ("new",)
        cached.server.execute("UPDATE public.kept SET v = 'newer'")
        wait_until(lambda: run() == b"newer", "the change of the old table")


@pytest.mark.parametrize(
    "before",
    [
        "DO $$ BEGIN END $$",
        "BEGIN; SELECT now(); COMMIT",
        "DROP TABLE IF EXISTS besides; CREATE TABLE besides (id int)",
    ],
)
def test_a_statement_that_was_prepared_behind_what_may_have_been_ddl_is_a_hit(
    cached: ProxiedPostgres, before: str
) -> None:
    """What its names meant is known once the catalog has been read again."""
    with cached.connect() as connection:
        pq = connection.pgconn
        for _ in range(3):
            assert pq.exec_(before.encode()).error_message == b""
            pq.prepare(b"behind", b"SELECT name FROM people WHERE id = 7")  # before the catalog is read again
            cached.wait_cached(lambda: pq.exec_prepared(b"behind", []))
            connection.execute("DEALLOCATE behind")


def test_a_statement_that_was_prepared_behind_own_ddl_keeps_its_meaning(cached: ProxiedPostgres) -> None:
    """The catalog of before said that it means another table, which it does again later: only not to this statement."""
    cached.server.execute(
        "CREATE SCHEMA hiding; CREATE TABLE shown (id int PRIMARY KEY, v text); INSERT INTO shown VALUES (1, 'shown');"
        "CREATE TABLE hiding.shown (id int PRIMARY KEY, v text); INSERT INTO hiding.shown VALUES (1, 'hidden')"
    )
    read = "SELECT v FROM shown WHERE id = 1"
    with cached.connect(options="-c search_path=hiding,public") as connection:
        cached.wait_cached(lambda: connection.execute(read, prepare=False))
        connection.execute("ALTER TABLE hiding.shown RENAME TO away")
        connection.pgconn.prepare(b"kept", read.encode())
        connection.execute("ALTER TABLE hiding.away RENAME TO shown")
        cached.wait_cached(lambda: connection.execute(read, prepare=False))
        for _ in range(10):
            assert connection.execute(read, prepare=False).fetchone() == ("hidden",)
            assert connection.pgconn.exec_prepared(b"kept", []).get_value(0, 0) == b"shown"
