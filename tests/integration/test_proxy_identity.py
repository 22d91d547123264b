"""Behind a unix-domain socket Postgres may see who the proxy is: nobody else may come in as that (hazard H46)."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.integration.proxied_postgres import DURABLE, ProxiedPostgres
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerDirectory, unprivileged_account
from tests.servers.stack import running_stack

_REFUSED = "Postgres may know this proxy by its system user"
_ROLES = "CREATE ROLE by_peer LOGIN; CREATE ROLE by_trust LOGIN; CREATE ROLE by_scram LOGIN PASSWORD 'secret'"


@pytest.fixture(scope="module")
def sockets() -> Iterator[Path]:
    directory = ServerDirectory("sockets")
    directory.path.chmod(0o755)
    yield directory.path
    directory.remove()


@pytest.fixture(scope="module")
def proxied(sockets: Path) -> Iterator[ProxiedPostgres]:
    """A stack that reaches Postgres by its unix-domain socket, and listens on one of its own."""
    with PostgresServer(**DURABLE) as server:
        server.execute(_ROLES)
        own_name = pwd.getpwuid(os.geteuid()).pw_name
        (server.data_directory / "pg_ident.conf").write_text(f"proxy {own_name} by_peer\n")
        server.allow(
            "local all by_peer peer map=proxy",
            "local all by_trust trust",
            "local all by_scram scram-sha-256",
            "local replication postgres trust",
            "host all postgres 127.0.0.1/32 trust",
        )
        environ = {"TIDEGATE_LISTEN_UNIX": str(sockets)}
        with running_stack(server.url(unix_socket=True), "--workers", "1", environ=environ) as stack:
            yield ProxiedPostgres(server, stack)


def _user_by_unix(proxied: ProxiedPostgres, sockets: Path, user: str, password: str = "") -> object:
    credentials = f"{user}:{quote(password)}" if password else user
    url = f"postgresql://{credentials}@/postgres?host={sockets}&port={proxied.proxy_port}"
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_user::text").fetchone()
        return row[0] if row else None


@contextmanager
def _as_somebody_else() -> Iterator[None]:
    """Be another user of the system for a moment. Only root can; who is not root has no other user to be tested."""
    account = unprivileged_account()
    if account is None:
        yield
        return
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.parametrize("role", ["by_peer", "by_trust"])
def test_the_proxys_own_user_may_be_by_our_socket_whom_he_may_be_by_that_of_postgres(
    proxied: ProxiedPostgres, sockets: Path, role: str
) -> None:
    assert _user_by_unix(proxied, sockets, role) == role


@pytest.mark.parametrize("role", ["by_peer", "by_trust"])
def test_who_came_by_tcp_may_be_anybody_and_is_refused(proxied: ProxiedPostgres, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=_REFUSED):
        psycopg.connect(proxied.url(role))


@pytest.mark.parametrize("role", ["by_peer", "by_trust"])
def test_another_user_of_the_system_is_refused(proxied: ProxiedPostgres, sockets: Path, role: str) -> None:
    if os.geteuid() != 0:
        return  # there is nobody else to be; tests/unit/proxy/test_peer_user.py decides the same case
    with _as_somebody_else(), pytest.raises(psycopg.OperationalError, match=_REFUSED):
        _user_by_unix(proxied, sockets, role)


def test_who_proves_himself_comes_in_from_wherever_he_comes(proxied: ProxiedPostgres, sockets: Path) -> None:
    with psycopg.connect(proxied.url("by_scram", "secret")) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == ("by_scram",)
    with _as_somebody_else():
        assert _user_by_unix(proxied, sockets, "by_scram", "secret") == "by_scram"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _user_by_unix(proxied, sockets, "by_scram", "wrong")
