"""Verifiers that Postgres is asked for: the default query, one's own, what may fail, and how often it is asked."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from services.proxy.control import ConnectControl
from services.proxy.scram.verifier import Challenge, Verifier
from services.proxy.verifiers.absence import Absence, VerifiersUnavailable
from services.proxy.verifiers.auth_query import AuthQuery
from services.shared.runtime.authentication import DEFAULT_AUTH_QUERY
from services.shared.runtime.refusal import Refusal
from services.shared.runtime.upstream import parse_upstream
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.postgres_programs import NEWEST

_SQL = """
CREATE ROLE ada LOGIN PASSWORD 'pencil';
CREATE ROLE eve LOGIN PASSWORD 'pencil' VALID UNTIL '2001-01-01';
CREATE ROLE future LOGIN PASSWORD 'pencil' VALID UNTIL '2999-01-01';
CREATE ROLE always LOGIN PASSWORD 'pencil' VALID UNTIL 'infinity';
CREATE ROLE barred NOLOGIN PASSWORD 'pencil';
CREATE ROLE bare LOGIN;
CREATE ROLE {long} LOGIN PASSWORD 'pencil';
CREATE ROLE clerk LOGIN;
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'pencil';
CREATE SCHEMA pgbouncer AUTHORIZATION postgres;
CREATE FUNCTION pgbouncer.user_lookup(IN i_username text, OUT uname text, OUT phash text) RETURNS record
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    AS 'SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = i_username';
REVOKE ALL ON FUNCTION pgbouncer.user_lookup(text) FROM public;
GRANT USAGE ON SCHEMA pgbouncer TO clerk;
GRANT EXECUTE ON FUNCTION pgbouncer.user_lookup(text) TO clerk;
CREATE SCHEMA tidegate_login;
CREATE FUNCTION tidegate_login.verifier(name text) RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT rolpassword FROM pg_authid WHERE rolname = name AND NOT rolsuper $$;
REVOKE ALL ON FUNCTION tidegate_login.verifier(text) FROM public;
GRANT USAGE ON SCHEMA tidegate_login TO clerk;
GRANT EXECUTE ON FUNCTION tidegate_login.verifier(text) TO clerk;
""".replace("{long}", "l" * 63)
_LOOKUP = "SELECT * FROM pgbouncer.user_lookup($1)"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(NEWEST, log_statement="all") as started:
        started.execute(_SQL)
        yield started


@asynccontextmanager
async def asking(
    server: PostgresServer, query: str = DEFAULT_AUTH_QUERY, *, role: str = SUPERUSER, optional: bool = False
) -> AsyncIterator[AuthQuery]:
    connect = ConnectControl(parse_upstream(server.url(user=role)), "tidegate-proxy")
    auth_query = AuthQuery(connect, query, optional=optional)
    try:
        yield auth_query
    finally:
        auth_query.close()


def verifier_of(server: PostgresServer, role: str) -> Verifier:
    ((written,),) = server.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [role])
    return Verifier.parse(written)


def asked(server: PostgresServer, role: str) -> int:
    """How often the query came for a role."""
    return server.log().count(f"DETAIL:  Parameters: $1 = '{role}'") + server.log().count(f"parameters: $1 = '{role}'")


ANY = Challenge(b"salt", 4096)


def test_the_default_query(server: PostgresServer) -> None:
    async def scenario() -> None:
        async with asking(server) as query:
            await query.check(SUPERUSER)
            for role in ("ada", "future", "always", "barred", "l" * 63):
                verifier = verifier_of(server, role)
                assert await query.look_up(role, verifier.challenge) == verifier
            assert await query.look_up("eve", ANY) is Absence.UNKNOWN
            assert await query.look_up("nobody", ANY) is Absence.UNKNOWN
            assert await query.look_up("' OR true --", ANY) is Absence.UNKNOWN
            assert await query.look_up("bare", ANY) is Absence.NO_PASSWORD
            assert await query.look_up("old", ANY) is Absence.NOT_SCRAM

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "query",
    [
        _LOOKUP,
        "SELECT phash FROM pgbouncer.user_lookup($1)",
        "SELECT tidegate_login.verifier($1)",  # as docs/connect-scram.md has it
        "SELECT (SELECT phash FROM pgbouncer.user_lookup($1::text)) AS p",
    ],
)
def test_a_query_of_ones_own_for_a_role_without_rights(server: PostgresServer, query: str) -> None:
    async def scenario() -> None:
        async with asking(server, query, role="clerk") as own:
            await own.check("clerk")
            verifier = verifier_of(server, "ada")
            assert await own.look_up("ada", verifier.challenge) == verifier
            assert await own.look_up("nobody", ANY) in (Absence.UNKNOWN, Absence.NO_PASSWORD)

    asyncio.run(scenario())


def test_without_the_right_to_ask_the_start_is_refused(server: PostgresServer) -> None:
    async def scenario() -> None:
        async with asking(server, role="clerk") as query:
            with pytest.raises(Refusal, match="permission denied for table pg_authid") as refused:
                await query.check("clerk")
            for advice in ("TIDEGATE_AUTH_QUERY", "TIDEGATE_USERS_FILE", "tidegate user add"):
                assert advice in str(refused.value)
            with pytest.raises(VerifiersUnavailable):
                await query.look_up("ada", ANY)

    asyncio.run(scenario())


def test_unless_there_is_a_users_file_too(server: PostgresServer) -> None:
    async def scenario() -> None:
        async with asking(server, role="clerk", optional=True) as query:
            await query.check("clerk")
            assert await query.look_up("ada", ANY) is Absence.NOT_ASKED
        # Postgres was down at the start: it is found out by the first login.
        async with asking(server, role="clerk", optional=True) as query:
            assert await query.look_up("ada", ANY) is Absence.NOT_ASKED

    asyncio.run(scenario())


@pytest.mark.parametrize("query", ["SELECT $1 FROM absent", "SELEC $1", "SELECT absent.f($1)"])
def test_a_query_that_cannot_run_is_refused_at_the_start(server: PostgresServer, query: str) -> None:
    async def scenario() -> None:
        async with asking(server, query) as wrong:
            with pytest.raises(Refusal, match="TIDEGATE_AUTH_QUERY"):
                await wrong.check(SUPERUSER)

    asyncio.run(scenario())


def test_a_pool_that_opens_asks_once(server: PostgresServer) -> None:
    async def scenario() -> None:
        async with asking(server) as query:
            verifier = verifier_of(server, "future")
            before = asked(server, "future")
            found = await asyncio.gather(*[query.look_up("future", verifier.challenge) for _ in range(50)])
            assert found == [verifier] * 50
            assert asked(server, "future") == before + 1
            before = asked(server, "stranger")
            await asyncio.gather(*[query.look_up("stranger", ANY) for _ in range(50)])
            assert asked(server, "stranger") == before + 1

    asyncio.run(scenario())


def test_what_does_not_fit_is_no_verifier_and_is_asked_for_once(server: PostgresServer) -> None:
    """Of a role whose password has expired Postgres makes up a salt; this query does not look at the date."""

    async def scenario() -> None:
        async with asking(server, _LOOKUP) as query:
            before = asked(server, "eve")
            for _ in range(3):
                assert await query.look_up("eve", ANY) is Absence.OUTDATED
            assert asked(server, "eve") == before + 1

    asyncio.run(scenario())


def test_a_new_password_is_asked_for_at_once(server: PostgresServer) -> None:
    async def scenario() -> None:
        server.execute("CREATE ROLE changing LOGIN PASSWORD 'one'")
        async with asking(server) as query:
            first = verifier_of(server, "changing")
            assert await query.look_up("changing", first.challenge) == first
            server.execute("ALTER ROLE changing PASSWORD 'two'")
            second = verifier_of(server, "changing")
            assert second != first
            assert await query.look_up("changing", second.challenge) == second

    asyncio.run(scenario())


def test_a_connection_that_ended_is_opened_again(server: PostgresServer) -> None:
    async def scenario() -> None:
        async with asking(server) as query:
            verifier = verifier_of(server, "ada")
            await query.look_up("nobody", ANY)
            ended = server.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'tidegate-proxy-login'"
            )
            assert ended == [(True,)]
            assert await query.look_up("ada", verifier.challenge) == verifier

    asyncio.run(scenario())


def test_a_login_that_is_given_up_in_the_middle_of_the_query_hurts_nobody(server: PostgresServer) -> None:
    async def scenario() -> None:
        slow = (
            "SELECT CASE WHEN rolname = 'bare' THEN pg_sleep(30)::text ELSE rolpassword END "
            "FROM pg_authid WHERE rolname = $1"
        )
        async with asking(server, slow) as query:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await query.look_up("bare", ANY)
            verifier = verifier_of(server, "ada")
            assert await query.look_up("ada", verifier.challenge) == verifier

    asyncio.run(scenario())


def test_while_postgres_is_away_nothing_is_said_of_anybody() -> None:
    async def scenario(server: PostgresServer) -> None:
        async with asking(server) as query:
            await query.look_up("nobody", ANY)
            server.stop()
            await query.check(SUPERUSER)  # the start does not wait for Postgres
            with pytest.raises(VerifiersUnavailable):
                await query.look_up("ada", ANY)
            server.start()
            server.execute("CREATE ROLE late LOGIN PASSWORD 'x'")
            verifier = verifier_of(server, "late")
            assert await query.look_up("late", verifier.challenge) == verifier

    with PostgresServer(NEWEST) as own:
        asyncio.run(scenario(own))
