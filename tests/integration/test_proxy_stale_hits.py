"""`serve_stale_for`: while Postgres is down, and only then, hits go on for so long, each with a warning (ADR 15)."""

import asyncio
import os
import select
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import asyncpg
import psycopg
import pytest
import sqlalchemy
from redis import Redis

from services.shared.pgwire.frontend import Bind, Close, Describe, Execute, FrontendMessage, Parse, Query, Sync, Target
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.staleness import now
from tests.integration.wire_client import Answer, WireClient, error, rows
from tests.servers.processes import wait_until

_MAX_STALENESS = 0.3  # seconds
_SERVE_STALE_FOR = 5.0  # seconds; all that a class does in one outage has to be over by then
_GRACE = 1.0  # on a busy machine, for what is said to happen at once
_PROBE_SECONDS = 1.0  # after which a probe is given up
_WORKERS = 2

_SQL = """
CREATE TABLE calm (id int PRIMARY KEY, v text);
INSERT INTO calm SELECT i, 'v' FROM generate_series(1, 100) i;
CREATE TABLE written (id int PRIMARY KEY, v text);
INSERT INTO written VALUES (1, 'before');
"""
_READ = "SELECT v FROM calm WHERE id = 1"
_IN_REDIS = "SELECT v FROM calm WHERE id = 7"
_RUN_PREPARED: tuple[FrontendMessage, ...] = (Bind(b"", b"before", (), (b"1",), ()), Execute(b""))
_TIDYING = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"  # as asyncpg's pool does


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    """Two workers with the option on, and a short bound."""
    environ = {"TIDEGATE_SERVE_STALE_FOR": f"{_SERVE_STALE_FOR}s", "TIDEGATE_CATALOG_POLL": "100ms"}
    bound = ("--max-staleness", f"{_MAX_STALENESS}s")
    with proxied_postgres(*bound, sql=_SQL, environ=environ, workers=_WORKERS) as started:
        yield started
        assert "Traceback" not in started.stack.process.log()


@contextmanager
def _down(proxied: ProxiedPostgres, how: signal.Signals = signal.SIGINT) -> Iterator[float]:
    """Have Postgres stop, wait until every worker knows, and start it again at the end; gives when it was told to.

    It may take its time for the rest of a shutdown: to its clients it is down.
    """
    stopping_at = now()
    proxied.server.process.send(how)
    try:
        _wait_seen(proxied, _WORKERS)
        yield stopping_at
    finally:
        proxied.server.stop(how)
        proxied.server.start()
        _wait_seen(proxied, 0)


def _wait_seen(proxied: ProxiedPostgres, workers: int) -> None:
    wait_until(lambda: proxied.stack.counter("tidegate_proxy_postgres_down") == workers, f"{workers} to see it down")


@contextmanager
def _frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _warnings(answers: Sequence[Answer]) -> list[str]:
    """Return the texts of the warnings that mark answers."""
    notices = [answer.fields for answer in answers if answer.kind == "N"]
    return [fields["M"] for fields in notices if (fields["V"], fields["C"]) == ("WARNING", "01000")]


def _kinds(answers: Sequence[Answer]) -> str:
    return "".join(answer.kind for answer in answers)


def _warm(proxied: ProxiedPostgres, read: str = _READ) -> WireClient:
    """Begin a session that has had a hit."""
    client = proxied.wire()
    proxied.wait_cached(lambda: client.query(read))
    return client


class _Pool:
    """A pool of asyncpg with one connection."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._pool = self._runner.run(self._make(url))

    def read(self) -> object:
        return self._runner.run(self._read())

    def close(self) -> None:
        self._pool.terminate()
        self._runner.close()

    async def _make(self, url: str) -> asyncpg.Pool:
        return await asyncpg.create_pool(url, min_size=1, max_size=1)

    async def _read(self) -> object:
        async with self._pool.acquire() as connection:
            return await connection.fetchval(_READ)


@dataclass(frozen=True, slots=True)
class _Outage:
    """What was there before Postgres went down, and is there still."""

    client: WireClient
    prepared: WireClient
    others: list[WireClient]
    pool: _Pool
    engine: sqlalchemy.Engine


def _assert_unmarked(answers: Sequence[Answer]) -> None:
    assert _kinds(answers) == "TDCZ"


def test_a_session_that_postgres_ends_is_ended_at_once(proxied: ProxiedPostgres) -> None:
    """It might have been an outage."""
    with _warm(proxied) as client:
        (pid,) = rows(client.query("SELECT pg_backend_pid()"))[0]
        assert pid is not None
        begin = now()
        proxied.server.execute(f"SELECT pg_terminate_backend({int(pid)})")
        fields = error(client.read_to_end())

    assert now() < begin + _GRACE
    assert (fields["C"], fields["M"]) == ("57P01", "terminating connection due to administrator command")


def test_a_slow_or_frozen_postgres_is_waited_for(proxied: ProxiedPostgres) -> None:
    """Its probe is given up by the end, but no new connection has failed: reads are forwarded, as by default."""
    with _warm(proxied) as client, _warm(proxied) as late:
        proxied.server.pause()
        try:
            frozen_at = now()
            answered = True
            while answered and now() < frozen_at + _MAX_STALENESS + _GRACE:
                client.send(Query(_READ.encode()))
                answered = bool(select.select([client.socket], [], [], 4 * _MAX_STALENESS)[0])
                if answered:
                    _assert_unmarked(client.read_until("Z"))
            late.send(Query(_READ.encode()))
            until = max(frozen_at + _PROBE_SECONDS + _GRACE, now() + _MAX_STALENESS)
            nothing = select.select([client.socket, late.socket], [], [], until - now())
        finally:
            proxied.server.resume()
        assert not answered
        assert nothing == ([], [], [])
        for each in (client, late):
            _assert_unmarked(each.read_until("Z"))


@pytest.fixture(scope="class")
def outage(proxied: ProxiedPostgres) -> Iterator[_Outage]:
    with ExitStack() as cleanup:
        client = cleanup.enter_context(_warm(proxied))
        prepared = cleanup.enter_context(_warm(proxied))
        prepared.turns(Parse(b"before", b"SELECT v FROM calm WHERE id = $1"), Sync())
        proxied.wait_cached(lambda: prepared.turns(*_RUN_PREPARED, Sync()))
        with Redis.from_url(proxied.stack.redis_url) as redis:
            before = redis.dbsize()
            proxied.wait_cached(lambda: client.query(_IN_REDIS))
            wait_until(lambda: redis.dbsize() > before, "the answer to be in Redis")
        others = [cleanup.enter_context(proxied.wire()) for _ in range(12)]
        others[0].query(_TIDYING)  # behind which the proxy asks for its state, well before the end
        pool = _Pool(proxied.url())
        cleanup.callback(pool.close)
        url = proxied.url().replace("postgresql://", "postgresql+psycopg://")
        engine = sqlalchemy.create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
        cleanup.callback(engine.dispose)
        for read in (pool.read, lambda: _read(engine)):
            proxied.wait_cached(read)
        with _down(proxied):
            yield _Outage(client, prepared, others, pool, engine)
        with _warm(proxied) as again:  # the same cache that was served from with warnings a moment ago
            _assert_unmarked(again.query(_READ))


class TestWhilePostgresIsDown:
    def test_hits_are_marked_with_a_warning_each_and_counted(self, proxied: ProxiedPostgres, outage: _Outage) -> None:
        before = proxied.stack.counter("tidegate_proxy_hits_stale_total")
        extended = (Parse(b"", _READ.encode()), Bind(b"", b"", (), (), ()), Describe(Target.PORTAL, b""), Execute(b""))
        found = {
            "NTDCZ": outage.client.query(_READ),
            "1N2TDCZ": outage.client.turns(*extended, Sync()),
            "N2DCN2DCZ": outage.prepared.turns(*_RUN_PREPARED, *_RUN_PREPARED, Sync()),
        }

        for kinds, answers in found.items():
            assert _kinds(answers) == kinds
            assert {value for row in rows(answers) for value in row} == {b"v"}
            for text in _warnings(answers):
                assert text.startswith("tidegate: Postgres is down; this answer may be up to ")
            assert len(_warnings(answers)) == kinds.count("N")
        assert proxied.stack.counter("tidegate_proxy_hits_stale_total") == before + 4
        assert proxied.stack.counter("tidegate_proxy_serving_stale") == _WORKERS

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT v FROM calm WHERE id = 2",  # not in the cache
            "UPDATE calm SET v = 'other' WHERE id = 1",
            f"{_READ} /* tidegate_consistency='strong' */",
            "SELECT now()",
            "SET datestyle = 'german'",
        ],
    )
    def test_all_else_is_an_error_and_the_session_goes_on(self, outage: _Outage, sql: str) -> None:
        answers = outage.client.query(sql)

        assert _kinds(answers) == "EZ"
        assert (error(answers)["V"], error(answers)["C"]) == ("ERROR", "58000")
        assert rows(outage.client.query(_READ)) == [[b"v"]]

    def test_blocks_and_prepared_statements_go_on(self, outage: _Outage) -> None:
        client = outage.prepared
        assert _kinds(client.query("BEGIN")) == "CZ"
        assert _kinds(client.turns(*_RUN_PREPARED, Sync())) == "N2DCZ"
        assert _kinds(client.query("COMMIT")) == "CZ"

        client.query("BEGIN")
        assert error(client.query("SELECT v FROM calm WHERE id = 3"))["C"] == "58000"
        assert error(client.turns(*_RUN_PREPARED, Sync()))["C"] == "25P02"
        (ended, ready) = client.query("COMMIT")
        assert (ended.body, ready.body) == (b"ROLLBACK\0", b"I")

        new = Parse(b"later", b"SELECT v FROM calm WHERE id = $1")
        run = (Bind(b"", b"later", (), (b"1",), ()), Execute(b""))
        assert _kinds(client.turns(new, *run, Sync())) == "1N2DCZ"
        assert _kinds(client.turns(Close(Target.STATEMENT, b"later"), Sync())) == "3Z"
        assert error(client.turns(*run, Sync()))["C"] == "58000"

    def test_answers_in_redis_are_served_too(self, proxied: ProxiedPostgres, outage: _Outage) -> None:
        """Connections are spread over the workers, of which one alone has the answer in memory."""
        before = proxied.stack.counter("tidegate_proxy_hits_l2_total")
        for client in outage.others:
            answers = client.query(_IN_REDIS)
            assert rows(answers) == [[b"v"]]
            assert len(_warnings(answers)) == 1

        assert proxied.stack.counter("tidegate_proxy_hits_l2_total") > before

    def test_pools_keep_their_connections(self, outage: _Outage) -> None:
        """They ask whether it lives before each use, or tidy up behind it."""
        assert [outage.pool.read() for _ in range(3)] == ["v"] * 3
        assert [_read(outage.engine) for _ in range(10)] == ["v"] * 10
        assert _kinds(outage.others[0].query(_TIDYING)) == "TDCCCCZ"

    def test_new_sessions_are_refused_as_ever(self, proxied: ProxiedPostgres, outage: _Outage) -> None:
        with pytest.raises(psycopg.OperationalError, match=r"cannot be reached|shutting down"):
            psycopg.connect(proxied.url())


def _read(engine: sqlalchemy.Engine) -> object:
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text(_READ)).scalar()


def test_stale_answers_end_with_the_time_that_is_set_and_not_before(proxied: ProxiedPostgres) -> None:
    with _warm(proxied) as client, _warm(proxied) as idle, _down(proxied, signal.SIGKILL) as stopping_at:
        stopped_at = last_begin = now()
        first = Answer("", b"")
        while first.kind != "E" or first.fields["V"] != "FATAL":
            assert now() < stopped_at + 2 * _SERVE_STALE_FOR
            begin = now()
            client.send(Query(_READ.encode()))
            first = client.read()
            if first.kind == "N":
                last_begin = begin
            if first.kind == "N" or first.fields["V"] == "ERROR":  # of the very moment in which it ends
                client.read_until("Z")
        without_a_turn = error(idle.read_to_end())

    assert first.fields["C"] == without_a_turn["C"] == "08006"
    assert last_begin <= stopped_at + _SERVE_STALE_FOR  # the last proof is older than that
    assert last_begin >= stopping_at + _SERVE_STALE_FOR - _MAX_STALENESS - _GRACE
    with _warm(proxied) as client:
        assert proxied.is_hit(lambda: _assert_unmarked(client.query(_READ)))
    log = proxied.stack.process.log()
    for told in ("what is in the cache is served", "postgres answers again"):
        assert log.count(told) >= _WORKERS
    assert "and nothing is served any more" in log  # a worker whose proof was younger may not have come so far


def test_what_a_session_has_written_is_not_served_to_it_and_who_has_something_in_postgres_is_told_at_once(
    proxied: ProxiedPostgres,
) -> None:
    own = "SELECT v FROM written WHERE id = 1"
    with ExitStack() as cleanup:
        writer, other, listener, blocked = (cleanup.enter_context(_warm(proxied)) for _ in range(4))
        for client in (writer, other):
            proxied.wait_cached(lambda client=client: client.query(own))  # type: ignore[misc]
        listener.query("LISTEN news")
        blocked.query("BEGIN")
        blocked.query("UPDATE calm SET v = v WHERE id = 50")
        cleanup.enter_context(_frozen(*(proxied.stack.processes[part] for part in ("cdc", "invalidator"))))
        writer.query("UPDATE written SET v = 'after' WHERE id = 1")
        with _down(proxied, signal.SIGQUIT):  # a fast shutdown would wait for the CDC service
            refused, others, calm = writer.query(own), other.query(own), writer.query(_READ)
            ends = [error(client.read_to_end())["V"] for client in (listener, blocked)]
        farewell = error(writer.read_to_end())  # Postgres is back, and it did not have to ask for anything

    assert error(refused)["C"] == "58000"
    assert (rows(others), len(_warnings(others))) == ([[b"before"]], 1)
    assert (rows(calm), len(_warnings(calm))) == ([[b"v"]], 1)
    assert ends == ["FATAL", "FATAL"]
    assert (farewell["V"], farewell["C"]) == ("FATAL", "57P01")


def test_nothing_is_served_once_the_history_is_in_doubt(proxied: ProxiedPostgres) -> None:
    def mismatches() -> dict[str, float]:
        return proxied.stack.counters("tidegate_proxy_mismatches_total", "process")

    with _warm(proxied) as client:
        before = mismatches()
        proxied.server.execute("UPDATE tidegate.canary SET canary = 'of another history'")
        # Of each worker: the client is served by one of them, which cannot doubt what it has not seen.
        wait_until(
            lambda: bool(client.query(_READ)) and all(seen > before[worker] for worker, seen in mismatches().items()),
            "a probe of each worker to see it",
        )
        with _down(proxied):
            with suppress(OSError):
                client.send(Query(_READ.encode()))
            answers = client.read_to_end()

    assert rows(answers) == []
    assert error(answers)["V"] == "FATAL"
