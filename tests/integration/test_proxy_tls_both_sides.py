"""TLS on both sides of a proxy that relays logins: what can work works, and what cannot says why."""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import asyncpg
import psycopg
import pytest

from tests.servers.certificates import Authority, Certificate
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.proxy import RunningProxy, running_proxy

_TLS_VERSION = "17"
_METHODS = {"by_scram": "scram-sha-256", "by_md5": "md5", "by_password": "password"}
_REQUIRED: dict[str, Any] = {"sslmode": "require"}


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
    """A Postgres with TLS and a role for each way to authenticate."""
    with PostgresServer(_TLS_VERSION, **authority.postgres_settings(authority.issue("127.0.0.1"))) as started:
        for role, method in _METHODS.items():
            encryption = "md5" if method == "md5" else "scram-sha-256"
            started.execute(f"SET password_encryption = '{encryption}'; CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        lines = (f"host all {role} 127.0.0.1/32 {method}" for role, method in _METHODS.items())
        started.allow(*lines, "host all postgres 127.0.0.1/32 trust")
        yield started


def _settings(pair: Certificate, tls: str) -> dict[str, Any]:
    return {"tls": tls, "tls_certificate": pair.certificate, "tls_key": pair.key}


@pytest.fixture(scope="module")
def insisting(server: PostgresServer, authority: Authority, pair: Certificate) -> Iterator[RunningProxy]:
    """`tls = on` in front of a Postgres under TLS."""
    url = f"{server.url()}?{urlencode({'sslmode': 'verify-full', 'sslrootcert': authority.certificate})}"
    with running_proxy(url, **_settings(pair, "on")) as started:
        yield started


@pytest.fixture(scope="module")
def careful(server: PostgresServer, pair: Certificate) -> Iterator[RunningProxy]:
    """The default, `tls = auto`, in front of the same."""
    with running_proxy(server.url(), **_settings(pair, "auto")) as started:
        yield started


def _login(url: str, **options: Any) -> bool:
    """Log in, and tell whether the client's side was under TLS; Postgres's side is."""
    with psycopg.connect(url, **options) as connection:
        row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert row == (True,)
        return bool(connection.pgconn.ssl_in_use)


@pytest.mark.parametrize("role", _METHODS)
def test_in_the_default_every_client_that_can_do_without_tls_gets_in(careful: RunningProxy, role: str) -> None:
    """Nothing but the port changed: libpq's defaults are sslmode=prefer and channel_binding=prefer."""
    assert _login(careful.url(role, "secret")) is False


def test_in_the_default_a_client_that_insists_is_told_that_there_is_no_tls(careful: RunningProxy) -> None:
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        _login(careful.url("by_scram", "secret"), **_REQUIRED)


@pytest.mark.parametrize("role", ["by_md5", "by_password"])
def test_logins_that_are_not_bound_to_a_channel_are_relayed_under_tls(insisting: RunningProxy, role: str) -> None:
    assert _login(insisting.url(role, "secret"), **_REQUIRED) is True


def test_scram_without_channel_binding_is_relayed_under_tls(insisting: RunningProxy) -> None:
    assert _login(insisting.url("by_scram", "secret"), channel_binding="disable", **_REQUIRED) is True


def test_asyncpg_which_binds_nothing_is_relayed_under_tls(insisting: RunningProxy) -> None:
    async def run() -> object:
        connection = await asyncpg.connect(insisting.url("by_scram", "secret"), ssl="require")
        try:
            return await connection.fetchval("SELECT current_user::text")
        finally:
            await connection.close()

    assert asyncio.run(run()) == "by_scram"


@pytest.mark.parametrize("binding", ["prefer", "require"])
def test_a_login_that_is_bound_to_the_proxys_tls_reads_what_would_help(insisting: RunningProxy, binding: str) -> None:
    with pytest.raises(psycopg.OperationalError) as refused:
        _login(insisting.url("by_scram", "secret"), channel_binding=binding, **_REQUIRED)
    assert "FATAL:  tidegate: channel binding cannot be relayed" in str(refused.value)
    assert "auth = scram" in str(refused.value)
    assert "channel_binding=disable" in str(refused.value)


def test_with_the_defaults_of_libpq_it_is_tried_again_in_the_clear(insisting: RunningProxy) -> None:
    assert _login(insisting.url("by_scram", "secret")) is False


def test_a_wrong_password_under_tls_is_postgres_s_word(insisting: RunningProxy) -> None:
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "by_scram"'):
        _login(insisting.url("by_scram", "wrong"), channel_binding="disable", **_REQUIRED)


def test_the_default_follows_what_postgres_does(authority: Authority, pair: Certificate) -> None:
    """TLS of Postgres is switched on and off again while the proxy runs: the next client but one gets what fits."""
    settings = authority.postgres_settings(authority.issue("127.0.0.1"))
    del settings["ssl"]
    with (
        PostgresServer(_TLS_VERSION, **settings) as server,
        running_proxy(server.url(), **_settings(pair, "auto")) as proxy,
    ):

        def switch(ssl: str) -> None:
            server.execute(f"ALTER SYSTEM SET ssl = {ssl}")
            server.execute("SELECT pg_reload_conf()")
            wait_until(lambda: server.execute("SHOW ssl") == [(ssl,)], "the setting to be in force")

        def logs_in_under_tls() -> bool:
            with psycopg.connect(proxy.url()) as connection:
                return bool(connection.pgconn.ssl_in_use)

        assert logs_in_under_tls() is True
        switch("on")
        wait_until(lambda: not logs_in_under_tls(), "TLS to be withdrawn")
        switch("off")
        wait_until(logs_in_under_tls, "TLS to be offered again")


def test_what_postgres_does_is_found_out_when_it_comes_up(authority: Authority, pair: Certificate) -> None:
    with PostgresServer() as plain:
        plain.stop()
        with running_proxy(plain.url(), **_settings(pair, "auto")) as proxy:
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(proxy.url(), **_REQUIRED)
            plain.start()
            with psycopg.connect(proxy.url(), **_REQUIRED) as connection:
                assert connection.pgconn.ssl_in_use
