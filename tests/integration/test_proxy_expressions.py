"""Expressions whose answers rest on the session or on the catalog: as Postgres gives them, to each session its own.

Casts of dates and times, calls by a type's name, functions that give rows, rows as values, text search, and joins that
have a name: each is cached, told apart by the settings that it depends on, and evicted by a change of any column that
it looks at.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.integration.proxied_postgres import Connection, ProxiedPostgres
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE visits (
    id int PRIMARY KEY, at timestamptz, till timestamptz, day date, said text, words text[], doc jsonb, took interval,
    price money, body bytea
);
ALTER TABLE visits REPLICA IDENTITY FULL;
INSERT INTO visits VALUES
    (1, '2024-05-01 22:30+00', '2024-05-03 03:10+00', '2024-05-01', 'the cats are running', '{b,a}', '{"k": [1, 2]}',
     '1 day 02:03:04', 12.5, '\\x00ff'),
    (2, '2024-05-02 01:00+00', NULL, '2024-05-02', 'a dog', '{}', '{"k": []}', '-3 hours', 7, '\\x01'),
    (3, '2024-04-01', '2024-04-02', '2024-04-01', '', '{}', NULL, '0', 0, '');
CREATE TABLE sold (id int, price int, PRIMARY KEY (id, price)) PARTITION BY RANGE (price);
CREATE TABLE sold_cheap PARTITION OF sold FOR VALUES FROM (0) TO (100);
CREATE TABLE sold_dear PARTITION OF sold FOR VALUES FROM (100) TO (1000);
INSERT INTO sold VALUES (1, 50), (2, 500);
CREATE TEXT SEARCH CONFIGURATION spoken (COPY = english);
"""
# Each with the columns of `visits` on which it depends.
_READS = {
    "SELECT (at AT TIME ZONE 'UTC')::date, at::date, date(at), (at + took)::time FROM visits ORDER BY id": "at took",
    "SELECT max(at)::date, coalesce(max(till), max(at))::timestamp, age(max(till), min(at)) FROM visits": "at till",
    "SELECT date_trunc('day', at)::date, count(*) FROM visits GROUP BY 1 ORDER BY 1": "at",
    "SELECT text(at), text(took), text(price), int4(id) FROM visits ORDER BY id": "at took price",
    "SELECT tstzrange(at, till), tsrange(day, day + 1), day::timestamptz FROM visits ORDER BY id": "at till day",
    "SELECT g, g::date FROM visits, generate_series(at, till, '1 day') g ORDER BY 1": "at till",
    "SELECT id, generate_series(day, day + 2, interval '1 day')::timestamptz FROM visits ORDER BY 1, 2": "day",
    "SELECT v.id, w.word, w.n FROM visits v, unnest(v.words) WITH ORDINALITY AS w(word, n) ORDER BY 1, 3": "words",
    "SELECT id, unnest(words) FROM visits ORDER BY 1, 2": "words",
    "SELECT v.id, e.value FROM visits v CROSS JOIN LATERAL jsonb_array_elements(v.doc -> 'k') e ORDER BY 1, 2": "doc",
    "SELECT v.id, r.k FROM visits v, jsonb_to_record(v.doc) AS r(k text) ORDER BY 1": "doc",
    "SELECT row_to_json(v), v::text FROM visits v ORDER BY id": "at till day said words doc took price body",
    "SELECT visits FROM visits WHERE id = 1": "at till day said words doc took price body",
    "SELECT to_jsonb(v.*) - 'id', count(v.*) FROM visits v GROUP BY v ORDER BY min(id)": "at till day said words doc",
    "SELECT (SELECT json_agg(v ORDER BY v.id) FROM visits v)": "at till day said words doc took price body",
    "SELECT to_tsvector(said), said @@ 'run', said @@ to_tsquery('cat') FROM visits ORDER BY id": "said",
    "SELECT to_tsvector('simple', said) @@ plainto_tsquery('simple'::regconfig, 'cats') FROM visits ORDER BY 1": "said",
    "SELECT ts_headline(said, websearch_to_tsquery('running')) FROM visits ORDER BY id": "said",
    "SELECT j.a, j.words FROM (visits v JOIN sold s ON s.id = v.id) AS j (i, t, u, d, a) ORDER BY 1": "said words",
    "SELECT j.k FROM (visits v CROSS JOIN sold s) AS j (i, a, t, d, w, o, c, l, k) ORDER BY 1": "price",
}
_SESSIONS = (  # each differs from the first in one setting
    "",
    "-c TimeZone=Asia/Tokyo",
    "-c DateStyle=German",
    "-c IntervalStyle=iso_8601",
    "-c default_text_search_config=simple",
    "-c bytea_output=escape",
)
_CHANGES = {
    "at": "at = '2024-05-01 23:59+00'",
    "till": "till = '2024-05-04 12:00+00'",
    "day": "day = '2024-06-01'",
    "said": "said = 'some cats have run'",
    "words": "words = '{z,y,x}'",
    "doc": """doc = '{"k": [3]}'""",
    "took": "took = '4 days'",
    "price": "price = 99.9",
    "body": "body = '\\x0203'",
}


@pytest.fixture(scope="module")
def visits(cached: ProxiedPostgres) -> Iterator[ProxiedPostgres]:
    cached.server.execute(_SQL)
    yield cached
    cached.server.execute("DROP TABLE visits, sold; DROP TEXT SEARCH CONFIGURATION spoken")


def _connect(visits: ProxiedPostgres, options: str) -> Connection:
    """Connect around the proxy."""
    return psycopg.connect(visits.direct_url, autocommit=True, options=options)


def _rows(connection: Connection, read: str) -> list[tuple[str | None, ...]]:
    """Return the rows as texts: what differs between sessions is how values are written."""
    cursor = connection.execute(read, prepare=False)
    result = cursor.pgresult
    assert result is not None
    values = ((result.get_value(row, column) for column in range(result.nfields)) for row in range(result.ntuples))
    return [tuple(None if value is None else value.decode() for value in row) for row in values]


def test_each_session_gets_its_own_answer_and_every_change_is_seen(visits: ProxiedPostgres) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(visits.connect(options=options)) for options in _SESSIONS]
        direct = [stack.enter_context(_connect(visits, options)) for options in _SESSIONS]

        def alike(read: str) -> bool:
            return [_rows(one, read) for one in clients] == [_rows(one, read) for one in direct]

        def cache(read: str) -> None:
            def all_hits() -> bool:
                before = visits.hits()
                for client in clients:
                    _rows(client, read)
                return visits.hits() - before == len(clients)

            wait_until(all_hits, f"hits of {read}")
            assert alike(read)

        for read in _READS:
            cache(read)
        for column, change in _CHANGES.items():
            visits.server.execute(f"UPDATE visits SET {change} WHERE id = 1")
            for read, columns in _READS.items():
                wait_until(lambda: alike(read), f"the change of {column} in {read}")  # noqa: B023
                if column in columns.split():
                    cache(read)


def test_what_the_sessions_differ_in_is_in_the_answers(visits: ProxiedPostgres) -> None:
    """Else the test above would prove nothing of the key."""
    with ExitStack() as stack:
        direct = [stack.enter_context(_connect(visits, options)) for options in _SESSIONS]
        answers = [[_rows(one, read) for read in _READS] for one in direct]
    for number, answer in enumerate(answers):
        for other in answers[:number]:
            assert answer != other


@pytest.mark.parametrize(
    ("read", "before", "after"),
    [
        ("SELECT id FROM visits WHERE at < '2024-05-02'::timestamptz", "TimeZone = UTC", "TimeZone = PST8PDT"),
        ("SELECT id, '03/02/2024'::date - day FROM visits ORDER BY id", "DateStyle = MDY", "DateStyle = DMY"),
        ("SELECT id FROM visits WHERE NULL = doc", "transform_null_equals = off", "transform_null_equals = on"),
    ],
)
def test_a_prepared_statement_keeps_what_its_literals_meant(
    visits: ProxiedPostgres, read: str, before: str, after: str
) -> None:
    """Postgres reads them once, at Parse; what is parsed under the new settings has an answer of its own."""
    with ExitStack() as stack:
        client, other = (stack.enter_context(visits.connect()) for _ in range(2))
        direct, new = (stack.enter_context(_connect(visits, "")) for _ in range(2))
        visits.wait_cached(lambda: other.execute(read, prepare=False))  # so that all is known when it is prepared
        for connection in (client, direct):
            connection.execute(f"SET {before}")
            connection.execute(read, prepare=True)
        visits.wait_cached(lambda: client.execute(read, prepare=True))
        for connection in (client, direct, other, new):
            connection.execute(f"SET {after}")
        kept, anew = direct.execute(read, prepare=True).fetchall(), new.execute(read, prepare=False).fetchall()
        assert kept != anew
        for _ in range(3):  # whoever fills the cache first
            assert client.execute(read, prepare=True).fetchall() == kept
            assert other.execute(read, prepare=False).fetchall() == anew
        visits.wait_cached(lambda: other.execute(read, prepare=False))
        assert client.execute(read, prepare=True).fetchall() == kept


def test_a_prepared_statement_keeps_the_configuration_that_it_named(visits: ProxiedPostgres) -> None:
    read = "SELECT to_tsvector('heard', said) FROM visits WHERE id = 2"
    visits.server.execute("CREATE TEXT SEARCH CONFIGURATION heard (COPY = english)")
    visits.server.execute("CREATE TEXT SEARCH CONFIGURATION seen (COPY = simple)")
    with visits.connect() as client, visits.connect() as other:
        visits.wait_cached(lambda: other.execute(read, prepare=False))
        kept = client.execute(read, prepare=True).fetchall()
        visits.server.execute("ALTER TEXT SEARCH CONFIGURATION heard RENAME TO gone")
        visits.server.execute("ALTER TEXT SEARCH CONFIGURATION seen RENAME TO heard")
        anew = visits.server.execute(read)
        assert kept != anew
        wait_until(lambda: other.execute(read, prepare=False).fetchall() == anew, "the other configuration")
        visits.wait_cached(lambda: other.execute(read, prepare=False))
        assert client.execute(read, prepare=True).fetchall() == kept
    visits.server.execute("DROP TEXT SEARCH CONFIGURATION heard; DROP TEXT SEARCH CONFIGURATION gone")


def test_a_row_that_moves_to_another_partition_has_another_tableoid(visits: ProxiedPostgres) -> None:
    read = "SELECT s.tableoid FROM sold s WHERE s.id = 1"
    with visits.connect() as client:
        visits.wait_cached(lambda: _rows(client, read), read)
        (before,) = _rows(client, read)
        visits.server.execute("UPDATE sold SET price = 200 WHERE id = 1")
        after = visits.server.execute("SELECT 'sold_dear'::regclass::oid::text")
        wait_until(lambda: _rows(client, read) == after, "the other partition")
        assert [before] != after


def test_a_changed_text_search_configuration_changes_the_answers(visits: ProxiedPostgres) -> None:
    reads = (
        "SELECT to_tsvector('spoken', said) FROM visits WHERE id = 2",
        "SELECT said @@ 'dogs' FROM visits WHERE id = 2",
    )
    options = "-c default_text_search_config=public.spoken"
    with visits.connect(options=options) as client, _connect(visits, options) as direct:
        for read in reads:
            visits.wait_cached(lambda: _rows(client, read), read)  # noqa: B023
            assert _rows(client, read) == _rows(direct, read)
        before = [_rows(direct, read) for read in reads]
        visits.server.execute("ALTER TEXT SEARCH CONFIGURATION spoken ALTER MAPPING FOR asciiword WITH simple")
        after = [_rows(direct, read) for read in reads]
        assert all(one != other for one, other in zip(before, after, strict=True))
        wait_until(lambda: [_rows(client, read) for read in reads] == after, "the new configuration")


def test_text_search_with_code_of_the_database_is_forwarded(visits: ProxiedPostgres) -> None:
    read = "SELECT said FROM visits WHERE said @@ 'dog'"
    with visits.connect() as client:
        visits.server.execute("CREATE TEXT SEARCH TEMPLATE own (LEXIZE = dsimple_lexize)")
        try:

            def forwarded() -> bool:
                before = visits.forwarded("text_search")
                _rows(client, read)
                return visits.forwarded("text_search") > before

            wait_until(forwarded, "text_search")
        finally:
            visits.server.execute("DROP TEXT SEARCH TEMPLATE own")


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("relative_time_input", "SELECT said::date FROM visits"),
        ("relative_time_input", "SELECT date(said) FROM visits"),
        ("relative_time_input", "SELECT (doc ->> 'day')::timestamptz FROM visits"),
        ("relative_time_input", "SELECT r.d FROM visits, jsonb_to_record(doc) AS r(d date)"),
        ("unknown_column", "SELECT w.date FROM visits, unnest(words) w"),
        ("unknown_column", "SELECT w.current_setting FROM visits, unnest(words) w"),
    ],
)
def test_what_may_read_a_text_of_a_table_as_a_moment_is_forwarded(
    visits: ProxiedPostgres, reason: str, read: str
) -> None:
    with visits.connect() as client:
        before = visits.forwarded(reason)
        client.execute(f"{read} WHERE id = 0", prepare=False)
        assert visits.forwarded(reason) - before == 1
