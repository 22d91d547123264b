"""TLS between the proxy and Postgres: every `sslmode` of libpq, in front of servers of every disposition."""

import asyncio
import contextlib
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
import uvloop

from services.proxy.control import ConnectControl
from services.proxy.upstream.cancel import relay_cancel
from services.proxy.upstream.dialler import Dialler
from services.proxy.upstream.failure import TlsFailure, TlsNotOffered
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from services.shared.runtime.refusal import Refusal
from services.shared.runtime.upstream import parse_upstream
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import WireClient, error
from tests.servers.certificates import Authority, Certificate
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError, free_port, wait_until
from tests.servers.proxy import running_proxy

_MIB = 1 << 20
_TLS_VERSION = "17"  # the newest Postgres of the tests that has TLS
_STARTUP = StartupMessage(VERSION_3_0, (("user", "postgres"), ("database", "postgres"))).encode()


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    """The proxy's certificate as a client of Postgres."""
    return authority.issue(common_name="postgres")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PostgresServer]:
    """A Postgres with TLS, whose certificate is for 127.0.0.1 and not for localhost."""
    with PostgresServer(_TLS_VERSION, **authority.postgres_settings(authority.issue("127.0.0.1"))) as started:
        yield started


@pytest.fixture
def open_server(server: PostgresServer) -> PostgresServer:
    """It takes connections with TLS and without."""
    server.allow("host all all 127.0.0.1/32 trust")
    return server


@pytest.fixture(scope="module")
def plain_server() -> Iterator[PostgresServer]:
    """A Postgres without TLS."""
    with PostgresServer() as started:
        yield started


def _url(server: PostgresServer, host: str = "127.0.0.1", **parameters: Any) -> str:
    return f"postgresql://postgres@{host}:{server.port}/postgres?{urlencode(parameters)}"


def _begin(url: str) -> tuple[bytes, bool]:
    """Open a client's connection to Postgres; return the kind of the first answer, and whether it is under TLS."""

    async def run() -> tuple[bytes, bool]:
        dialler = Dialler(parse_upstream(url))
        opening = await dialler.begin(_STARTUP)
        first = await opening.first_bytes(1)
        encrypted = opening.connection.encrypted
        assert dialler.encrypted is encrypted
        opening.connection.close()
        await opening.first_bytes(_MIB)  # until it is closed
        return first[:1], encrypted

    outcome: tuple[bytes, bool] = _run(run())
    return outcome


def _run(coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(coroutine, 20))


_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ONLY_TLS, _ONLY_PLAIN, _BOTH = ("hostssl",), ("hostnossl",), ("host",)

# What libpq ends up with: under TLS, in the clear, or with the server's refusal (of the last way that it tried).
_TLS, _PLAIN, _REFUSED = (b"R", True), (b"R", False), b"E"
_OUTCOMES: dict[tuple[str, ...], tuple[object, ...]] = {
    _BOTH: (_PLAIN, _PLAIN, _TLS, _TLS, _TLS, _TLS),
    _ONLY_TLS: (_REFUSED, _TLS, _TLS, _TLS, _TLS, _TLS),
    _ONLY_PLAIN: (_PLAIN, _PLAIN, _PLAIN, _REFUSED, _REFUSED, _REFUSED),
}


@pytest.mark.parametrize("kinds", _OUTCOMES)
def test_every_mode_ends_as_it_does_in_libpq(
    server: PostgresServer, authority: Authority, own: Certificate, kinds: tuple[str, ...]
) -> None:
    server.allow(*(f"{kind} all all 127.0.0.1/32 trust" for kind in kinds))
    for mode, outcome in zip(_MODES, _OUTCOMES[kinds], strict=True):
        url = _url(server, sslmode=mode, sslrootcert=authority.certificate, sslcert=own.certificate, sslkey=own.key)
        kind, encrypted = _begin(url)
        assert outcome == (kind if outcome is _REFUSED else (kind, encrypted)), mode
        try:
            with psycopg.connect(url) as libpq:
                assert outcome == (b"R", bool(libpq.pgconn.ssl_in_use)), mode
        except psycopg.OperationalError:
            assert outcome is _REFUSED, mode


@pytest.mark.parametrize("mode", _MODES)
def test_every_mode_in_front_of_a_server_without_tls(
    plain_server: PostgresServer, authority: Authority, mode: str
) -> None:
    url = _url(plain_server, sslmode=mode, sslrootcert=authority.certificate)
    if mode in ("disable", "allow", "prefer"):
        assert _begin(url) == _PLAIN
    else:
        with pytest.raises(TlsNotOffered):
            _begin(url)


def test_a_certificate_for_another_name_is_refused_by_verify_full_alone(
    open_server: PostgresServer, authority: Authority
) -> None:
    for mode in _MODES[3:5]:
        assert _begin(_url(open_server, "localhost", sslmode=mode, sslrootcert=authority.certificate)) == _TLS
    with pytest.raises(TlsFailure, match="Hostname mismatch"):
        _begin(_url(open_server, "localhost", sslmode="verify-full", sslrootcert=authority.certificate))


def test_a_certificate_of_an_unknown_authority_is_refused_where_roots_are_given(open_server: PostgresServer) -> None:
    stranger = Authority()
    for mode in _MODES[3:]:
        with pytest.raises(TlsFailure, match="certificate verify failed"):
            _begin(_url(open_server, sslmode=mode, sslrootcert=stranger.certificate))
    assert _begin(_url(open_server, sslmode="prefer", sslrootcert=stranger.certificate)) == _PLAIN  # as libpq does
    assert _begin(_url(open_server, sslmode="require")) == _TLS
    with pytest.raises(TlsFailure, match="certificate verify failed"):
        _begin(_url(open_server, sslrootcert="system"))
    stranger.remove()


def test_direct_tls_is_spoken_to_a_server_that_understands_it(
    open_server: PostgresServer, plain_server: PostgresServer, authority: Authority
) -> None:
    direct: dict[str, Any] = {
        "sslmode": "verify-full",
        "sslrootcert": authority.certificate,
        "sslnegotiation": "direct",
    }
    assert _begin(_url(open_server, **direct)) == _TLS
    with pytest.raises(TlsFailure):
        _begin(_url(plain_server, **direct))


def test_a_unix_socket_never_has_tls(open_server: PostgresServer) -> None:
    url = open_server.url(unix_socket=True) + "&sslmode=require"
    assert _begin(url) == _PLAIN


def test_files_that_cannot_be_used_are_named(
    open_server: PostgresServer, authority: Authority, own: Certificate
) -> None:
    other = authority.issue(common_name="other")
    encrypted = authority.issue(common_name="other", password=b"secret")
    missing = own.key.with_name("missing")
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"sslmode": "verify-ca", "sslrootcert": missing}, "sslrootcert of TIDEGATE_DATABASE_URL.*does not exist"),
        ({"sslmode": "verify-ca", "sslrootcert": own.key}, "sslrootcert of TIDEGATE_DATABASE_URL.*cannot be used"),
        ({"sslmode": "require", "sslcert": missing, "sslkey": own.key}, "sslcert of TIDEGATE_DATABASE_URL"),
        ({"sslmode": "require", "sslcert": own.certificate, "sslkey": missing}, "sslkey of TIDEGATE_DATABASE_URL"),
        ({"sslmode": "require", "sslcert": own.certificate, "sslkey": other.key}, "not the certificate's key"),
        ({"sslmode": "require", "sslcert": encrypted.certificate, "sslkey": encrypted.key}, "encrypted"),
    )
    for parameters, words in cases:
        with pytest.raises(Refusal, match=words):
            Dialler(parse_upstream(_url(open_server, **parameters)))


# -- servers that do not behave


@asynccontextmanager
async def _server_that_answers(*answers: bytes) -> AsyncIterator[int]:
    """Answer each connection in turn with some bytes, whatever it asks, and close it."""
    waiting = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(waiting.pop(0))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


_ERROR = b"E\0\0\0\x2eSFATAL\0VFATAL\0C28000\0Myou are in, trust me\0\0"


@pytest.mark.parametrize("answer", [_ERROR, b"S" + _ERROR, b"SR\0\0\0\x08\0\0\0\0", b"X", b"N" + _ERROR, b""])
@pytest.mark.parametrize("mode", ["require", "prefer"])
def test_nothing_that_came_in_the_clear_is_taken_for_the_answer_of_postgres(answer: bytes, mode: str) -> None:
    """Whoever stands between could have written it (CVE-2021-23222 and CVE-2024-10977 in libpq)."""

    async def run() -> None:
        # The second connection, without TLS, is what `prefer` does next.
        async with _server_that_answers(answer, b"") as port:
            dialler = Dialler(parse_upstream(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode={mode}"))
            with pytest.raises(OSError, match=r"unexpected bytes|closed") as failure:
                await dialler.begin(_STARTUP)
            assert "trust me" not in str(failure.value)

    _run(run())


def test_a_server_that_closes_without_a_word_is_no_bug() -> None:
    async def run() -> None:
        async with _server_that_answers(b"") as port:
            dialler = Dialler(parse_upstream(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"))
            with pytest.raises(ConnectionResetError):
                await dialler.begin(_STARTUP)

    _run(run())


# -- through a proxy


def test_a_client_reads_why_tls_with_postgres_failed(
    open_server: PostgresServer, plain_server: PostgresServer, authority: Authority
) -> None:
    stranger = Authority()
    for url, words in (
        (_url(plain_server, sslmode="require"), "does not offer TLS, which sslmode=require of TIDEGATE_DATABASE_URL"),
        (_url(open_server, sslmode="verify-full", sslrootcert=stranger.certificate), "is not accepted under sslmode"),
        (_url(open_server, "localhost", sslmode="verify-full", sslrootcert=authority.certificate), "Hostname mismatch"),
    ):
        with running_proxy(url) as proxy, WireClient(proxy.url()) as client:
            client.send(_STARTUP)
            fields = error(client.read_to_end())
            assert (fields["S"], fields["C"]) == ("FATAL", "08001")
            assert words in fields["M"]
            assert "TIDEGATE_DATABASE_URL" in fields["H"]
    stranger.remove()


def test_files_that_cannot_be_used_stop_the_proxy_at_its_start(open_server: PostgresServer) -> None:
    url = _url(open_server, sslmode="verify-ca", sslrootcert="/nowhere/root.crt")
    with (
        pytest.raises(ServerError, match=r"sslrootcert of TIDEGATE_DATABASE_URL: /nowhere/root\.crt"),
        running_proxy(url),
    ):
        pass


@pytest.fixture(scope="module")
def proxied(authority: Authority) -> Iterator[ProxiedPostgres]:
    """The whole stack in front of a Postgres that takes nothing in the clear over TCP."""
    certificate = authority.issue("127.0.0.1")
    own = authority.issue(common_name="tidegate")
    query = urlencode(
        {
            "sslmode": "verify-full",
            "sslrootcert": authority.certificate,
            "sslcert": own.certificate,
            "sslkey": own.key,
        }
    )
    lines = (
        "hostssl all,replication tidegate 127.0.0.1/32 cert",
        "hostssl all,replication app 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
        "host all postgres 127.0.0.1/32 trust",  # for the tests themselves
        "hostnossl all app,tidegate 127.0.0.1/32 reject",
    )
    with proxied_postgres(
        version=_TLS_VERSION,
        sql="CREATE ROLE tidegate LOGIN SUPERUSER; CREATE ROLE app LOGIN REPLICATION PASSWORD 'secret';"
        "CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people VALUES (1, 'person 1');"
        "GRANT SELECT ON people TO app",
        hba=lines,
        upstream_user="tidegate",
        upstream_query=query,
        **authority.postgres_settings(certificate),
    ) as started:
        yield started
        assert "Traceback" not in started.stack.process.log()


def test_all_connections_to_postgres_are_under_tls(proxied: ProxiedPostgres) -> None:
    with psycopg.connect(proxied.url("app", "secret"), autocommit=True) as client:
        client.execute("SET application_name = 'a client'")
        seen = proxied.server.execute(
            "SELECT application_name, ssl, client_dn FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
            "WHERE application_name LIKE 'tidegate%' OR application_name = 'a client'"
        )
    names = {name for name, _, _ in seen}
    assert {"tidegate-proxy-probe", "tidegate-proxy-catalog", "a client"} <= names
    assert any("cdc" in name for name in names), names
    assert any(name for name, _, _ in seen if "replication" in name or "walsender" in name or "cdc" in name)
    assert {(ssl, dn) for _, ssl, dn in seen} == {(True, "/CN=tidegate")}


def test_reads_are_hits_above_tls(proxied: ProxiedPostgres) -> None:
    with psycopg.connect(proxied.url("app", "secret"), autocommit=True) as client:
        proxied.wait_all_cached(lambda: client.execute("SELECT name FROM people WHERE id = 1").fetchall(), 3)


def test_the_certificate_of_the_proxy_lets_nobody_in(proxied: ProxiedPostgres) -> None:
    """Postgres would admit `tidegate` by that certificate: whoever reaches the proxy would be superuser (H46)."""
    with WireClient(proxied.url("tidegate")) as client:
        client.send(StartupMessage(VERSION_3_0, (("user", "tidegate"), ("database", "postgres"))))
        answers = client.read_to_end()
    fields = error(answers)
    assert [answer.kind for answer in answers] == ["E"]
    assert (fields["S"], fields["C"]) == ("FATAL", "28000")
    assert "certificate" in fields["M"]

    with WireClient(proxied.url("tidegate")) as client:
        pairs = (("user", "tidegate"), ("database", "postgres"), ("replication", "database"))
        client.send(StartupMessage(VERSION_3_0, pairs))
        assert [answer.kind for answer in client.read_to_end()] == ["E"]


@pytest.mark.parametrize("method", ["peer", "trust"])
def test_the_system_user_of_the_proxy_lets_nobody_in(plain_server: PostgresServer, method: str) -> None:
    """On a unix socket Postgres may know the proxy by the user that it runs as, which its clients are not."""
    plain_server.allow(f"local all all {method}", "host all all 127.0.0.1/32 trust")
    with running_proxy(plain_server.url(unix_socket=True)) as proxy, WireClient(proxy.url()) as client:
        client.send(_STARTUP)
        fields = error(client.read_to_end())
    assert (fields["S"], fields["C"]) == ("FATAL", "28000")
    assert "system user" in fields["M"]
    assert "TCP" in fields["H"]


def test_a_client_gets_in_by_its_password_over_the_proxys_unix_socket(plain_server: PostgresServer) -> None:
    plain_server.execute("CREATE ROLE by_socket LOGIN PASSWORD 'secret'")
    plain_server.allow("local all by_socket scram-sha-256", "host all all 127.0.0.1/32 trust")
    url = plain_server.url(unix_socket=True)
    with running_proxy(url) as proxy, psycopg.connect(proxy.url("by_socket", "secret")) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == ("by_socket",)


def test_a_client_that_postgres_asks_for_a_password_too_gets_in(proxied: ProxiedPostgres) -> None:
    with psycopg.connect(proxied.url("app", "secret")) as client:
        assert client.execute("SELECT current_user::text").fetchone() == ("app",)
    with psycopg.connect(proxied.url("app", "secret") + "?replication=database", autocommit=True) as replication:
        assert replication.execute("IDENTIFY_SYSTEM").fetchone() is not None
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(proxied.url("app", "wrong"))


def test_a_cancel_request_goes_to_postgres_under_tls(proxied: ProxiedPostgres) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(63)' AND state = 'active'"
    with psycopg.connect(proxied.url("app", "secret")) as connection:

        def cancel() -> None:
            wait_until(lambda: proxied.server.execute(running), "the query to run")
            connection.cancel_safe(timeout=10)

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(63)")
        thread.join()


def test_the_key_of_a_cancel_request_is_not_sent_in_the_clear(
    open_server: PostgresServer, authority: Authority
) -> None:
    """Between the proxy and Postgres stands a relay that writes down what it sees."""
    seen = bytearray()

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to_server, from_server = await asyncio.open_connection("127.0.0.1", open_server.port)

            async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, note: bool) -> None:
                with contextlib.suppress(ConnectionError):
                    while data := await source.read(10_000):
                        if note:
                            seen.extend(data)
                        target.write(data)
                        await target.drain()
                target.close()

            await asyncio.gather(copy(reader, from_server, True), copy(to_server, writer, False))

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as relay:
            port = relay.sockets[0].getsockname()[1]
            query = urlencode({"sslmode": "verify-ca", "sslrootcert": authority.certificate})
            upstream = parse_upstream(f"postgresql://postgres@127.0.0.1:{port}/postgres?{query}")
            await relay_cancel(Dialler(upstream), struct.pack(">IIII", 16, 80877102, 1, 0x5EC2E7))

    _run(run())
    assert seen.startswith(struct.pack(">II", 8, 80877103))
    assert struct.pack(">I", 0x5EC2E7) not in seen


def test_the_control_connections_trust_as_the_url_says(
    open_server: PostgresServer, authority: Authority, own: Certificate
) -> None:
    """What asyncpg reads of the URL it reads as libpq does; what it does not know is made for it."""

    async def connect(**parameters: Any) -> bool:
        connection = await ConnectControl(parse_upstream(_url(open_server, **parameters)), "test")("tls")
        try:
            return bool(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        finally:
            await connection.close()

    trusting: dict[str, Any] = {"sslrootcert": authority.certificate}
    showing: dict[str, Any] = {"sslcert": own.certificate, "sslkey": own.key}
    assert _run(connect(sslmode="disable")) is False
    for mode in _MODES[2:]:
        assert _run(connect(sslmode=mode, **trusting, **showing)) is True
    assert _run(connect(sslmode="verify-full", sslnegotiation="direct", **trusting)) is True
    with pytest.raises(OSError, match="certificate verify failed"):
        _run(connect(sslrootcert="system"))


def test_a_postgres_that_trusts_the_proxy_by_its_certificate_does_not_keep_it_from_listening_to_others(
    server: PostgresServer, authority: Authority, own: Certificate
) -> None:
    """The start asks without the certificate, since each session is refused what rests on it."""
    server.allow("hostssl all postgres 127.0.0.1/32 cert", "hostnossl all postgres 127.0.0.1/32 trust")
    trusted: dict[str, Any] = {"sslmode": "verify-ca", "sslrootcert": authority.certificate}
    url = _url(server, **trusted, sslcert=own.certificate, sslkey=own.key)
    with running_proxy(url, host="0.0.0.0") as proxy, WireClient(proxy.url()) as client:  # noqa: S104 - loopback's too
        client.send(_STARTUP)
        assert error(client.read_to_end())["C"] == "28000"

    server.allow("hostssl all postgres 127.0.0.1/32 trust", "hostnossl all postgres 127.0.0.1/32 trust")
    with pytest.raises(ServerError, match="without a password"), running_proxy(url, host="0.0.0.0"):  # noqa: S104
        pass


def test_a_replication_connection_that_postgres_trusts_is_refused_where_others_can_come(
    plain_server: PostgresServer,
) -> None:
    """pg_hba.conf may ask for passwords everywhere but in its replication lines."""
    plain_server.execute("ALTER ROLE postgres PASSWORD 'right'")
    plain_server.allow("host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 trust")
    url = plain_server.url(password="right")
    with running_proxy(url, host="0.0.0.0") as proxy, WireClient(proxy.url()) as client:  # noqa: S104 - as above
        client.send(StartupMessage(VERSION_3_0, (("user", "postgres"), ("replication", "true"))))
        answers = client.read_to_end()
        assert [answer.kind for answer in answers] == ["E"]
        assert error(answers)["C"] == "28000"


def test_a_postgres_that_is_down_is_not_asked_for_tls_again_and_again() -> None:
    async def run() -> None:
        dialler = Dialler(parse_upstream(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"))
        with pytest.raises(OSError, match="refused") as failure:
            await dialler.begin(_STARTUP)
        assert not isinstance(failure.value, TlsFailure)
        assert dialler.encrypted is None

    _run(run())
