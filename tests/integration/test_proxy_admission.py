"""Who may come in: Postgres decides, in its own words; and nobody who cannot log in gets a byte from the cache."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.shared.pgwire.authentication import encode_password
from services.shared.pgwire.frontend import Query
from services.shared.pgwire.startup import VERSION_3_0, CancelRequest, StartupMessage
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import Answer, WireClient, error
from tests.servers.processes import wait_until
from tests.servers.proxy import running_proxy

_SQL = """
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people VALUES (1, 'a secret name');
CREATE ROLE app LOGIN PASSWORD 'right';
CREATE ROLE nologin NOLOGIN PASSWORD 'right';
CREATE ROLE expired LOGIN PASSWORD 'right' VALID UNTIL '2001-01-01';
CREATE ROLE unwelcome LOGIN PASSWORD 'right';
CREATE ROLE passwordless LOGIN;
CREATE ROLE full_up LOGIN PASSWORD 'right' CONNECTION LIMIT 0;
GRANT SELECT ON people TO app, nologin, expired, unwelcome;
"""
_DATABASES = (
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "CREATE DATABASE private",
    "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
)
_HBA = (
    "host all postgres 127.0.0.1/32 trust",
    "host all unwelcome 127.0.0.1/32 reject",
    "host postgres,closed,private,nowhere all 127.0.0.1/32 {method}",
)
_REFUSED = {  # role, password, database, SQLSTATE
    "a wrong password": ("app", "wrong", "postgres", "28P01"),
    "an unknown role": ("nobody", "right", "postgres", "28P01"),
    "a role without LOGIN": ("nologin", "right", "postgres", "28000"),
    "a password that has run out": ("expired", "right", "postgres", "28P01"),
    "a role without a password": ("passwordless", "right", "postgres", "28P01"),
    "a role that pg_hba.conf rejects": ("unwelcome", "right", "postgres", "28000"),
    "a database that no line of pg_hba.conf names": ("app", "right", "template1", "28000"),
    "a database that does not exist": ("app", "right", "nowhere", "3D000"),
    "a database that takes no connections": ("app", "right", "closed", "55000"),
    "a database that the role may not connect to": ("app", "right", "private", "42501"),
    "a role with no connection left": ("full_up", "right", "postgres", "53300"),
}


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    with proxied_postgres(sql=_SQL, hba=[line.format(method="scram-sha-256") for line in _HBA]) as started:
        for statement in _DATABASES:
            started.server.execute(statement)
        with started.connect() as warm:
            started.wait_cached(lambda: warm.execute("SELECT name FROM people WHERE id = 1").fetchall())
        yield started
        assert "Traceback" not in started.stack.process.log()


def _refusal(url: str) -> str:
    """Fail to log in; return what the server said."""
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(url, sslmode="disable")
    return str(refused.value).partition("FATAL:  ")[2]


@pytest.mark.parametrize("name", _REFUSED)
def test_who_cannot_log_in_reads_what_postgres_says(proxied: ProxiedPostgres, name: str) -> None:
    role, password, database, _ = _REFUSED[name]
    direct = _refusal(proxied.server.url(database, role, password))
    failed = _logins_failed(proxied)

    assert direct
    assert _refusal(proxied.url(role, password, database)) == direct
    wait_until(lambda: _logins_failed(proxied) == failed + 1, "the failure to be counted")


def _logins_failed(proxied: ProxiedPostgres) -> float:
    return proxied.stack.counter("tidegate_proxy_logins_failed_total")


def _answers(url: str, role: str, password: str, database: str) -> list[Answer]:
    """Log in by a password in the clear and ask for what is in the cache without waiting for leave to."""
    with WireClient(url) as client:
        client.send(StartupMessage(VERSION_3_0, (("user", role), ("database", database))).encode())
        client.send(encode_password(password.encode()), Query(b"SELECT name FROM people WHERE id = 1"))
        return client.read_to_end()


@pytest.mark.parametrize("name", _REFUSED)
def test_every_byte_of_a_refusal_is_postgres_s_own(proxied: ProxiedPostgres, name: str) -> None:
    """With what is asked for sent ahead: not a byte of it comes back."""
    role, password, database, sqlstate = _REFUSED[name]
    proxied.server.allow(*(line.format(method="password") for line in _HBA))
    try:
        direct = _answers(proxied.direct_url, role, password, database)
        relayed = _answers(proxied.url(), role, password, database)
    finally:
        proxied.server.allow(*(line.format(method="scram-sha-256") for line in _HBA))

    assert error(direct)["C"] == sqlstate
    assert [answer.raw for answer in relayed] == [answer.raw for answer in direct]
    assert not any(answer.kind in "DTZ" for answer in relayed)


def test_a_login_that_is_revoked_stops_the_next_connection(proxied: ProxiedPostgres) -> None:
    def read() -> list[Any]:
        with psycopg.connect(proxied.url("app", "right"), autocommit=True) as connection:
            return connection.execute("SELECT name FROM people WHERE id = 1").fetchall()

    assert read() == [("a secret name",)]
    proxied.server.execute("ALTER ROLE app NOLOGIN")
    try:
        with pytest.raises(psycopg.OperationalError, match='role "app" is not permitted to log in'):
            read()
    finally:
        proxied.server.execute("ALTER ROLE app LOGIN")
    assert read() == [("a secret name",)]


def test_md5_with_a_wrong_answer_is_refused(proxied: ProxiedPostgres) -> None:
    """The challenge is Postgres's own, fresh each time: what was overheard once opens nothing."""
    proxied.server.execute("SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD 'right'")
    proxied.server.allow(*(line.format(method="md5") for line in _HBA))
    salts = set()
    try:
        for _ in range(2):
            with WireClient(proxied.url()) as client:
                client.send(StartupMessage(VERSION_3_0, (("user", "by_md5"), ("database", "postgres"))))
                salts.add(client.read().body[4:])
                client.send(encode_password(b"md5" + b"0" * 32))
                assert error(client.read_to_end())["C"] == "28P01"
    finally:
        proxied.server.allow(*(line.format(method="scram-sha-256") for line in _HBA))
    assert len(salts) == 2


# -- networks


def _startup(**more: str) -> StartupMessage:
    return StartupMessage(VERSION_3_0, (("user", "app"), ("database", "postgres"), *more.items()))


def test_a_client_from_elsewhere_is_refused_before_postgres_hears_of_it(proxied: ProxiedPostgres) -> None:
    with running_proxy(proxied.direct_url, allow_clients="10.0.0.0/8, ::1/128, 127.0.0.2/32") as proxy:
        with WireClient(proxy.url()) as client:
            client.send(_startup())
            fields = error(client.read_to_end())
        assert (fields["S"], fields["C"]) == ("FATAL", "28000")
        assert fields["M"] == (
            'tidegate: no allow_clients entry for host "127.0.0.1", user "app", database "postgres", no encryption'
        )
        ours = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
        assert proxied.server.execute(ours) == [(0,)]

        with WireClient(proxy.url()) as client:
            client.send(_startup(replication="true"))
            assert error(client.read_to_end())["C"] == "28000"


def test_a_cancel_request_from_elsewhere_is_not_passed_on(proxied: ProxiedPostgres) -> None:
    with (
        proxied.server.connect() as running,
        running_proxy(proxied.direct_url, allow_clients="10.0.0.0/8") as proxy,
        WireClient(proxied.direct_url).start() as victim,
    ):
        (key,) = [answer.body for answer in victim.greeting if answer.kind == "K"]
        cancel = CancelRequest(int.from_bytes(key[:4], "big"), key[4:]).encode()
        victim.send(Query(b"SELECT pg_sleep(1.5)"))
        with WireClient(proxy.url()) as stranger:
            stranger.send(cancel)
            assert stranger.read_to_end() == []
        assert not [answer for answer in victim.read_until("Z") if answer.kind == "E"]
        assert running.execute("SELECT 1").fetchone() == (1,)


def test_a_client_from_an_allowed_network_gets_in(proxied: ProxiedPostgres) -> None:
    with (
        running_proxy(proxied.direct_url, allow_clients="127.0.0.0/8") as proxy,
        psycopg.connect(proxy.url("app", "right")) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
