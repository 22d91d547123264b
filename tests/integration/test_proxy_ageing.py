"""Answers that age: hits within their time, never one beyond it, however they got here; rows evict them at once."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import psycopg
import pytest
import redis

from services.proxy.cache.entry import decode_ageing, encode_ageing
from services.shared.pgwire.frontend import Bind, Execute, Flush, FrontendMessage, Parse, Query, Sync
from tests.integration.proxied_postgres import Connection, ProxiedPostgres, proxied_postgres
from tests.integration.proxy_workers import on_worker
from tests.integration.wire_client import WireClient, rows
from tests.servers.processes import wait_until

_SHORT_SECONDS = 0.3
_OBSERVED_SECONDS = 2.5 * _SHORT_SECONDS
_ATTEMPTS = 20  # to find an answer in Redis before its time is up, and to have two sessions share a query
_SQL = """
CREATE TABLE people (id int PRIMARY KEY, name text, seen timestamptz);
INSERT INTO people SELECT i, 'person ' || i, '2026-01-01 00:00:00+00' FROM generate_series(1, 100) i;
CREATE MATERIALIZED VIEW totals AS SELECT 1 AS id, count(*) AS n FROM people;
CREATE UNIQUE INDEX ON totals (id);
CREATE VIEW of_totals AS SELECT n FROM totals;
"""
_NOW = "SELECT extract(epoch FROM now()), {} FROM people WHERE id = 1"
_numbers = itertools.count(1_000_001)


@pytest.fixture(scope="module")
def short() -> Iterator[ProxiedPostgres]:
    """Two workers and a short time to live; answers are shared soon."""
    environ = {"TIDEGATE_AGEING_TTL": f"{_SHORT_SECONDS}s", "TIDEGATE_CATALOG_POLL": "50ms"}
    with proxied_postgres(workers=2, sql=_SQL, environ=environ) as started:
        yield started


@pytest.fixture(scope="module")
def lasting() -> Iterator[ProxiedPostgres]:
    """One worker and a time to live that no test sees the end of, unless its statements ask for less."""
    environ = {"TIDEGATE_AGEING_TTL": "10min", "TIDEGATE_CATALOG_POLL": "50ms"}
    with proxied_postgres(sql=_SQL, environ=environ) as started:
        yield started


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _new_statement() -> str:
    """Return a statement that nobody has asked before, and that asks for the time, in Unix seconds."""
    return _NOW.format(next(_numbers))


def _told(client: WireClient, sql: str) -> float:
    (row,) = rows(client.query(sql))
    return float(row[0] or b"")


def _age(client: WireClient, sql: str) -> float:
    """Ask for the time, and tell how old the answer was when it was asked for."""
    asked = time.time()
    return asked - _told(client, sql)


def _ages(client: WireClient, statements: Iterator[str]) -> list[float]:
    end = time.monotonic() + _OBSERVED_SECONDS
    return [_age(client, sql) for sql in itertools.takewhile(lambda _: time.monotonic() < end, statements)]


def _changing(sql: str, comment: str = "") -> Iterator[str]:
    """Give the same statement in other bytes each time: no ready-made reply is found for them."""
    return (f"{sql} /* {number} {comment} */" for number in itertools.count())


@pytest.mark.parametrize("same_bytes", [True, False])
def test_an_answer_is_a_hit_within_its_time_and_never_beyond_it(short: ProxiedPostgres, *, same_bytes: bool) -> None:
    sql = _new_statement()
    with short.wire() as client:
        short.wait_cached(partial(client.query, sql))
        ages = _ages(client, itertools.repeat(sql) if same_bytes else _changing(sql))

    assert _SHORT_SECONDS / 2 < max(ages) < _SHORT_SECONDS
    assert short.stack.counter("tidegate_proxy_hits_ageing_total") > 0


def test_a_copy_through_redis_does_not_begin_a_new_life(short: ProxiedPostgres, cleanup: ExitStack) -> None:
    first, second = (on_worker(short, f"proxy-{index}", cleanup).start() for index in range(2))
    store = cleanup.enter_context(redis.Redis.from_url(short.stack.redis_url))
    for client in (first, second):
        short.wait_cached(partial(client.query, _new_statement()))
    for _ in range(_ATTEMPTS):
        sql = _new_statement()
        copied = short.stack.counter("tidegate_proxy_hits_l2_total")
        told = _told(first, sql)
        wait_until(partial(_stored, store, sql), "the answer in Redis")
        ages = _ages(second, _changing(sql)) if _told(second, sql) == told else []
        if ages:
            assert short.stack.counter("tidegate_proxy_hits_l2_total") > copied
            assert _SHORT_SECONDS / 2 < max(ages) < _SHORT_SECONDS
            return
    pytest.fail("no answer was found in Redis in time")


def test_a_reply_that_others_have_had_ages_by_the_bound_of_the_session(lasting: ProxiedPostgres) -> None:
    sql = _new_statement()
    with lasting.wire() as patient, lasting.wire() as strict:
        strict.query(f"SET tidegate.max_staleness = '{_SHORT_SECONDS}s'")
        lasting.wait_all_cached(partial(patient.query, sql), 3)
        ages = _ages(strict, itertools.repeat(sql))

    assert max(ages) < _SHORT_SECONDS


def _stored(store: "redis.Redis", sql: str) -> bytes | None:
    """Return the key in Redis of the answer to a new statement, which gives its number back."""
    number = sql.partition("), ")[2].partition(" ")[0].encode()
    keys: Any = store.keys("tidegate:{default}:*:e:*")
    return next((bytes(key) for key in keys if number in (store.hget(key, "b") or b"")), None)


def test_an_answer_outlives_the_worker_that_asked_for_it(lasting: ProxiedPostgres, cleanup: ExitStack) -> None:
    store = cleanup.enter_context(redis.Redis.from_url(lasting.stack.redis_url))
    wait_until(partial(_is_ready, lasting), "the worker to serve", 20)
    told: dict[str, float] = {}
    stored: dict[tuple[str, str], bytes] = {}
    with lasting.wire() as client:
        for what in ("as it is", "too old for one", "too old", "not born yet"):
            sql = _new_statement()
            told[sql] = _told(client, sql)
            stored[what, sql] = wait_until(partial(_stored, store, sql), "the answer in Redis")
    for (what, _), key in stored.items():
        if what in _FORGED:
            _make_older(store, key, _FORGED[what])
    _replace_worker(lasting)
    copied = lasting.stack.counter("tidegate_proxy_hits_l2_total")
    with lasting.wire() as client:
        for what, sql in stored:
            asked = f"{sql} /* tidegate_ageing_ttl='1ms' */" if what == "too old for one" else sql
            assert (_told(client, asked) == told[sql]) == (what == "as it is"), what
    assert lasting.stack.counter("tidegate_proxy_hits_l2_total") == copied + 1


_FORGED = {"too old": 600.0, "not born yet": -60.0}


def _make_older(store: "redis.Redis", key: bytes, seconds: float) -> None:
    """Have an answer in Redis say that it was asked for earlier, or will be later."""
    body: Any = store.hget(key, "b")
    answer, sent_at = decode_ageing(body)
    store.hset(key, "b", encode_ageing(answer, sent_at - seconds))


def _replace_worker(proxied: ProxiedPostgres) -> None:
    killed = proxied.stack.processes["proxy-0"]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: proxied.stack.processes["proxy-0"] != killed, "another worker", 20)
    wait_until(partial(_is_ready, proxied), "it to serve", 20)


def _is_ready(proxied: ProxiedPostgres) -> bool:
    """Tell whether something else is a hit: then the worker knows all that it has to."""
    try:
        with proxied.wire() as client:
            return proxied.is_hit(partial(client.query, "SELECT name FROM people WHERE id = 50"))
    except OSError:
        return False


def test_the_time_that_its_query_took_counts(lasting: ProxiedPostgres) -> None:
    sql = f"{_new_statement()} /* tidegate_ageing_ttl='{_SHORT_SECONDS}s' */"
    wait_until(partial(_is_ready, lasting), "the worker to serve", 20)
    with lasting.wire() as client, lasting.server.connect() as lock:
        lock.execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        client.send(Query(sql.encode()))
        begun = wait_until(partial(_running, lasting, sql), "the query to wait")[0]
        wait_until(partial(_is_past, begun + _SHORT_SECONDS / 2), "half of its time to be over")
        lock.execute("COMMIT")
        client.read_until("Z")
        assert max(_ages(client, itertools.repeat(sql))) < _SHORT_SECONDS


def test_a_query_under_way_is_shared_only_while_it_is_young(lasting: ProxiedPostgres, cleanup: ExitStack) -> None:
    young, seconds = f"{{}} /* tidegate_ageing_ttl='{_SHORT_SECONDS}s' */", _SHORT_SECONDS
    wait_until(partial(_is_ready, lasting), "the worker to serve", 20)
    for _ in range(_ATTEMPTS):
        sql = young.format(_new_statement())
        leader, early, late = (cleanup.enter_context(lasting.wire()) for _ in range(3))
        lock = cleanup.enter_context(lasting.server.connect())
        lock.execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        leader.send(Query(sql.encode()))
        begun = wait_until(partial(_running, lasting, sql), "the query to wait")[0]
        early.send(Query(sql.encode()))
        wait_until(partial(_is_past, begun + seconds), "its time to be over")
        late.send(Query(sql.encode()))
        asked = time.time()
        wait_until(partial(_run_both, lasting, sql), "a query of its own")
        lock.execute("COMMIT")
        led, joined, alone = (float(rows(each.read_until("Z"))[0][0] or b"") for each in (leader, early, late))
        assert asked - alone < seconds
        assert alone > led
        if joined == led:
            return
    pytest.fail("nobody shared a query")


def _is_past(moment: float) -> bool:
    return time.time() > moment


def _run_both(proxied: ProxiedPostgres, sql: str) -> bool:
    return len(_running(proxied, sql)) > 1


def _running(proxied: ProxiedPostgres, sql: str) -> list[float]:
    """Return since when, in Unix seconds, such queries have been running, the first one first."""
    found = proxied.server.execute(
        "SELECT extract(epoch FROM query_start) FROM pg_stat_activity WHERE query = %s AND state = 'active' ORDER BY 1",
        [sql],
    )
    return [float(started) for (started,) in found]


@pytest.mark.parametrize("same_bytes", [True, False])
def test_a_statement_may_ask_for_less(lasting: ProxiedPostgres, *, same_bytes: bool) -> None:
    comment = f"tidegate_ageing_ttl='{_SHORT_SECONDS}s'"
    sql = _new_statement()
    bounded = f"{sql} /* {comment} */"
    with lasting.wire() as client, lasting.wire() as other:
        lasting.wait_cached(partial(client.query, bounded))
        ages = _ages(client, itertools.repeat(bounded) if same_bytes else _changing(sql, comment))
        told = _told(other, sql)
        wait_until(partial(_is_past, told + _SHORT_SECONDS), "more than that")

        assert _SHORT_SECONDS / 2 < max(ages) < _SHORT_SECONDS
        assert _told(other, sql) == told  # who asks for nothing still has it
        assert _told(client, bounded) > told
        before = lasting.forwarded("skipped")
        assert _age(client, f"{sql} /* tidegate_ageing_ttl='0' */") <= 0
        assert lasting.forwarded("skipped") == before + 1


def test_a_session_may_ask_for_less(lasting: ProxiedPostgres) -> None:
    sql = _new_statement()
    with lasting.wire() as client, lasting.wire() as other:
        lasting.wait_all_cached(partial(other.query, sql), 3)  # by its ready-made reply, too
        told = _told(other, sql)
        wait_until(partial(_is_past, told + _SHORT_SECONDS), "more than that")
        client.query(f"SET tidegate.ageing_ttl = '{_SHORT_SECONDS}s'")
        ages = _ages(client, itertools.repeat(sql))
        assert _SHORT_SECONDS / 2 < max(ages) < _SHORT_SECONDS
        client.query("SET tidegate.ageing_ttl = 0")
        assert max(_age(client, sql) for _ in range(10)) <= 0
        client.query("RESET tidegate.ageing_ttl")
        wait_until(lambda: _age(client, sql) > 0, "a hit again")


def test_an_answer_that_ages_is_marked_for_sessions_that_ask_for_it(lasting: ProxiedPostgres) -> None:
    sql = _new_statement()
    with lasting.wire() as quiet, lasting.wire() as client:
        client.query("SET client_min_messages = debug1")
        for each, kinds in ((quiet, "TDCZ"), (client, "NTDCZ"), (quiet, "TDCZ")):
            lasting.wait_all_cached(partial(each.query, sql), 3)
            answers = each.query(sql)
            assert "".join(answer.kind for answer in answers) == kinds
            assert all("ageing_ttl" in answer.fields["M"] for answer in answers if answer.kind == "N")
        steady = "SELECT name FROM people WHERE id = 51"
        lasting.wait_cached(partial(client.query, steady))
        assert "".join(answer.kind for answer in client.query(steady)) == "TDCZ"


def test_a_row_change_evicts_at_once(lasting: ProxiedPostgres) -> None:
    sql = "SELECT count(*) FROM people WHERE seen < now() AND name = 'new'"
    with lasting.connect() as connection:
        lasting.wait_cached(lambda: connection.execute(sql))
        for number in (1, 2, 3):
            lasting.server.execute("INSERT INTO people VALUES (%s, 'new', now())", [1_000 + number])
            wait_until(partial(_reads, connection, sql, number), "the row")
            lasting.wait_cached(lambda: connection.execute(sql))
        lasting.server.execute("DELETE FROM people WHERE name = 'new'")
        wait_until(partial(_reads, connection, sql, 0), "no row")


def _reads(connection: Connection, sql: str, value: object) -> bool:
    return connection.execute(sql.encode()).fetchone() == (value,)


def test_a_session_reads_its_own_writes(lasting: ProxiedPostgres) -> None:
    sql = "SELECT name FROM people WHERE id = 3 AND seen < current_date"
    with lasting.connect() as connection:
        for number in range(20):
            connection.execute("UPDATE people SET name = %s WHERE id = 3", [str(number)])
            assert connection.execute(sql).fetchone() == (str(number),)
        lasting.wait_cached(lambda: connection.execute(sql))


def test_in_a_transaction_now_stands_still(lasting: ProxiedPostgres) -> None:
    now, other = (f"SELECT now(), {next(_numbers)} FROM people WHERE id = 1" for _ in range(2))
    with lasting.connect() as warm:
        for sql in (now, other):
            lasting.wait_cached(partial(warm.execute, sql))
    before = lasting.forwarded("frozen_now")
    with psycopg.connect(lasting.url()) as connection:
        first, second = (_first(connection, sql) for sql in (now, other))
        assert first == second == _first(connection, "SELECT now()")
        connection.execute("UPDATE people SET seen = now() WHERE id = 4")
        assert _first(connection, "SELECT seen FROM people WHERE id = 4") == first
    assert lasting.forwarded("frozen_now") > before


def test_in_a_pipeline_now_stands_still(lasting: ProxiedPostgres) -> None:
    texts = [_new_statement() for _ in range(2)]
    with lasting.wire() as client:
        for text in texts:
            lasting.wait_cached(partial(client.turns, *_extended(text), Sync()))
        first, second = rows(client.turns(*_extended(texts[0]), *_extended(texts[1]), Sync()))
        assert first[0] == second[0]


def test_in_a_turn_that_comes_in_parts_now_stands_still(lasting: ProxiedPostgres) -> None:
    texts = [_new_statement() for _ in range(2)]
    with lasting.wire() as client:
        for text in texts:
            lasting.wait_cached(partial(client.turns, *_extended(text), Sync()))
        client.send(*_extended(texts[0]), Flush())
        first = client.read_until("C")
        client.send(*_extended(texts[1]), Sync())
        assert rows(first)[0][0] == rows(client.read_until("Z"))[0][0]


def _extended(text: str) -> list[FrontendMessage]:
    return [Parse(b"", text.encode()), Bind(b"", b"", (), (), ()), Execute(b"")]


def _first(connection: Connection, sql: str) -> Any:
    return _cell(connection.execute(sql.encode()).fetchone())


def _cell(row: tuple[Any, ...] | None) -> Any:
    assert row is not None
    return row[0]


def test_words_for_a_moment_age_as_parameters_and_as_literals_that_are_parsed_now(lasting: ProxiedPostgres) -> None:
    by_parameter = "SELECT count(*) FROM people WHERE seen < %s::timestamptz"
    by_literal = "SELECT count(*) FROM people WHERE seen < 'today'::timestamptz AND id > %s"
    with lasting.connect() as connection:
        lasting.wait_cached(lambda: connection.execute(by_parameter, ["now"], prepare=True))
        lasting.wait_cached(lambda: connection.execute(by_literal, [0], prepare=False))
        connection.execute(by_literal, [0], prepare=True)
        before = lasting.forwarded("relative_time_input")
        for _ in range(3):
            connection.execute(by_literal, [0], prepare=True)
        assert lasting.forwarded("relative_time_input") == before + 3


_REFRESHES: list[tuple[str, Callable[[ProxiedPostgres, Connection], Any]]] = [
    ("REFRESH MATERIALIZED VIEW totals", lambda proxied, _: proxied.server),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY totals", lambda proxied, _: proxied.server),
    ("REFRESH MATERIALIZED VIEW totals", lambda _, connection: connection),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY totals", lambda _, connection: connection),
]


@pytest.mark.parametrize("sql", ["SELECT n FROM totals WHERE id = 1", "SELECT n FROM of_totals"])
def test_a_materialized_view_is_cached_until_it_is_refreshed(lasting: ProxiedPostgres, sql: str) -> None:
    with lasting.connect() as connection:
        for refresh, by in _REFRESHES:
            shown = _first(connection, "SELECT n FROM totals /* tidegate_skip='1' */")
            lasting.server.execute("INSERT INTO people SELECT max(id) + 1 FROM people")
            lasting.wait_cached(lambda: connection.execute(sql))
            assert _reads(connection, sql, shown)

            by(lasting, connection).execute(refresh)
            if by(lasting, connection) is not connection:
                wait_until(partial(_reads, connection, sql, shown + 1), "what is refreshed")
            assert _reads(connection, sql, shown + 1)


def test_a_materialized_view_is_read_in_a_held_back_block(lasting: ProxiedPostgres) -> None:
    sql = "SELECT n FROM totals WHERE id = 1"
    with psycopg.connect(lasting.url()) as connection:

        def in_block() -> None:
            connection.execute(sql)
            connection.rollback()

        lasting.wait_all_cached(in_block, 3)
