"""Clients come and go: where they may come in, how many, how long they may idle, and that workers share one port."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest

from services.shared.pgwire.frontend import Query
from services.shared.pgwire.startup import GSSENC_REQUEST_CODE, VERSION_3_0, CancelRequest, StartupMessage
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.proxy_workers import on_worker
from tests.integration.wire_client import WireClient, error, rows
from tests.servers.processes import ServerDirectory, wait_until

_SQL = "CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things VALUES (1, 'one')"
_READ = "SELECT name FROM things WHERE id = 1"
_RECOVERY_SECONDS = 30.0
_MAX_CLIENTS = 4
_IDLE_SECONDS = 1.0
_STARTUP = StartupMessage(VERSION_3_0, (("user", "postgres"), ("database", "postgres"), ("application_name", "late")))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory for unix-domain sockets."""
    made = ServerDirectory("sockets")
    yield made.path
    made.remove()


@pytest.fixture(scope="module")
def sockets() -> Iterator[Path]:
    """The directory of `shared`."""
    made = ServerDirectory("sockets")
    yield made.path
    made.remove()


@pytest.fixture(scope="module")
def shared(sockets: Path) -> Iterator[ProxiedPostgres]:
    """Two workers on one port, with a unix-domain socket beside it, and without keepalive."""
    environ = {"TIDEGATE_LISTEN_UNIX": str(sockets), "TIDEGATE_TCP_KEEPALIVE": "false"}
    with proxied_postgres(workers=2, sql=_SQL, environ=environ) as started:
        yield started


@pytest.fixture(scope="module")
def limited() -> Iterator[ProxiedPostgres]:
    """Room for a few clients, who may not idle for long."""
    environ = {"TIDEGATE_MAX_CLIENTS": str(_MAX_CLIENTS), "TIDEGATE_CLIENT_IDLE_TIMEOUT": f"{_IDLE_SECONDS}s"}
    with proxied_postgres(sql=_SQL, environ=environ) as started:
        yield started


def _by_unix(proxied: ProxiedPostgres, directory: Path) -> "psycopg.Connection[tuple[object, ...]]":
    url = f"postgresql://postgres@/postgres?host={directory}&port={proxied.proxy_port}"
    return psycopg.connect(url, autocommit=True)


def _connects(proxied: ProxiedPostgres) -> bool:
    try:
        proxied.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def _said(fields: dict[str, str]) -> tuple[str, str, str]:
    return fields["S"], fields["C"], fields["M"]


# -- workers


def test_two_workers_share_the_port_and_each_answers_from_its_cache(shared: ProxiedPostgres) -> None:
    with ExitStack() as cleanup:
        for worker in ("proxy-0", "proxy-1"):
            client = on_worker(shared, worker, cleanup).start()
            before = shared.stack.counter("tidegate_proxy_hits_total", process=worker)
            shared.wait_cached(partial(client.query, _READ))
            shared.wait_cached(partial(client.query, _READ))
            assert shared.stack.counter("tidegate_proxy_hits_total", process=worker) > before


def test_a_worker_may_open_as_many_files_as_the_system_lets_it(shared: ProxiedPostgres) -> None:
    up = psutil.Process(shared.stack.process.pid)
    _, hard = up.rlimit(resource.RLIMIT_NOFILE)
    up.rlimit(resource.RLIMIT_NOFILE, (512, hard))
    _replace_worker(shared, "proxy-1")  # the new one inherits the low soft limit

    def raised() -> bool:
        return psutil.Process(shared.stack.processes["proxy-1"]).rlimit(resource.RLIMIT_NOFILE) == (hard, hard)

    wait_until(raised, "the limit to be raised", _RECOVERY_SECONDS)


def _replace_worker(proxied: ProxiedPostgres, name: str) -> None:
    pid = proxied.stack.processes[name]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: proxied.stack.processes[name] != pid, f"another {name}", _RECOVERY_SECONDS)


# -- the unix-domain socket


def test_a_unix_socket_leads_into_the_same_cache(shared: ProxiedPostgres, sockets: Path) -> None:
    with _by_unix(shared, sockets) as connection:
        shared.wait_cached(lambda: connection.execute(_READ))
        shared.server.execute("UPDATE things SET name = 'another'")
        wait_until(lambda: connection.execute(_READ).fetchone() == ("another",), "the change", _RECOVERY_SECONDS)
        shared.server.execute("UPDATE things SET name = 'one'")
        connection.execute("LISTEN news")
        connection.execute("NOTIFY news, 'heard'")
        assert [note.payload for note in connection.notifies(timeout=10, stop_after=1)] == ["heard"]


def test_a_socket_that_a_killed_worker_left_behind_is_replaced(shared: ProxiedPostgres, sockets: Path) -> None:
    _replace_worker(shared, "proxy-0")

    def answers() -> bool:
        with suppress(psycopg.OperationalError), _by_unix(shared, sockets) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
        return False

    wait_until(answers, "its socket", _RECOVERY_SECONDS)


def test_a_clean_stop_takes_the_socket_away(folder: Path) -> None:
    environ = {"TIDEGATE_LISTEN_UNIX": str(folder), "TIDEGATE_LISTEN_UNIX_PERMISSIONS": "0700"}
    with proxied_postgres(environ=environ) as started:
        path = folder / f".s.PGSQL.{started.proxy_port}"
        assert path.is_socket()
        assert path.stat().st_mode & 0o777 == 0o700

    assert list(folder.iterdir()) == []


def test_a_socket_on_which_somebody_answers_is_refused_with_advice(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(f"{folder}/.s.PGSQL.{port}")
        taken.listen()
        environ = {
            "TIDEGATE_DATABASE_URL": "postgresql://a@127.0.0.1:1/b",
            "TIDEGATE_LISTEN": f"127.0.0.1:{port}",
            "TIDEGATE_LISTEN_UNIX": str(folder),
        }
        told = subprocess.run(
            [sys.executable, "-m", "services.cli", "proxy"],
            env=os.environ | environ,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert told.returncode == 1
    assert "somebody answers there" in told.stderr


# -- how many


def _fill(proxied: ProxiedPostgres, cleanup: ExitStack) -> list[WireClient]:
    """Connect as many clients as there is room for."""
    wait_until(lambda: proxied.stack.counter("tidegate_proxy_sessions") == 0, "earlier clients to go")
    return [cleanup.enter_context(proxied.wire()) for _ in range(_MAX_CLIENTS)]


def _keep_busy(clients: list[WireClient], sql: str) -> None:
    """Let clients do something long, so that their idle time does not run."""
    for client in clients:
        client.send(Query(sql.encode()))


def test_who_finds_no_room_is_told_so_in_the_words_of_postgres(limited: ProxiedPostgres) -> None:
    with ExitStack() as cleanup:
        _keep_busy(_fill(limited, cleanup), "SELECT pg_sleep(60)")
        late = cleanup.enter_context(WireClient(limited.url()))
        late.send(b"\0\0\0\x08" + GSSENC_REQUEST_CODE.to_bytes(4, "big"))
        assert late.socket.recv(10) == b"N"  # nobody is told before his start-up packet
        late.send(_STARTUP)

        assert _said(error(late.read_to_end())) == ("FATAL", "53300", "sorry, too many clients already")
        assert limited.server.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'late'") == []
        with pytest.raises(psycopg.OperationalError, match="sorry, too many clients already"):
            limited.connect()
        assert limited.stack.counter("tidegate_proxy_clients_refused_total") >= 2

    wait_until(lambda: _connects(limited), "room for another", _RECOVERY_SECONDS)


def test_a_cancel_request_is_served_however_full_it_is(limited: ProxiedPostgres) -> None:
    with ExitStack() as cleanup:
        clients = _fill(limited, cleanup)
        _keep_busy(clients, "SELECT pg_sleep(61)")
        running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)' AND state = 'active'"
        wait_until(lambda: len(limited.server.execute(running)) == _MAX_CLIENTS, "the queries to run")
        (key,) = [answer.body for answer in clients[0].greeting if answer.kind == "K"]
        canceller = cleanup.enter_context(WireClient(limited.url()))
        canceller.send(CancelRequest(int.from_bytes(key[:4], "big"), key[4:]).encode())

        assert error(clients[0].read_until("Z"))["C"] == "57014"


# -- how long


def test_an_idle_client_is_ended_in_the_words_of_postgres(limited: ProxiedPostgres) -> None:
    with limited.wire() as client:
        client.query(_READ)
        begin = time.monotonic()
        answers = client.read_to_end()

    assert _said(error(answers)) == ("FATAL", "57P05", "terminating connection due to idle-session timeout")
    assert time.monotonic() - begin > _IDLE_SECONDS * 0.9  # it fell idle a little before we looked at the clock


def test_a_client_that_is_answered_from_memory_alone_is_not_idle(limited: ProxiedPostgres) -> None:
    with limited.wire() as client:
        limited.wait_cached(partial(client.query, _READ))
        hits, end = limited.hits(), time.monotonic() + 3 * _IDLE_SECONDS
        count = 0
        while time.monotonic() < end:
            assert rows(client.query(_READ)) == [[b"one"]]
            count += 1
        assert limited.hits() - hits > count / 2


def test_a_client_is_not_idle_while_its_query_runs_or_inside_a_transaction(limited: ProxiedPostgres) -> None:
    with limited.wire() as client, limited.wire() as within:
        within.query("BEGIN")
        assert rows(client.query(f"SELECT 1 FROM pg_sleep({3 * _IDLE_SECONDS})")) == [[b"1"]]
        assert rows(within.query("SELECT 1")) == [[b"1"]]
        within.query("COMMIT")
        assert error(within.read_to_end())["C"] == "57P05"


# -- keepalive


def _timer(client: WireClient, port: int) -> str:
    """Return which timer the kernel runs for the proxy's end of a connection: 00 none, 02 keepalive."""
    own = client.socket.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, timer, *_ = line.split()
        if local.endswith(f":{port:04X}") and remote.endswith(f":{own:04X}"):
            return timer.partition(":")[0]
    raise AssertionError("the connection is not in /proc/net/tcp")


def test_the_kernel_looks_after_connections_unless_it_is_told_not_to(
    shared: ProxiedPostgres, limited: ProxiedPostgres
) -> None:
    with limited.wire() as kept, shared.wire() as left:
        wait_until(lambda: _timer(kept, limited.proxy_port) == "02", "the keepalive timer")
        wait_until(lambda: _timer(left, shared.proxy_port) == "00", "no timer")
