"""How fresh an answer has to be: by the cache, by the session, by the statement; and tokens from one to another."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, count

import psycopg
import pytest

from services.proxy.cache.freshness import boot_clock
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from tests.integration.proxied_postgres import Connection, ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import rows
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE counters (id int PRIMARY KEY, v int);
INSERT INTO counters SELECT i, 0 FROM generate_series(1, 10) i;
CREATE TABLE others AS TABLE counters;
ALTER TABLE others ADD PRIMARY KEY (id);
CREATE EXTENSION pg_stat_statements;
"""
_READ = "SELECT v FROM counters WHERE id = 1"
_SET = "UPDATE counters SET v = {} WHERE id = 1"
_SUM = "SELECT sum(v) FROM counters"
_ROUNDS = 60


@pytest.fixture(scope="module")
def levels() -> Iterator[ProxiedPostgres]:
    """Two workers: what one session learns of another goes through none of them."""
    with proxied_postgres(sql=_SQL, workers=2, shared_preload_libraries="pg_stat_statements") as started:
        yield started


@pytest.fixture
def strong(levels: ProxiedPostgres) -> Iterator[Connection]:
    with levels.connect(options="-c tidegate.consistency=strong") as connection:
        yield connection


def _value(connection: Connection, sql: str = _READ) -> int:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return int(row[0])


def test_a_strong_read_sees_what_anybody_had_acknowledged_before_it_began(
    levels: ProxiedPostgres, strong: Connection
) -> None:
    """Linearizable: the writer goes around the proxy, and the reader is told by nobody."""
    hits = levels.hits()
    with psycopg.connect(levels.direct_url, autocommit=True) as writer:
        for round_number in range(1, _ROUNDS):
            writer.execute(_SET.format(round_number))
            for _ in range(4):
                assert _value(strong) == round_number
                assert _value(strong, _SUM) == round_number
    assert levels.hits() - hits > _ROUNDS


def test_a_strong_read_is_a_hit_where_nothing_is_written(levels: ProxiedPostgres, strong: Connection) -> None:
    levels.wait_all_cached(lambda: _value(strong), 20)


@pytest.mark.parametrize("behind", [[], [Sync()]], ids=["one turn", "turns"])
def test_a_pipeline_of_strong_hits_waits_once(levels: ProxiedPostgres, behind: list[FrontendMessage]) -> None:
    """One by one it would take as many questions to the primary as there are reads."""
    reads = [f"SELECT v FROM counters WHERE id = {1 + number % 10}" for number in range(300)]
    probes = "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE '%tidegate.canary%pg_walfile_name%'"

    def asked() -> int:
        return int(levels.server.execute(probes)[0][0])

    with levels.wire() as client:
        client.query("SET tidegate.consistency = 'strong'")
        turn = [*chain.from_iterable([*_extended(read), *behind] for read in reads), Sync()]

        def is_all_hits() -> bool:
            hits = levels.hits()
            client.turns(*turn)
            return levels.hits() - hits == len(reads)

        wait_until(is_all_hits, "all to be hits")
        before = asked()
        assert is_all_hits()
        assert asked() - before < 30


def _extended(sql: str) -> list[FrontendMessage]:
    return [Parse(b"", sql.encode()), Bind(b"", b"", (), (), ()), Execute(b"")]


def test_behind_what_postgres_answers_in_a_pipeline_a_strong_read_is_not_older(levels: ProxiedPostgres) -> None:
    """Both have arrived before the write; but the one in front shows it, while its eviction is still to come."""
    shown = Query(b"SELECT v + 0 * pg_backend_pid() FROM counters WHERE id = 7")  # is never cached
    read = Query(b"SELECT v FROM counters WHERE id = 7")
    with levels.wire() as client:
        client.query("SET tidegate.consistency = 'strong'")
        levels.wait_all_cached(lambda: client.turns(read), 3)
        with _frozen_cdc(levels):
            hits = levels.hits()
            client.send(read, Query(b"SELECT pg_sleep(0.5)"), shown, read)
            assert rows(client.read_until("Z")) == [[b"0"]]
            levels.server.execute("UPDATE counters SET v = 1 WHERE id = 7")
            assert rows(client.read_until("Z", 3))[1:] == [[b"1"], [b"1"]]
    assert levels.hits() - hits == 1


def test_a_pipeline_of_strong_reads_does_not_go_back_in_time(levels: ProxiedPostgres) -> None:
    """Two tables are written together, evicted one after the other, and kept anew by whoever reads them."""
    reads = [f"SELECT v FROM {table} WHERE id = 3" for table in ("counters", "others") * 6]
    strong = [*chain.from_iterable(_extended(read) for read in reads), Sync()]
    bounded = [Query(read.encode()) for read in reads[:2]]
    over = threading.Event()

    def write() -> int:
        with psycopg.connect(levels.direct_url, autocommit=True) as writer:
            for round_number in count(1):
                change = f"SET v = {round_number} WHERE id = 3"
                writer.execute(f"UPDATE counters {change}; UPDATE others {change}")
                if over.wait(0.02):
                    return round_number
        return 0

    def refill() -> None:
        with levels.wire() as client:
            while not over.is_set():
                client.turns(*bounded)

    hits = levels.hits()
    seen: list[int] = []
    with levels.wire() as client, ThreadPoolExecutor(2) as pool:
        client.query("SET tidegate.consistency = 'strong'")
        written, _ = pool.submit(write), pool.submit(refill)
        try:
            while len(seen) < 300 * len(reads):
                seen += [int(row[0] or b"") for row in rows(client.turns(*strong))]
        finally:
            over.set()
        last = written.result(20)
    assert seen == sorted(seen)
    assert 0 < seen[-1] <= last
    assert levels.hits() - hits > len(seen) / 10


@pytest.mark.parametrize(
    ("options", "comment"),
    [("-c tidegate.consistency=bounded", "consistency='strong'"), ("-c tidegate.consistency=strong", "skip='0'")],
)
def test_a_statement_and_a_session_may_ask_for_strong(levels: ProxiedPostgres, options: str, comment: str) -> None:
    sql = f"{_READ} /* tidegate_{comment} */"
    with (
        levels.connect(options=options) as reader,
        psycopg.connect(levels.direct_url, autocommit=True) as writer,
    ):
        for round_number in range(1, _ROUNDS):
            writer.execute(_SET.format(round_number))
            assert [_value(reader, sql) for _ in range(3)] == [round_number] * 3


def test_what_a_strong_session_reads_in_a_block_is_current_too(levels: ProxiedPostgres, strong: Connection) -> None:
    with psycopg.connect(levels.direct_url, autocommit=True) as writer:
        for round_number in range(1, _ROUNDS):
            strong.execute("BEGIN")
            writer.execute(_SET.format(round_number))
            assert _value(strong) == round_number
            strong.execute("COMMIT")


def test_a_statement_may_ask_for_less_than_its_session(levels: ProxiedPostgres, strong: Connection) -> None:
    """And is then a hit without a wait: nothing of the change stream is asked for."""
    sql = f"{_READ} /* tidegate_consistency='bounded' */"
    levels.wait_all_cached(lambda: _value(strong, sql), 20)


@pytest.mark.parametrize("bound", ["'200ms'", "'60ms'", "'10s'"])
def test_a_session_may_have_a_bound_of_its_own(levels: ProxiedPostgres, bound: str) -> None:
    with levels.connect() as connection:
        connection.execute(f"SET tidegate.max_staleness = {bound}")
        levels.wait_all_cached(lambda: _value(connection), 20)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("tidegate.max_staleness = '0'", "not_fresh"),
        ("tidegate.max_staleness = 'soon'", "unknown_max_staleness"),
        ("tidegate.max_staleness = '2h'", "unknown_max_staleness"),
        ("tidegate.consistency = 'strongest'", "unknown_consistency"),
    ],
)
def test_what_cannot_be_kept_or_understood_is_forwarded(levels: ProxiedPostgres, setting: str, reason: str) -> None:
    with levels.connect() as connection:
        levels.wait_cached(lambda: _value(connection))
        connection.execute(f"SET {setting}")
        before, hits = levels.forwarded(reason), levels.hits()
        for _ in range(5):
            _value(connection)
        assert levels.forwarded(reason) - before == 5
        assert levels.hits() == hits


def test_nothing_older_than_its_own_bound_is_served_to_a_session(levels: ProxiedPostgres) -> None:
    """The CDC service stands still behind a write: for how long is the old value served to whom?

    Each reads a row of its own: who is forwarded has its answer kept, for all.
    """
    bounds = {"200ms": 0.2, "1s": 1.0, "2s": 2.0}
    last_served = dict.fromkeys(bounds, 0.0)
    with ExitStack() as stack:
        readers = []
        for row, bound in enumerate(bounds, 5):
            connection = stack.enter_context(levels.connect(options=f"-c tidegate.max_staleness={bound}"))
            read = partial(_value, connection, f"SELECT v FROM counters WHERE id = {row}")
            levels.wait_all_cached(read, 3)
            readers.append((bound, read))
        stack.enter_context(_frozen_cdc(levels))
        levels.server.execute("UPDATE counters SET v = -1 WHERE id BETWEEN 5 AND 7")
        acknowledged = boot_clock()

        def read_all() -> bool:
            for bound, read in readers:
                age = boot_clock() - acknowledged
                if read() != -1:
                    last_served[bound] = age
            return boot_clock() - acknowledged > 2.5

        wait_until(read_all, "all bounds to pass")
    assert all(last_served[bound] < seconds for bound, seconds in bounds.items())
    assert last_served["1s"] > 0.2
    assert last_served["2s"] > 1.0


@contextmanager
def _frozen_cdc(levels: ProxiedPostgres) -> Iterator[None]:
    cdc = levels.stack.processes["cdc"]
    os.kill(cdc, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(cdc, signal.SIGCONT)


_TOKEN_WAYS = {
    "simple": "SHOW tidegate.token",
    "function": "SELECT current_setting('tidegate.token')",
    "spelled otherwise": 'show "tidegate"."token"',
}


@pytest.mark.parametrize("way", _TOKEN_WAYS)
@pytest.mark.parametrize("prepare", [False, True])
def test_a_token_carries_what_one_session_wrote_to_another(levels: ProxiedPostgres, way: str, prepare: bool) -> None:
    with levels.connect() as writer, levels.connect() as reader:
        for round_number in range(1, _ROUNDS):
            _value(reader)
            writer.execute(_SET.format(round_number))
            ((token,),) = writer.execute(_TOKEN_WAYS[way], prepare=prepare).fetchall()
            reader.execute("SELECT set_config('tidegate.token', %s, false)", [token])
            assert _value(reader) == round_number


def test_a_token_is_shown_in_whatever_the_statement_is_wrapped(levels: ProxiedPostgres) -> None:
    with levels.connect() as writer:
        shown = set()
        for sql in (
            "SHOW tidegate.token",
            "SET application_name = 'a'; SHOW tidegate.token",
            f"SELECT current_setting('tidegate.token') /* {'long ' * 20_000} */",
        ):
            writer.execute(_SET.format(0))
            found = writer.execute(sql)
            while found.nextset():
                pass
            shown.add(found.fetchone())
        assert len(shown) == 3


def test_a_token_is_shown_in_a_pipeline_that_is_under_way(levels: ProxiedPostgres) -> None:
    with levels.connect() as writer:
        shown = set()
        for _ in range(3):
            writer.execute(_SET.format(0))
            with writer.pipeline() as pipeline:
                writer.execute("SELECT count(*) FROM pg_class").fetchone()
                found = writer.execute("SHOW tidegate.token")
                behind = writer.execute("SELECT 6")
                shown.add(found.fetchone())
                assert behind.fetchone() == (6,)
                pipeline.sync()
                with pytest.raises(psycopg.errors.DivisionByZero):
                    writer.execute("SELECT 1 / 0").fetchone()
                with pytest.raises(psycopg.errors.PipelineAborted):
                    writer.execute("SHOW tidegate.token").fetchone()
                pipeline.sync()
                assert writer.execute("SELECT 7").fetchone() == (7,)
        assert len(shown) == 3


def test_a_token_in_the_options_of_a_connection_string_counts_from_its_first_read(levels: ProxiedPostgres) -> None:
    with levels.connect() as writer:
        for round_number in range(1, 20):
            writer.execute(_SET.format(round_number))
            ((token,),) = writer.execute("SHOW tidegate.token").fetchall()
            with levels.connect(options=f"-c tidegate.token={token}") as reader:
                assert _value(reader) == round_number


def test_a_token_stands_for_what_was_acknowledged_before_it_was_shown(levels: ProxiedPostgres) -> None:
    """In a block it does not stand for what the block has written: nobody sees that yet."""
    with levels.connect() as writer, levels.connect() as reader:
        writer.execute("BEGIN")
        writer.execute(_SET.format(-1))
        ((inside,),) = writer.execute("SHOW tidegate.token").fetchall()
        writer.execute("ROLLBACK")
        ((behind,),) = writer.execute("SHOW tidegate.token").fetchall()
        assert inside.rpartition(":")[0] == behind.rpartition(":")[0]
        reader.execute(f"SET tidegate.token = '{behind}'")
        assert _value(reader) >= 0
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            _fail_in_block(writer)
        writer.execute("ROLLBACK")


def _fail_in_block(connection: Connection) -> None:
    connection.execute("BEGIN")
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")
    connection.execute("SHOW tidegate.token")


def test_a_token_that_is_covered_keeps_nobody_from_the_cache(levels: ProxiedPostgres) -> None:
    with levels.connect() as writer, levels.connect() as reader:
        ((token,),) = writer.execute("SHOW tidegate.token").fetchall()
        writer.execute(_SET.format(1))
        levels.wait_all_cached(lambda: _value(reader), 5)
        reader.execute(f"SET tidegate.token = '{token}'")
        assert levels.is_hit(lambda: _value(reader))


@pytest.mark.parametrize("token", ["no token", "1:00000009:other:0/1", "9:new"])
def test_what_is_no_token_of_this_history_stands_for_everything_up_to_now(levels: ProxiedPostgres, token: str) -> None:
    with levels.connect() as reader, psycopg.connect(levels.direct_url, autocommit=True) as writer:
        for round_number in range(1, 20):
            levels.wait_cached(lambda: _value(reader))
            writer.execute(_SET.format(round_number))
            reader.execute(f"SET tidegate.token = '{token}'")
            assert _value(reader) == round_number


@pytest.fixture(scope="module", params=["user", "cache"])
def shared(request: pytest.FixtureRequest) -> Iterator[ProxiedPostgres]:
    """Sessions that read each other's writes, in two workers."""
    roles = "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;"
    environ = {"TIDEGATE_TOKEN_SCOPE": request.param}
    with proxied_postgres(sql=_SQL + roles, workers=2, environ=environ) as started:
        yield started


def test_whoever_shares_writes_reads_them_at_once_on_any_connection(shared: ProxiedPostgres) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(shared.connect()) for _ in range(6)]
        for connection in connections:
            shared.wait_all_cached(partial(_value, connection), 3)
        hits = shared.hits()
        for round_number in range(1, _ROUNDS):
            connections[round_number % 6].execute(_SET.format(round_number))
            assert [_value(connection) for connection in connections] == [round_number] * 6
            assert [_value(connection, _SUM) for connection in connections] == [round_number] * 6
            with shared.connect() as late:
                assert _value(late) == round_number
            if round_number % 10 == 0:
                shared.wait_all_cached(partial(_value, connections[0]), 3)
        assert shared.hits() > hits


def test_of_which_others_see_it_at_once_the_scope_decides(
    shared: ProxiedPostgres, request: pytest.FixtureRequest
) -> None:
    everybody = request.node.callspec.params["shared"] == "cache"
    with shared.connect() as writer, shared.connect("reader") as reader:
        late = 0
        for round_number in range(1, _ROUNDS):
            shared.wait_cached(partial(_value, reader))
            writer.execute(_SET.format(-round_number))
            late += _value(reader) != -round_number
        assert (late == 0) is everybody


@pytest.mark.parametrize(
    "end", [("COMMIT AND CHAIN",), ("COMMIT; BEGIN",), ("COMMIT", "BEGIN"), ("COMMIT", "SELECT 1")]
)
def test_what_is_committed_is_shared_though_the_writer_goes_on(shared: ProxiedPostgres, end: tuple[str, ...]) -> None:
    """In another block, or in a pipeline whose Sync has not come."""
    with shared.connect() as writer, shared.connect() as reader:
        for round_number in range(1, 8):
            shared.wait_all_cached(partial(_value, reader), 3)
            writer.execute("BEGIN")
            writer.execute(_SET.format(round_number))
            with ExitStack() as stack:
                if len(end) > 1:
                    stack.enter_context(writer.pipeline())
                ends = [writer.execute(sql) for sql in end]
                if end[-1] == "SELECT 1":
                    ends[-1].fetchone()
                else:
                    stack.close()
                assert _value(reader) == round_number
            writer.execute("ROLLBACK")
