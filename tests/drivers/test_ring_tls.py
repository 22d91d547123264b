"""Every client of the ring logs in under TLS, as its connection string says, and has hits there."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.drivers.clients import CLIENTS, Client
from tests.drivers.program import DriverError, DriverProgram
from tests.drivers.scenarios import row
from tests.integration.proxied_postgres import ProxiedPostgres
from tests.servers.certificates import Authority
from tests.servers.processes import ServerError


def _url(secured: ProxiedPostgres, authority: Authority) -> str:
    return f"{secured.url('app', 'app')}?sslmode=verify-full&sslrootcert={quote(str(authority.certificate), safe='')}"


@pytest.fixture(scope="module", params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    """Each client in turn."""
    found: Client = request.param
    return found


@pytest.fixture(scope="module")
def program(client: Client, secured: ProxiedPostgres, authority: Authority) -> Iterator[DriverProgram]:
    """Its program, under TLS, looking at the proxy's certificate; bound to the channel where it can be told to."""
    url = _url(secured, authority) + ("&channel_binding=require" if client.binds else "")
    with DriverProgram(client.command(), url, client.environ) as started:
        yield started


def test_reads_under_tls_are_hits(program: DriverProgram, secured: ProxiedPostgres) -> None:
    secured.wait_all_cached(lambda: _read(program), 3)


def test_the_connection_string_of_postgres_with_another_port(program: DriverProgram, secured: ProxiedPostgres) -> None:
    assert program.call("connect", secured.url("app", "app")) == [1]


def test_another_authority_is_not_trusted(program: DriverProgram, secured: ProxiedPostgres) -> None:
    stranger = Authority()
    try:
        with pytest.raises((DriverError, ServerError), match=r"(?i)certificate|unable to verify|SSL"):
            program.call("connect", _url(secured, stranger))
    finally:
        stranger.remove()


def _read(program: DriverProgram) -> None:
    assert program.call("row", 7) == [row(7)]
