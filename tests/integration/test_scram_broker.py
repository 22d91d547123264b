"""Real clients, a broker and a real Postgres: who comes in, and what everybody else is told by Postgres itself."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from services.proxy.scram.broker import Stage
from services.proxy.scram.keys import keys_of_password
from services.proxy.scram.verifier import Challenge, Verifier
from services.shared.pgwire.authentication import SaslInitialResponse
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from services.shared.runtime.upstream import Upstream, parse_upstream
from tests.integration.scram_stage import ServerTls, brokering_server, man_in_the_middle
from tests.integration.wire_client import WireClient
from tests.servers.certificates import Authority
from tests.servers.postgres import PostgresServer

WITH_TLS = "17"
_ROLES = """
CREATE ROLE ada LOGIN PASSWORD 'pencil';
CREATE ROLE "Zoë ""q"" " LOGIN PASSWORD 'pass\u00a0wörd';
CREATE ROLE expired LOGIN PASSWORD 'pencil' VALID UNTIL '2001-01-01';
CREATE ROLE barred NOLOGIN PASSWORD 'pencil';
CREATE ROLE bare LOGIN;
CREATE ROLE crowded LOGIN PASSWORD 'pencil' CONNECTION LIMIT 0;
CREATE ROLE rejected LOGIN PASSWORD 'pencil';
CREATE ROLE trusted LOGIN PASSWORD 'pencil';
CREATE ROLE plain LOGIN PASSWORD 'pencil';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'pencil';
"""
_HBA = (
    "host all postgres 127.0.0.1/32 trust",
    "host all rejected 127.0.0.1/32 reject",
    "host all trusted 127.0.0.1/32 trust",
    "host all plain 127.0.0.1/32 password",
    "host all old 127.0.0.1/32 md5",
    "host all all 127.0.0.1/32 scram-sha-256",
)


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PostgresServer]:
    settings = authority.postgres_settings(authority.issue("127.0.0.1"))
    with PostgresServer(WITH_TLS, **settings) as started:
        started.execute(_ROLES)
        started.allow(*_HBA)
        yield started


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ServerTls:
    issued = authority.issue("127.0.0.1")
    return ServerTls.of_files(issued.certificate, issued.key)


def upstream(server: PostgresServer, sslmode: str = "disable") -> Upstream:
    return parse_upstream(f"{server.url()}?sslmode={sslmode}")


class Verifiers:
    """What Postgres keeps, as the superuser sees it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.instead: dict[str, Verifier] = {}

    async def find(self, user: str, challenge: Challenge) -> Verifier | None:
        if user in self.instead:
            return self.instead[user]
        rows = self._server.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [user])
        written = rows[0][0] if rows else None
        return Verifier.parse(written) if written and written.startswith("SCRAM") else None


async def connect(port: int, user: str, password: str, **options: Any) -> list[Any]:
    parameters: dict[str, Any] = {"sslmode": "disable", "gssencmode": "disable", "dbname": "postgres"} | options
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=port, user=user, password=password, autocommit=True, **parameters
    )
    async with connection:
        cursor = await connection.execute(
            "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        return await cursor.fetchall()


async def refusal(port: int, user: str, password: str, **options: Any) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        await connect(port, user, password, **options)
    return re.sub(r"port \d+", "port", str(refused.value)).replace("SSL encryption", "encryption")


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_tls_on_any_side(server: PostgresServer, tls: ServerTls, sslmode: str, binding: str) -> None:
    async def scenario() -> None:
        find = Verifiers(server).find
        async with brokering_server(upstream(server, sslmode), find, tls) as (port, seen):
            found = await connect(port, "ada", "pencil", sslmode="require", channel_binding=binding)
        assert found == [("ada", sslmode == "require")]
        assert seen.stages == [Stage.ADMITTED]

    asyncio.run(scenario())


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_a_client_in_the_clear(server: PostgresServer, sslmode: str) -> None:
    async def scenario() -> None:
        async with brokering_server(upstream(server, sslmode), Verifiers(server).find) as (port, _):
            assert await connect(port, "ada", "pencil") == [("ada", sslmode == "require")]
            assert await connect(port, 'Zoë "q" ', "pass\u00a0wörd") == [('Zoë "q" ', sslmode == "require")]
            # What Postgres says of the protocol's version comes before the client is asked.
            assert await connect(port, "ada", "pencil", max_protocol_version="latest") == [
                ("ada", sslmode == "require")
            ]

    asyncio.run(scenario())


def test_asyncpg(server: PostgresServer, tls: ServerTls) -> None:
    async def scenario() -> None:
        async with brokering_server(upstream(server, "require"), Verifiers(server).find, tls) as (port, _):
            for ssl in (False, "require"):
                connection = await asyncpg.connect(
                    host="127.0.0.1", port=port, user="ada", password="pencil", database="postgres", ssl=ssl
                )
                assert await connection.fetchval("SELECT current_user") == "ada"
                await connection.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("user", "password", "database"),
    [
        ("ada", "wrong", "postgres"),
        ("nobody", "pencil", "postgres"),
        ("expired", "pencil", "postgres"),
        ("barred", "pencil", "postgres"),
        ("bare", "pencil", "postgres"),
        ("crowded", "pencil", "postgres"),
        ("rejected", "pencil", "postgres"),
        ("ada", "pencil", "absent"),
        ("ada", "wrong", "absent"),
        ("a" * 100, "pencil", "postgres"),
    ],
)
def test_who_may_not_come_in_is_told_so_by_postgres(
    server: PostgresServer, user: str, password: str, database: str
) -> None:
    async def scenario() -> None:
        directly = await refusal(server.port, user, password, dbname=database)
        async with brokering_server(upstream(server), Verifiers(server).find) as (port, seen):
            assert await refusal(port, user, password, dbname=database) == directly
        assert seen.advice == [""]

    asyncio.run(scenario())


def test_postgres_writes_the_failed_login_to_its_log(server: PostgresServer) -> None:
    async def scenario() -> None:
        async with brokering_server(upstream(server), Verifiers(server).find) as (port, _):
            await refusal(port, "ada", "wrong")

    before = server.log().count('FATAL:  password authentication failed for user "ada"')
    asyncio.run(scenario())
    assert server.log().count('FATAL:  password authentication failed for user "ada"') == before + 1


def test_after_a_change_the_verifier_of_the_old_password_lets_nobody_in(server: PostgresServer) -> None:
    async def scenario() -> None:
        verifiers = Verifiers(server)
        server.execute("CREATE ROLE turncoat LOGIN PASSWORD 'old'")
        async with brokering_server(upstream(server), verifiers.find) as (port, _):
            assert await connect(port, "turncoat", "old") == [("turncoat", False)]
            (row,) = server.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'turncoat'")
            verifiers.instead["turncoat"] = Verifier.parse(row[0])
            server.execute("ALTER ROLE turncoat PASSWORD 'new'")
            for password in ("old", "new"):
                told = await refusal(port, "turncoat", password)
                assert 'FATAL:  password authentication failed for user "turncoat"' in told
            verifiers.instead.clear()
            assert await connect(port, "turncoat", "new") == [("turncoat", False)]

    asyncio.run(scenario())


def test_an_invented_verifier_with_the_right_salt_lets_nobody_in(server: PostgresServer) -> None:
    """Whoever can write the users file, but does not know the password, does not come in: Postgres decides."""

    async def scenario() -> None:
        verifiers = Verifiers(server)
        (row,) = server.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'ada'")
        challenge = Verifier.parse(row[0]).challenge
        verifiers.instead["ada"] = Verifier.of_keys(keys_of_password(b"invented", *challenge), challenge)
        async with brokering_server(upstream(server), verifiers.find) as (port, _):
            told = await refusal(port, "ada", "invented")
        assert 'FATAL:  password authentication failed for user "ada"' in told

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("user", "does"),
    [
        ("trusted", "Postgres admits this proxy without a password"),
        ("plain", "Postgres asks this proxy for CleartextPassword"),
        ("old", "Postgres asks this proxy for Md5Password"),
    ],
)
def test_where_postgres_asks_otherwise_the_error_says_what_to_do(server: PostgresServer, user: str, does: str) -> None:
    async def scenario() -> None:
        async with brokering_server(upstream(server), Verifiers(server).find) as (port, seen):
            told = await refusal(port, user, "pencil")
        assert does in told
        assert "let pg_hba.conf say scram-sha-256" in told
        assert does in seen.advice[0]

    asyncio.run(scenario())


@pytest.mark.parametrize("user", ["nobody", "ada", "expired", "bare"])
def test_a_client_sees_the_salt_that_it_would_see_without_us(server: PostgresServer, user: str) -> None:
    def salt(port: int) -> bytes:
        with WireClient(f"postgresql://{user}@127.0.0.1:{port}/postgres") as client:
            client.send(StartupMessage(VERSION_3_0, (("user", user), ("database", "postgres"))))
            assert client.read().kind == "R"
            client.send(SaslInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abc").encode())
            found = re.search(rb",s=([^,]+),i=4096$", client.read().body)
            assert found is not None
            return found[1]

    async def scenario() -> None:
        async with brokering_server(upstream(server), Verifiers(server).find) as (port, _):
            assert await asyncio.to_thread(salt, port) == salt(server.port)

    asyncio.run(scenario())


def test_a_man_in_the_middle_on_the_way_to_postgres_gets_nowhere(server: PostgresServer, authority: Authority) -> None:
    """With sslmode=require nobody looks at his certificate; the login is bound to it all the same."""
    issued = authority.issue("127.0.0.1")
    his = ServerTls.of_files(issued.certificate, issued.key)

    async def scenario() -> None:
        async with man_in_the_middle(server.port, his) as between:
            target = parse_upstream(f"postgresql://ada@127.0.0.1:{between}/postgres?sslmode=require")
            async with brokering_server(target, Verifiers(server).find) as (port, _):
                told = await refusal(port, "ada", "pencil")
        assert "FATAL:  SCRAM channel binding check failed" in told

    asyncio.run(scenario())


def test_nor_does_one_who_takes_channel_binding_off_the_list(server: PostgresServer, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1")
    his = ServerTls.of_files(issued.certificate, issued.key)

    async def scenario() -> None:
        async with man_in_the_middle(server.port, his, strip=b"SCRAM-SHA-256-PLUS\0") as between:
            target = parse_upstream(f"postgresql://ada@127.0.0.1:{between}/postgres?sslmode=require")
            async with brokering_server(target, Verifiers(server).find) as (port, _):
                told = await refusal(port, "ada", "pencil")
        assert "FATAL:  SCRAM channel binding negotiation error" in told

    asyncio.run(scenario())
