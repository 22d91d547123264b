"""Postgres goes away, as it does by default (`serve_stale_for` off): clients hear what they would hear without a proxy.

Where Postgres says why it ends a session, its words arrive. Where it goes without a word, a libpq client makes up an
error of its own ("server closed the connection unexpectedly"); the proxy says FATAL 08006 then.
"""

import select
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import psycopg
import pytest

from services.shared.pgwire.frontend import Query
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.staleness import SQL, now, observed
from tests.integration.wire_client import Answer, WireClient, error, rows
from tests.servers.processes import wait_until

_MAX_STALENESS = 0.4  # seconds
_RECOVERY_SECONDS = 30.0
_READ = "SELECT version FROM versions WHERE id = 1"
_STARTUP = StartupMessage(VERSION_3_0, (("user", "postgres"), ("database", "postgres")))


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    """A stack with a short bound, and the option off."""
    sql = SQL + "CREATE TABLE calm (id int PRIMARY KEY); INSERT INTO calm VALUES (1), (2);"
    with proxied_postgres("--max-staleness", f"{_MAX_STALENESS}s", sql=sql) as started:
        yield started
        assert "Traceback" not in started.stack.process.log()


def _warm(proxied: ProxiedPostgres) -> WireClient:
    client = proxied.wire()
    wait_until(lambda: proxied.is_hit(lambda: client.query(_READ)), "a hit", _RECOVERY_SECONDS)
    return client


def _words(answers: Sequence[Answer]) -> list[tuple[str, ...]]:
    """Return what was said, but for where in the source."""
    return [(answer.kind, *(answer.fields[key] for key in "VCM" if answer.kind in "EN")) for answer in answers]


def _sessions(cleanup: ExitStack, start: "type[WireClient]", url: str, row: int) -> list[WireClient]:
    """Begin three sessions: one that is idle, one with a statement under way, one in a block that has written."""
    idle, busy, block = (cleanup.enter_context(start(url).start()) for _ in range(3))
    busy.send(Query(b"SELECT pg_sleep(60)"))
    block.query("BEGIN")
    block.query(f"UPDATE calm SET id = id WHERE id = {row}")
    return [idle, busy, block]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_sessions_end_with_postgres_s_words_and_no_hit_outlives_it(
    proxied: ProxiedPostgres, how: signal.Signals
) -> None:
    lost = [("E", "FATAL", "08006", "tidegate: the connection to Postgres was lost")]
    with ExitStack() as cleanup:
        warm = cleanup.enter_context(_warm(proxied))
        direct = _sessions(cleanup, WireClient, proxied.direct_url, 1)
        relayed = _sessions(cleanup, WireClient, proxied.url(), 2)
        busy = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait_until(lambda: proxied.server.execute(busy) == [(2,)], "both statements to be under way")
        proxied.server.stop(how)
        try:
            for one, other in zip(direct, relayed, strict=True):
                expected, found = _words(one.read_to_end()), _words(other.read_to_end())
                if how is signal.SIGKILL and found[-1:] == lost:
                    continue  # who is killed with the postmaster has no time for words, by chance
                told = any(answer[:2] == ("E", "FATAL") for answer in expected)
                assert found == expected + ([] if told else lost)
            assert error(warm.read_to_end())["V"] == "FATAL"
            with pytest.raises(psycopg.OperationalError, match=r"FATAL:  tidegate: Postgres at .* cannot be reached"):
                psycopg.connect(proxied.url())
        finally:
            proxied.server.start()


def test_a_postgres_that_is_shutting_down_says_so_to_new_clients_and_serves_the_others(
    proxied: ProxiedPostgres,
) -> None:
    with proxied.server.connect(), _warm(proxied) as client:
        proxied.server.process.send(signal.SIGTERM)  # it waits for its clients
        wait_until(lambda: "57P03" in str(_first_words(proxied.direct_url)), "the shutdown to begin")

        assert _first_words(proxied.url()) == _first_words(proxied.direct_url)
        assert rows(client.query("SELECT count(*) FROM calm WHERE id > 0")) == [[b"2"]]
        assert proxied.is_hit(lambda: client.query(_READ))
    proxied.server.stop()
    proxied.server.start()


def _first_words(url: str) -> list[tuple[str, ...]]:
    with WireClient(url) as client:
        client.send(_STARTUP)
        answer = client.read()
        return _words([answer]) if answer.kind == "E" else []


def test_a_frozen_postgres_is_waited_for_and_no_hit_outlives_the_bound(proxied: ProxiedPostgres) -> None:
    with _warm(proxied) as client, WireClient(proxied.url()) as late:
        proxied.server.pause()
        try:
            frozen_at = now()
            answered = True
            while answered and now() < frozen_at + 2 * _MAX_STALENESS:
                begin = now()
                client.send(Query(_READ.encode()))
                answered = bool(select.select([client.socket], [], [], 2 * _MAX_STALENESS)[0])
                if answered:
                    client.read_until("Z")
            late.send(_STARTUP)
            nothing, _, _ = select.select([client.socket, late.socket], [], [], _MAX_STALENESS)
        finally:
            proxied.server.resume()
        assert not answered
        assert begin <= frozen_at + 2 * _MAX_STALENESS
        assert nothing == []
        assert rows(client.read_until("Z")) != []
        late.read_until("Z")


def test_when_postgres_dies_clients_are_told_and_when_it_is_back_all_is_well(proxied: ProxiedPostgres) -> None:
    _warm(proxied).socket.close()
    with observed(proxied.direct_url, proxied.url(), tolerant=True) as history:
        wait_until(lambda: len(history.reads) > 100, "reads")
        proxied.server.kill()
        wait_until(lambda: bool(history.errors), "an error")
        proxied.server.start()
        started_at = now()
        wait_until(lambda: history.reads[-1].begin > started_at + 4 * _MAX_STALENESS, "reads to go on")

    assert history.stale_reads(_MAX_STALENESS) == []
    _warm(proxied).socket.close()  # hits of the new history
