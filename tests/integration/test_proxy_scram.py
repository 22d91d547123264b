"""`auth = scram` in the real proxy: TLS with channel binding on both sides, and Postgres decides all the same."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import psycopg
import pytest

from services.proxy.scram.verifier import Verifier
from services.proxy.verifiers.users_file import change_userlist
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from tests.integration.proxied_postgres import DURABLE, ProxiedPostgres
from tests.servers.certificates import Authority, Certificate
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError, wait_until
from tests.servers.proxy import RunningProxy, running_proxy
from tests.servers.stack import running_stack

_TLS_VERSION = "17"
_ROLES = """
CREATE ROLE ada LOGIN PASSWORD 'pencil';
CREATE ROLE barred NOLOGIN PASSWORD 'pencil';
CREATE ROLE expired LOGIN PASSWORD 'pencil' VALID UNTIL '2001-01-01';
CREATE ROLE courier LOGIN REPLICATION PASSWORD 'pencil';
CREATE ROLE clerk LOGIN PASSWORD 'clerk';
CREATE ROLE trusted LOGIN PASSWORD 'pencil';
"""
_HBA = (
    "host all postgres 127.0.0.1/32 trust",
    "host all trusted 127.0.0.1/32 trust",
    "hostssl replication courier 127.0.0.1/32 scram-sha-256",
    "hostssl all all 127.0.0.1/32 scram-sha-256",
)


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Certificate:
    return authority.issue("127.0.0.1")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PostgresServer]:
    with PostgresServer(_TLS_VERSION, **authority.postgres_settings(authority.issue("127.0.0.1"))) as started:
        started.execute(_ROLES)
        started.allow(*_HBA)
        yield started


def _upstream(server: PostgresServer, authority: Authority, role: str = "postgres", password: str | None = None) -> str:
    tls = urlencode({"sslmode": "verify-full", "sslrootcert": authority.certificate})
    return f"{server.url(user=role, password=password)}?{tls}"


@pytest.fixture(scope="module")
def proxy(server: PostgresServer, authority: Authority, pair: Certificate) -> Iterator[RunningProxy]:
    """`auth = scram` and nothing else: TLS is offered by the default, `tls = auto`."""
    settings: dict[str, Any] = {"auth": "scram", "tls_certificate": pair.certificate, "tls_key": pair.key}
    with running_proxy(_upstream(server, authority), **settings) as started:
        yield started


def _state(url: str, **options: Any) -> tuple[Any, ...]:
    """Log in; return who that is, whether Postgres sees TLS, and whether the client does."""
    with psycopg.connect(url, **options) as connection:
        row = connection.execute(
            "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
        assert row is not None
        return (*row, connection.pgconn.ssl_in_use)


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_channel_binding_under_tls_on_both_sides(proxy: RunningProxy, binding: str) -> None:
    found = _state(proxy.url("ada", "pencil"), sslmode="require", channel_binding=binding)
    assert found == ("ada", True, True)


def test_nothing_but_the_port_changed(proxy: RunningProxy) -> None:
    """With libpq's defaults, sslmode=prefer and channel_binding=prefer, the connection is under TLS and bound."""
    assert _state(proxy.url("ada", "pencil")) == ("ada", True, True)


def test_a_certificate_that_is_looked_at(proxy: RunningProxy, authority: Authority) -> None:
    options = {"sslmode": "verify-full", "sslrootcert": str(authority.certificate), "channel_binding": "require"}
    assert _state(proxy.url("ada", "pencil"), **options) == ("ada", True, True)


def test_a_client_in_the_clear(proxy: RunningProxy) -> None:
    assert _state(proxy.url("ada", "pencil"), sslmode="disable") == ("ada", True, False)


def test_asyncpg(proxy: RunningProxy) -> None:
    async def scenario() -> object:
        connection = await asyncpg.connect(proxy.url("ada", "pencil"), ssl="require")
        try:
            return await connection.fetchval("SELECT current_user::text")
        finally:
            await connection.close()

    assert asyncio.run(scenario()) == "ada"


def test_a_replication_connection(proxy: RunningProxy) -> None:
    url = f"{proxy.url('courier', 'pencil')}?replication=database&sslmode=require"
    connection = psycopg.pq.PGconn.connect(url.encode())
    try:
        assert connection.status == psycopg.pq.ConnStatus.OK, connection.error_message
        assert connection.exec_(b"IDENTIFY_SYSTEM").ntuples == 1
    finally:
        connection.finish()


@pytest.mark.parametrize(
    ("user", "password", "database", "told"),
    [
        ("ada", "wrong", "postgres", 'FATAL:  password authentication failed for user "ada"'),
        ("nobody", "pencil", "postgres", 'FATAL:  password authentication failed for user "nobody"'),
        ("expired", "pencil", "postgres", 'FATAL:  password authentication failed for user "expired"'),
        ("barred", "pencil", "postgres", 'FATAL:  role "barred" is not permitted to log in'),
        ("ada", "pencil", "absent", 'FATAL:  database "absent" does not exist'),
        ("trusted", "pencil", "postgres", "Postgres admits this proxy without a password"),
    ],
)
def test_who_does_not_come_in(proxy: RunningProxy, user: str, password: str, database: str, told: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=told):
        _state(proxy.url(user, password, database), sslmode="require")


def test_a_new_password_counts_from_the_moment_on_that_postgres_has_it(
    proxy: RunningProxy, server: PostgresServer
) -> None:
    server.execute("CREATE ROLE changing LOGIN PASSWORD 'one'")
    assert _state(proxy.url("changing", "one"))[0] == "changing"
    server.execute("ALTER ROLE changing PASSWORD 'two'")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _state(proxy.url("changing", "one"))
    assert _state(proxy.url("changing", "two"))[0] == "changing"
    server.execute("ALTER ROLE changing NOLOGIN")
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        _state(proxy.url("changing", "two"))


def test_many_at_once(proxy: RunningProxy) -> None:
    async def scenario() -> None:
        async def one() -> None:
            connection = await psycopg.AsyncConnection.connect(proxy.url("ada", "pencil"), sslmode="require")
            await connection.close()

        await asyncio.gather(*[one() for _ in range(40)])

    asyncio.run(scenario())


def test_where_postgres_shows_its_verifiers_to_nobody(
    server: PostgresServer, authority: Authority, tmp_path: Path
) -> None:
    """Managed Postgres: the users file is the only source, and it is read again when it changes."""
    users = tmp_path / "users.txt"
    change_userlist(users, lambda userlist: userlist)
    upstream = _upstream(server, authority, "clerk", "clerk")
    with running_proxy(upstream, auth="scram", users_file=users) as proxy:
        assert "verifiers come from the users file alone" in proxy.process.log()
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                _state(proxy.url("ada", "pencil"))
        assert proxy.process.log().count("there is no verifier for a user") == 1
        assert "tidegate user add" in proxy.process.log()
        ((written,),) = server.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'ada'")
        change_userlist(users, lambda userlist: userlist.with_user("ada", Verifier.parse(written)))
        assert _state(proxy.url("ada", "pencil")) == ("ada", True, False)
        assert written not in proxy.process.log()


def test_without_any_source_the_start_is_refused(server: PostgresServer, authority: Authority, tmp_path: Path) -> None:
    upstream = _upstream(server, authority, "clerk", "clerk")
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "permission denied for table pg_authid"),
        ({"users_file": tmp_path / "absent.txt"}, "there is no such file"),
    ]
    for settings, told in cases:
        with pytest.raises(ServerError, match=told), running_proxy(upstream, auth="scram", **settings):
            pass


def test_while_postgres_is_away_the_client_is_told_so(pair: Certificate) -> None:
    with PostgresServer() as server:
        server.execute("CREATE ROLE ada LOGIN PASSWORD 'pencil'")
        server.allow("host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256")
        with running_proxy(server.url(), auth="scram") as proxy:
            assert _state(proxy.url("ada", "pencil")) == ("ada", False, False)
            server.stop()
            with pytest.raises(psycopg.OperationalError, match="cannot be reached"):
                _state(proxy.url("ada", "pencil"))
            server.start()
            assert _state(proxy.url("ada", "pencil")) == ("ada", False, False)


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(proxy: RunningProxy, server: PostgresServer) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
            client.sendall(StartupMessage(VERSION_3_0, (("user", "ada"), ("database", "postgres"))).encode())
            assert client.recv(1) == b"R"
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename IS NULL AND backend_type = 'client backend'"
    wait_until(lambda: server.execute(count) == [(0,)], "the logins to end in Postgres")


def test_what_is_cached_is_for_those_whom_postgres_lets_in() -> None:
    """The whole stack, as `tidegate up` starts it: a session that came in by scram is a session like any other."""
    with PostgresServer(**DURABLE) as server:
        server.execute("CREATE ROLE ada LOGIN PASSWORD 'pencil'; CREATE TABLE kept (id int PRIMARY KEY)")
        server.execute("INSERT INTO kept VALUES (1); GRANT SELECT ON kept TO ada")
        server.allow("host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256")
        with running_stack(server.url(), environ={"TIDEGATE_AUTH": "scram"}) as stack:
            proxied = ProxiedPostgres(server, stack)
            with psycopg.connect(proxied.url("ada", "pencil"), autocommit=True) as connection:
                proxied.wait_cached(lambda: connection.execute("SELECT * FROM kept WHERE id = 1").fetchall())
            before = proxied.hits()
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(proxied.url("ada", "wrong"))
            assert proxied.hits() == before
