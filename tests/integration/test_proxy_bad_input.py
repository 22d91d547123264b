"""What nobody should send, and servers that are not as they should be: a clear error, and the others go on."""

import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
import pytest

from services.shared.pgwire.frontend import Query
from services.shared.pgwire.startup import VERSION_3_0 as VERSION
from services.shared.pgwire.startup import StartupMessage
from tests.integration.proxied_postgres import ProxiedPostgres
from tests.integration.wire_client import WireClient, error, rows
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ManagedProcess, ServerDirectory, free_port, wait_until
from tests.servers.redis import RedisServer

_FIRST_BYTES: dict[str, tuple[bytes, str, str]] = {
    "garbage": (b"\xde\xad\xbe\xef" * 5, "08P01", "startup packet"),
    "an HTTP request": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "08P01", "HTTP request"),
    "two gigabytes": (struct.pack(">II", 0x7FFFFFFF, VERSION.code), "08P01", "length"),
    "four gigabytes": (struct.pack(">II", 0xFFFFFFFF, VERSION.code), "08P01", "length"),
    "a length that is none": (struct.pack(">II", 3, VERSION.code), "08P01", "length"),
    "an old protocol": (struct.pack(">II", 8, 2 << 16), "0A000", "unsupported frontend protocol"),
    "a packet without an end": (struct.pack(">II", 12, VERSION.code) + b"user", "08P01", "invalid string"),
    "nobody's name": (StartupMessage(VERSION, (("database", "postgres"),)).encode(), "28000", "no PostgreSQL user"),
}


@pytest.fixture(autouse=True)
def _others_go_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to the shared stack, a session that was there before still works, and nothing crashed."""
    if "cached" not in request.fixturenames:
        yield
        return
    cached: ProxiedPostgres = request.getfixturevalue("cached")
    pid = cached.stack.processes["proxy-0"]
    with cached.connect() as witness:
        yield
        assert witness.execute("SELECT name FROM people WHERE id = 1").fetchone() == ("person 1",)
    assert cached.stack.processes["proxy-0"] == pid
    assert "Traceback" not in cached.stack.process.log()


@pytest.mark.parametrize("name", _FIRST_BYTES)
def test_first_bytes_that_are_no_start_up_packet(cached: ProxiedPostgres, name: str) -> None:
    sent, sqlstate, words = _FIRST_BYTES[name]
    with WireClient(cached.url()) as client:
        client.send(sent)
        fields = error(client.read_to_end())

    assert (fields["S"], fields["C"]) == ("FATAL", sqlstate)
    assert words.lower() in fields["M"].lower()


_LATER_BYTES: dict[str, bytes] = {
    "two gigabytes": b"Q\x7f\xff\xff\xff",
    "four gigabytes": b"Q\xff\xff\xff\xff",
    "a length that is none": b"Q\0\0\0\x03",
    "an unknown type": b"\x01\0\0\0\x04",
    "an unknown letter": b"y\0\0\0\x04",
    "a long Sync": b"S\0\x10\0\0",
}


@pytest.mark.parametrize("name", _LATER_BYTES)
def test_bytes_that_are_no_message_end_the_session(cached: ProxiedPostgres, name: str) -> None:
    with cached.wire() as client:
        client.send(_LATER_BYTES[name])
        fields = error(client.read_to_end())

    assert (fields["S"], fields["C"]) == ("FATAL", "08P01")


def test_a_query_in_front_of_garbage_is_answered_first(cached: ProxiedPostgres) -> None:
    with cached.wire() as client:
        client.send(Query(b"SELECT 42"), b"\x01\0\0\0\x04")
        answers = client.read_to_end()

    assert rows(answers) == [[b"42"]]
    assert (answers[-1].kind, answers[-1].fields["C"]) == ("E", "08P01")


def test_random_bytes_never_bring_the_proxy_down(cached: ProxiedPostgres) -> None:
    random_ = random.Random(20)
    kinds = b"QPBDECSHFXdcfp\0\1\xff"
    for _ in range(200):
        with WireClient(cached.url()) as client:
            if random_.random() < 0.8:
                client.start()
            body = random_.randbytes(random_.randrange(60))
            length = random_.choice((len(body) + 4, random_.randrange(200), 0))
            client.send(bytes((random_.choice(kinds),)) + struct.pack(">I", length) + body)


def test_clients_that_say_nothing_hold_nobody_up(cached: ProxiedPostgres) -> None:
    sessions = cached.stack.counter("tidegate_proxy_sessions")
    silent = [WireClient(cached.url()) for _ in range(50)]
    for client in silent[:25]:
        client.send(b"\0\0\0\x50\0\3\0\0user\0")  # and no more
    try:
        with cached.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        for client in silent:
            client.socket.close()
    wait_until(lambda: cached.stack.counter("tidegate_proxy_sessions") == sessions, "the sessions to end")


def test_a_client_that_is_cut_off_leaves_nothing_behind(cached: ProxiedPostgres) -> None:
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cut-off'"
    for sent in (b"", Query(b"SELECT pg_sleep(0.2)").encode(), Query(b"BEGIN").encode(), b"Q\0\0\1\0SELECT"):
        with WireClient(cached.url()).start(parameters=(("application_name", "cut-off"),)) as client:
            client.send(sent)
            assert cached.server.execute(ours) == [(1,)]
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
        wait_until(lambda: cached.server.execute(ours) == [(0,)], "its connection to Postgres to end")


# -- services on their own, in front of servers that are not as they should be


def _environ(database_url: str, **settings: str) -> dict[str, str]:
    return {
        **os.environ,
        "TIDEGATE_DATABASE_URL": database_url,
        **{f"TIDEGATE_{name.upper()}": value for name, value in settings.items()},
    }


@contextmanager
def _proxy(environ: Mapping[str, str], port: int) -> Iterator[ManagedProcess]:
    """Run a proxy alone and wait until it listens."""
    directory = ServerDirectory("proxy")
    process = ManagedProcess(
        "the proxy", [sys.executable, "-m", "services.cli", "proxy"], directory.path / "log", env=environ
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(lambda: listens() or not process.running, "the proxy to listen", 20)
        yield process
        assert "Traceback" not in process.log()
    finally:
        process.stop()
        directory.remove()


def _refusal(service: str, environ: Mapping[str, str]) -> str:
    """Run a service that refuses to; return the line that it says last."""
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli", service], env=environ, capture_output=True, text=True, timeout=30
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 1, said
    assert "Traceback" not in said
    return said.strip().splitlines()[-1]


def _try(url: str) -> dict[str, str]:
    """Connect and return the fields of the error that comes in place of a session; none when there is no error."""
    with WireClient(url) as client:
        client.send(StartupMessage(VERSION, (("user", "postgres"), ("database", "postgres"))))
        while True:
            answer = client.read()
            if answer.kind in "EZ":
                return answer.fields if answer.kind == "E" else {}


def test_postgres_that_is_down_at_the_start_is_named_and_found_when_it_is_up(valkey: RedisServer) -> None:
    port = free_port()
    with PostgresServer() as server:
        server.stop()
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        with _proxy(_environ(server.url(), listen=f"127.0.0.1:{port}", redis_url=valkey.url), port):
            fields = _try(url)
            assert (fields["S"], fields["C"]) == ("FATAL", "08001")
            assert f"127.0.0.1:{server.port}" in fields["M"]
            assert fields["H"]

            server.start()
            assert _try(url) == {}


def test_without_redis_everything_is_answered_by_postgres(newest_postgres: PostgresServer) -> None:
    port = free_port()
    settings = {"listen": f"127.0.0.1:{port}", "redis_url": f"redis://127.0.0.1:{free_port()}/0"}
    with (
        _proxy(_environ(newest_postgres.url(), **settings), port),
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection,
    ):
        connection.execute("CREATE TEMP TABLE here (id int PRIMARY KEY)")
        for value in range(50):
            connection.execute("INSERT INTO here VALUES (%s)", [value])
            assert connection.execute("SELECT count(*) FROM here").fetchone() == (value + 1,)
            assert connection.execute("SELECT count(*) FROM pg_class WHERE relname = 'pg_class'").fetchone() == (1,)


def test_the_proxy_does_not_listen_to_others_where_postgres_trusts_it(
    newest_postgres: PostgresServer, valkey: RedisServer
) -> None:
    environ = _environ(newest_postgres.url(), listen=f"0.0.0.0:{free_port()}", redis_url=valkey.url)
    line = _refusal("proxy", environ)

    assert "without a password" in line
    assert "scram-sha-256" in line


def test_a_client_that_postgres_would_trust_is_refused_where_others_can_come(valkey: RedisServer) -> None:
    """Postgres was down when the proxy asked, and may change its mind later: each session is watched."""
    port = free_port()
    with PostgresServer() as server:
        server.stop()
        environ = _environ(server.url(), listen=f"0.0.0.0:{port}", redis_url=valkey.url)
        with _proxy(environ, port):
            server.start()
            fields = _try(f"postgresql://postgres@127.0.0.1:{port}/postgres")

    assert (fields["S"], fields["C"]) == ("FATAL", "28000")
    assert "without a password" in fields["M"]


def test_a_proxy_that_others_can_reach_lets_in_whom_postgres_asks_for_a_password(valkey: RedisServer) -> None:
    port = free_port()
    with PostgresServer() as server:
        server.execute("ALTER ROLE postgres PASSWORD 'right'")
        server.allow("host all all 127.0.0.1/32 scram-sha-256")
        settings = {"listen": f"0.0.0.0:{port}", "redis_url": valkey.url}
        with _proxy(_environ(server.url(password="right"), **settings), port):
            url = f"postgresql://postgres:right@127.0.0.1:{port}/postgres"
            with psycopg.connect(url, autocommit=True) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(url.replace("right", "wrong"))


def test_changes_cannot_be_followed_without_logical_decoding(valkey: RedisServer) -> None:
    with PostgresServer(wal_level="replica") as server:
        assert "wal_level" in _refusal("cdc", _environ(server.url(), redis_url=valkey.url))


def test_changes_cannot_be_followed_by_a_role_that_may_not_replicate(
    newest_postgres: PostgresServer, newest_database: str, valkey: RedisServer
) -> None:
    newest_postgres.execute("CREATE ROLE powerless LOGIN")
    newest_postgres.execute(f"GRANT CREATE ON DATABASE {newest_database} TO powerless")
    environ = _environ(newest_postgres.url(newest_database, "powerless"), redis_url=valkey.url)

    assert "REPLICATION" in _refusal("cdc", environ)
