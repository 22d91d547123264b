"""TLS between clients and the proxy, in front of a Postgres that has none."""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from services.shared.pgwire.frontend import Query
from services.shared.pgwire.startup import (
    VERSION_3_0,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
)
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import WireClient, error, rows
from tests.servers.certificates import Authority, Certificate
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerDirectory, ServerError, wait_until
from tests.servers.proxy import RunningProxy, running_proxy
from tests.servers.stack import running_stack

_HOSTS = ("127.0.0.1", "localhost")
_MIB = 1 << 20
_STARTUP = StartupMessage(VERSION_3_0, (("user", "postgres"), ("database", "postgres")))
_DIRECT: dict[str, Any] = {"sslmode": "require", "sslnegotiation": "direct"}


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Certificate:
    return authority.issue(*_HOSTS)


@pytest.fixture(scope="module")
def proxied(pair: Certificate) -> Iterator[ProxiedPostgres]:
    """The stack with its defaults and a certificate of an authority, so that the proxy offers TLS."""
    sql = "CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people VALUES (1, 'person 1')"
    environ = {"TIDEGATE_TLS_CERTIFICATE": str(pair.certificate), "TIDEGATE_TLS_KEY": str(pair.key)}
    with proxied_postgres(sql=sql, environ=environ) as started:
        yield started
        assert "Traceback" not in started.stack.process.log()


@pytest.fixture(autouse=True)
def _others_go_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a client does, a session under TLS that was there before still works, and no client stays counted."""
    if "proxied" not in request.fixturenames:
        yield
        return
    proxied: ProxiedPostgres = request.getfixturevalue("proxied")
    before = proxied.stack.counter("tidegate_proxy_sessions")
    with proxied.connect(sslmode="require") as witness:
        yield
        assert witness.execute("SELECT 41 + 1").fetchone() == (42,)
    wait_until(lambda: proxied.stack.counter("tidegate_proxy_sessions") == before, "the clients to be counted out")


def _is_encrypted(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    assert connection.execute("SELECT 1").fetchone() == (1,)
    return bool(connection.pgconn.ssl_in_use)


@pytest.mark.parametrize(
    ("sslmode", "encrypted"),
    [
        ("disable", False),
        ("allow", False),
        ("prefer", True),
        ("require", True),
        ("verify-ca", True),
        ("verify-full", True),
    ],
)
def test_libpq_gets_what_its_sslmode_asks_for(
    proxied: ProxiedPostgres, authority: Authority, sslmode: str, encrypted: bool
) -> None:
    with proxied.connect(sslmode=sslmode, sslrootcert=str(authority.certificate)) as connection:
        assert _is_encrypted(connection) is encrypted


def test_direct_tls_is_spoken(proxied: ProxiedPostgres, authority: Authority) -> None:
    with proxied.connect(sslmode="verify-full", sslrootcert=str(authority.certificate), sslnegotiation="direct") as one:
        assert _is_encrypted(one)


def test_a_client_that_does_not_trust_the_authority_leaves(proxied: ProxiedPostgres) -> None:
    other = Authority()
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        proxied.connect(sslmode="verify-full", sslrootcert=str(other.certificate))
    other.remove()


def test_reads_under_tls_are_hits(proxied: ProxiedPostgres) -> None:
    with proxied.connect(sslmode="require") as connection, proxied.server.connect() as direct:

        def name() -> object:
            row = connection.execute("SELECT name FROM people WHERE id = %s", (1,), prepare=True).fetchone()
            return row[0] if row else None

        proxied.wait_all_cached(name, 3)
        direct.execute("UPDATE people SET name = 'changed' WHERE id = 1")
        wait_until(lambda: name() == "changed", "the change to be seen")
        direct.execute("UPDATE people SET name = 'person 1' WHERE id = 1")


def test_asyncpg_is_served_under_tls(proxied: ProxiedPostgres, authority: Authority) -> None:
    async def ask(**options: Any) -> object:
        connection = await asyncpg.connect(proxied.url(), **options)
        try:
            assert await connection.fetchval("SELECT $1::int + 1", 41) == 42
            tls = connection._transport.get_extra_info("ssl_object")
            return tls.version() if tls is not None else None
        finally:
            await connection.close()

    trusting = ssl.create_default_context(cafile=authority.certificate)
    assert asyncio.run(ask(ssl=trusting)) == "TLSv1.3"
    assert asyncio.run(ask(ssl="require", direct_tls=True)) == "TLSv1.3"
    assert asyncio.run(ask(ssl="prefer")) == "TLSv1.3"
    assert asyncio.run(ask(ssl="disable")) is None


def test_psql_is_served_under_tls(proxied: ProxiedPostgres, authority: Authority) -> None:
    url = f"{proxied.url()}?sslmode=verify-full&sslrootcert={authority.certificate}"
    ran = subprocess.run(["psql", url, "-Atc", r"\conninfo", "-c", "SELECT 42"], capture_output=True, text=True)
    assert "TLSv1.3" in ran.stdout, ran.stderr
    assert ran.stdout.splitlines()[-1] == "42"


# -- the handshake by hand


def _context(authority: Authority, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _ask_for_tls(client: WireClient) -> None:
    client.send(SSLRequest().encode())
    assert client.socket.recv(10) == b"S"


def _upgrade(client: WireClient, context: ssl.SSLContext) -> WireClient:
    client.socket = context.wrap_socket(client.socket, server_hostname="127.0.0.1")
    return client


def test_gss_encryption_is_declined_and_tls_may_follow(proxied: ProxiedPostgres, authority: Authority) -> None:
    with WireClient(proxied.url()) as client:
        client.send(GSSENCRequest().encode())
        assert client.socket.recv(10) == b"N"
        _ask_for_tls(client)
        assert rows(_upgrade(client, _context(authority)).start().query("SELECT 1")) == [[b"1"]]


@pytest.mark.parametrize("request_", [SSLRequest(), GSSENCRequest()])
def test_encryption_is_not_asked_for_inside_tls(
    proxied: ProxiedPostgres, authority: Authority, request_: SSLRequest | GSSENCRequest
) -> None:
    with WireClient(proxied.url()) as client:
        _ask_for_tls(client)
        _upgrade(client, _context(authority)).send(request_.encode())
        assert error(client.read_to_end())["C"] == "0A000"


def test_what_comes_in_the_clear_behind_the_request_is_not_taken_for_the_clients(proxied: ProxiedPostgres) -> None:
    """Somebody between client and proxy could have put it there (CVE-2021-23214 in Postgres)."""
    with WireClient(proxied.url()) as client:
        client.send(SSLRequest().encode() + _STARTUP.encode() + Query(b"SELECT 1").encode())
        fields = error(client.read_to_end())

    assert (fields["S"], fields["C"]) == ("FATAL", "08P01")
    assert "unencrypted data after SSL request" in fields["M"]


def test_what_comes_in_the_clear_in_place_of_the_handshake_ends_the_connection(proxied: ProxiedPostgres) -> None:
    with WireClient(proxied.url()) as client:
        _ask_for_tls(client)
        client.send(_STARTUP.encode())
        answer = client.socket.recv(1000)
        assert answer[:1] != b"R"
        assert client.read_to_end() == []


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
def test_direct_tls_without_the_right_protocol_is_turned_away(
    proxied: ProxiedPostgres, authority: Authority, alpn: tuple[str, ...]
) -> None:
    """A browser that was lured here must not be understood, as in Postgres."""
    with WireClient(proxied.url()) as client:
        _upgrade(client, _context(authority, *alpn)).send(_STARTUP.encode())
        assert client.read_to_end() == []


def test_direct_tls_with_the_right_protocol_is_served_byte_by_byte(
    proxied: ProxiedPostgres, authority: Authority
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _context(authority, "postgresql").wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with WireClient(proxied.url()) as client:
        raw = client.socket
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    raw.sendall(bytes((byte,)))
                incoming.write(raw.recv(_MIB))
            else:
                break
        tls.write(_STARTUP.encode())
        raw.sendall(outgoing.read())
        incoming.write(raw.recv(_MIB))
        assert tls.read(1) == b"R"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_not_spoken(proxied: ProxiedPostgres, authority: Authority) -> None:
    context = _context(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with WireClient(proxied.url()) as client:
        _ask_for_tls(client)
        with pytest.raises(ssl.SSLError):
            _upgrade(client, context)


_BAD_HANDSHAKES = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "noise": bytes(range(256)) * 8,
    "a record of no type": b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff",
    "a hello of nothing": b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
}


@pytest.mark.parametrize("name", _BAD_HANDSHAKES)
@pytest.mark.parametrize("direct", [False, True])
def test_what_is_no_handshake_ends_the_connection(proxied: ProxiedPostgres, name: str, direct: bool) -> None:
    with WireClient(proxied.url()) as client:
        if direct:
            client.send(b"\x16")
        else:
            _ask_for_tls(client)
        client.send(_BAD_HANDSHAKES[name])
        client.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while client.socket.recv(1000):  # an alert at most
                pass


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_the_middle_of_the_handshake_leaves_nothing_behind(
    proxied: ProxiedPostgres, sent: bytes, how: str
) -> None:
    for direct in (False, True):
        with WireClient(proxied.url()) as client:
            if not direct:
                _ask_for_tls(client)
            if sent:
                client.send(sent)
            if how == "reset":
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_a_huge_start_up_packet_inside_tls_is_refused(proxied: ProxiedPostgres, authority: Authority) -> None:
    with WireClient(proxied.url()) as client:
        _ask_for_tls(client)
        _upgrade(client, _context(authority)).send(b"\x7f\xff\xff\xff\0\3\0\0" + bytes(100_000))
        assert error(client.read_to_end())["C"] == "08P01"


def test_many_handshakes_that_never_end_hold_nobody_up(proxied: ProxiedPostgres, authority: Authority) -> None:
    waiting = [WireClient(proxied.url()) for _ in range(50)]
    try:
        for client in waiting[:25]:
            _ask_for_tls(client)
        for client in waiting[25:]:
            client.send(b"\x16\x03\x01")
        with proxied.connect(sslmode="require") as connection:
            assert _is_encrypted(connection)
    finally:
        for client in waiting:
            client.socket.close()


# -- what goes over TLS is the same


def test_a_replication_connection_is_relayed_under_tls(proxied: ProxiedPostgres) -> None:
    url = f"{proxied.url()}?replication=database&sslmode=require"
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("IDENTIFY_SYSTEM").fetchone()
        assert row is not None
        (direct,) = proxied.server.execute("SELECT system_identifier::text FROM pg_control_system()")
        assert row[0] == direct[0]


@pytest.mark.parametrize("options", [{"sslmode": "require"}, _DIRECT, {"sslmode": "disable"}])
def test_a_cancel_request_under_tls_stops_the_query(proxied: ProxiedPostgres, options: dict[str, Any]) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)' AND state = 'active'"
    with proxied.connect(**options) as connection:

        def cancel() -> None:
            wait_until(lambda: proxied.server.execute(running), "the query to run")
            connection.cancel_safe(timeout=10)  # under TLS as the connection is (libpq 17)

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(61)")
        thread.join()


def test_a_cancel_request_in_the_clear_is_passed_on_too(proxied: ProxiedPostgres) -> None:
    """Clients older than libpq 17 send them so, whatever their sessions are under."""
    running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(62)' AND state = 'active'"
    with proxied.wire() as client, WireClient(proxied.url()) as canceller:
        (key,) = [answer.body for answer in client.greeting if answer.kind == "K"]
        client.send(Query(b"SELECT pg_sleep(62)"))
        wait_until(lambda: proxied.server.execute(running), "the query to run")
        canceller.send(CancelRequest(int.from_bytes(key[:4], "big"), key[4:]).encode())
        assert error(client.read_until("Z"))["C"] == "57014"


def test_a_cancel_request_of_a_client_that_does_not_wait_is_passed_on(
    proxied: ProxiedPostgres, authority: Authority
) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(64)' AND state = 'active'"
    for under_tls in (False, True):
        with proxied.wire() as client:
            (key,) = [answer.body for answer in client.greeting if answer.kind == "K"]
            client.send(Query(b"SELECT pg_sleep(64)"))
            wait_until(lambda: proxied.server.execute(running), "the query to run")
            with WireClient(proxied.url()) as canceller:
                if under_tls:
                    _ask_for_tls(canceller)
                    _upgrade(canceller, _context(authority))
                canceller.send(CancelRequest(int.from_bytes(key[:4], "big"), key[4:]).encode())
            assert error(client.read_until("Z"))["C"] == "57014"


def test_a_slow_reader_under_tls_makes_postgres_wait(proxied: ProxiedPostgres, authority: Authority) -> None:
    """100 MiB of rows for a client that reads none of them do not pile up in the proxy; then all of them arrive."""
    with WireClient(proxied.url()) as client:
        _ask_for_tls(client)
        _upgrade(client, _context(authority)).start()
        before = proxied.proxy_memory()
        client.send(Query(b"SELECT repeat('x', 100000) FROM generate_series(1, 1000)"))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE 'SELECT repeat%'"
        wait_until(lambda: proxied.server.execute(waiting), "Postgres to wait for the client")
        assert proxied.proxy_memory() - before < 16 * _MIB
        assert sum(len(answer.raw) for answer in client.read_until("Z") if answer.kind == "D") > 100_000_000


def test_what_a_client_sends_ahead_under_tls_makes_the_client_wait(
    proxied: ProxiedPostgres, authority: Authority
) -> None:
    """A client that sends 50 MiB of queries while the first one runs is not read, and all of them are answered."""
    query = Query(b"SELECT 1 /* " + b"x" * 100_000 + b" */").encode()
    with WireClient(proxied.url()) as client:
        _ask_for_tls(client)
        _upgrade(client, _context(authority)).start()
        before = proxied.proxy_memory()
        client.send(Query(b"SELECT pg_sleep(4)"))
        client.socket.settimeout(0.5)
        left = _send_until_stuck(client.socket, memoryview(query * 500))
        assert len(left) > 40_000_000  # the rest waits with the client
        assert proxied.proxy_memory() - before < 16 * _MIB
        client.socket.settimeout(0.05)
        received = _send_and_receive(client.socket, left, 501)
    assert received.count(b"Z\0\0\0\x05I") == 501
    assert received.count(b"\0\0\0\x0dSELECT 1\0") == 501


def _send_until_stuck(connection: socket.socket, data: memoryview) -> memoryview:
    """Send until the peer takes no more; return what is left. All in one thread: a TLS socket has one state."""
    while data:
        try:
            data = data[connection.send(data[:16_384]) :]
        except (TimeoutError, ssl.SSLWantWriteError):
            break
    return data


def _send_and_receive(connection: socket.socket, data: memoryview, ready_count: int) -> bytes:
    """Send the rest, and receive meanwhile, until so many ReadyForQuery have come."""
    received = bytearray()
    give_up_at = time.monotonic() + 60
    while data or received.count(b"Z\0\0\0\x05I") < ready_count:
        assert time.monotonic() < give_up_at
        data = _send_until_stuck(connection, data)
        with contextlib.suppress(TimeoutError, ssl.SSLWantReadError):  # nothing has come
            received += connection.recv(65_536)
    return bytes(received)


# -- settings


def _proxy_settings(pair: Certificate, tls: str) -> dict[str, Any]:
    return {"tls": tls, "tls_certificate": pair.certificate, "tls_key": pair.key}


@pytest.fixture(scope="module")
def strict(proxied: ProxiedPostgres, pair: Certificate) -> Iterator[RunningProxy]:
    with running_proxy(proxied.direct_url, **_proxy_settings(pair, "required")) as started:
        yield started


def test_where_tls_is_required_a_client_in_the_clear_reads_what_to_do(strict: RunningProxy) -> None:
    with WireClient(strict.url()) as client:
        client.send(_STARTUP)
        fields = error(client.read_to_end())
    assert (fields["S"], fields["C"]) == ("FATAL", "28000")
    assert fields["M"].startswith("tidegate: ")
    assert "under TLS" in fields["M"]
    assert "sslmode=require" in fields["H"]

    with psycopg.connect(strict.url(), sslmode="allow") as connection:  # libpq tries again with TLS
        assert _is_encrypted(connection)
    with psycopg.connect(strict.url(), **_DIRECT) as connection:
        assert _is_encrypted(connection)


def test_where_tls_is_off_a_client_that_insists_is_told_that_there_is_none(
    proxied: ProxiedPostgres, pair: Certificate
) -> None:
    with running_proxy(proxied.direct_url, **_proxy_settings(pair, "off")) as plain:
        with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
            psycopg.connect(plain.url(), sslmode="require")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(plain.url(), **_DIRECT)
        with WireClient(plain.url()) as client:
            client.send(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(190))
            fields = error(client.read_to_end())
        assert (fields["S"], fields["C"]) == ("FATAL", "08P01")
        assert "TLS ClientHello" in fields["M"]


@pytest.mark.parametrize("tls", ["on", "required"])
def test_tls_without_a_certificate_is_refused_at_the_start(proxied: ProxiedPostgres, tls: str) -> None:
    words = f"TIDEGATE_TLS = {tls}: there is no certificate"
    with pytest.raises(ServerError, match=words), running_proxy(proxied.direct_url, tls=tls):
        pass


def test_a_certificate_that_is_no_good_is_refused_at_the_start(
    proxied: ProxiedPostgres, authority: Authority, pair: Certificate, tmp_path: Path
) -> None:
    other = authority.issue(*_HOSTS)
    for certificate, key, words in (
        (tmp_path / "none", pair.key, "TIDEGATE_TLS_CERTIFICATE = .*none"),
        (pair.certificate, other.key, "TIDEGATE_TLS_KEY = .*not the key"),
    ):
        with (
            pytest.raises(ServerError, match=words),
            running_proxy(proxied.direct_url, tls_certificate=certificate, tls_key=key),
        ):
            pass


def test_the_pair_that_the_stack_makes_for_itself_can_be_trusted_and_is_kept(
    newest_postgres: PostgresServer, newest_database: str
) -> None:
    url = newest_postgres.url(newest_database)
    data = ServerDirectory("data")
    certificate, key = data.path / "tls.crt", data.path / "tls.key"
    seen = set()
    for _ in range(2):
        with running_stack(url, "--data-dir", str(data.path)) as stack:
            with psycopg.connect(stack.database_url, sslmode="verify-full", sslrootcert=str(certificate)) as connection:
                assert _is_encrypted(connection)
            seen.add(certificate.read_bytes())
    assert len(seen) == 1
    assert key.stat().st_mode & 0o777 == 0o600
    data.remove()


def test_a_renewed_certificate_is_shown_without_a_restart(proxied: ProxiedPostgres, authority: Authority) -> None:
    pair = authority.issue(*_HOSTS)
    renewed_by = Authority()
    with running_proxy(proxied.direct_url, **_proxy_settings(pair, "on")) as proxy:
        options: dict[str, Any] = {"sslmode": "verify-full", "sslrootcert": str(authority.certificate)}
        with psycopg.connect(proxy.url(), **options) as early:
            renewed_by.issue(*_HOSTS, into=pair)
            for path in (pair.certificate, pair.key):
                status = path.stat()
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
            with psycopg.connect(proxy.url(), **options | {"sslrootcert": str(renewed_by.certificate)}) as late:
                assert _is_encrypted(late)
            assert _is_encrypted(early)  # connections that are open go on
    renewed_by.remove()
