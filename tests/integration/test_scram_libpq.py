"""Our server's side of SCRAM as libpq sees it: with and without TLS, bound and not bound, and with somebody between."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.proxy.scram.keys import keys_of_password
from services.proxy.scram.saslprep import prepare_password
from services.proxy.scram.server import NotProven, Proven
from services.proxy.scram.verifier import Challenge, Verifier
from tests.integration.scram_stage import ServerTls, asking_server, man_in_the_middle
from tests.servers.certificates import Authority
from tests.unit.scram.test_binding import EC_KEY, ED_KEY, RSA_KEY, Key, certificate

PASSWORD = "pass\u00a0wörd"
CHALLENGE = Challenge(bytes(range(16)), 4096)
KEYS = keys_of_password(prepare_password(PASSWORD.encode()), *CHALLENGE)
VERIFIER = Verifier.of_keys(KEYS, CHALLENGE)


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ServerTls:
    issued = authority.issue("127.0.0.1")
    return ServerTls.of_files(issued.certificate, issued.key)


async def log_in(port: int, password: str = PASSWORD, **options: str) -> None:
    parameters: dict[str, Any] = {
        "sslmode": "disable",
        "gssencmode": "disable",
        "user": "ada",
        "host": "127.0.0.1",
    } | options
    connection = await psycopg.AsyncConnection.connect(port=port, password=password, autocommit=True, **parameters)
    await connection.close()


def test_libpq_logs_in_and_believes_us() -> None:
    async def scenario() -> None:
        async with asking_server(CHALLENGE, VERIFIER) as (port, seen):
            await log_in(port, require_auth="scram-sha-256")
        (outcome,) = seen.outcomes
        assert isinstance(outcome, Proven)
        assert outcome.client_key == KEYS.client_key

    asyncio.run(scenario())


@pytest.mark.parametrize("verifier", [VERIFIER, None])
def test_libpq_reads_a_refusal_as_postgres_gives_it(verifier: Verifier | None) -> None:
    async def scenario() -> None:
        async with asking_server(CHALLENGE, verifier) as (port, seen):
            with pytest.raises(psycopg.OperationalError, match='FATAL:  password authentication failed for user "ada"'):
                await log_in(port, password="wrong")
        assert seen.outcomes == [NotProven()]

    asyncio.run(scenario())


def test_libpq_does_not_believe_a_server_without_the_verifier() -> None:
    """The signature is checked, so this test shows that ours is right where libpq is content."""
    liar = Verifier(VERIFIER.iterations, VERIFIER.salt, VERIFIER.stored_key, bytes(32))

    async def scenario() -> None:
        async with asking_server(CHALLENGE, liar) as (port, _):
            with pytest.raises(psycopg.OperationalError, match="incorrect server signature"):
                await log_in(port)

    asyncio.run(scenario())


@pytest.mark.parametrize("binding", ["prefer", "require", "disable"])
def test_libpq_under_tls(tls: ServerTls, binding: str) -> None:
    async def scenario() -> None:
        async with asking_server(CHALLENGE, VERIFIER, tls) as (port, seen):
            await log_in(port, sslmode="require", channel_binding=binding)
        assert isinstance(seen.outcomes[0], Proven)

    asyncio.run(scenario())


def _files(folder: Path, key: Key, der_or_pem: bytes) -> ServerTls:
    names = folder / "server.crt", folder / "server.key"
    names[0].write_bytes(der_or_pem)
    names[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return ServerTls.of_files(*names)


@pytest.mark.parametrize(
    ("key", "algorithm", "pss"),
    [
        (RSA_KEY, hashes.SHA256(), False),
        (RSA_KEY, hashes.SHA512(), False),
        (RSA_KEY, hashes.SHA384(), True),
        (EC_KEY, hashes.SHA384(), False),
    ],
)
def test_libpq_agrees_on_the_hash_of_a_certificate(
    tmp_path: Path, key: Key, algorithm: hashes.HashAlgorithm, pss: bool
) -> None:
    tls = _files(tmp_path, key, certificate(key, algorithm, pss=pss, encoding=Encoding.PEM))

    async def scenario() -> None:
        async with asking_server(CHALLENGE, VERIFIER, tls) as (port, seen):
            await log_in(port, sslmode="require", channel_binding="require")
        assert isinstance(seen.outcomes[0], Proven)

    asyncio.run(scenario())


def test_with_a_certificate_that_nothing_can_be_bound_to_libpq_still_comes_in(tmp_path: Path) -> None:
    """Postgres itself offers channel binding there, and libpq fails on it."""
    tls = _files(tmp_path, ED_KEY, certificate(ED_KEY, None, encoding=Encoding.PEM))
    assert tls.end_point is None

    async def scenario() -> None:
        async with asking_server(CHALLENGE, VERIFIER, tls) as (port, seen):
            await log_in(port, sslmode="require", channel_binding="prefer")
            with pytest.raises(psycopg.OperationalError, match="channel binding"):
                await log_in(port, sslmode="require", channel_binding="require")
        assert isinstance(seen.outcomes[0], Proven)

    asyncio.run(scenario())


def test_a_man_in_the_middle_with_another_certificate_gets_nowhere(tls: ServerTls, authority: Authority) -> None:
    """He has the client's whole login, and it is of no use to him: it is bound to his certificate, not to ours."""
    issued = authority.issue("127.0.0.1")
    his = ServerTls.of_files(issued.certificate, issued.key)

    async def scenario() -> None:
        async with asking_server(CHALLENGE, VERIFIER, tls) as (port, seen), man_in_the_middle(port, his) as between:
            with pytest.raises(psycopg.OperationalError, match="FATAL:  SCRAM channel binding check failed"):
                await log_in(between, sslmode="require")
            await log_in(between, sslmode="require", channel_binding="disable")  # who does not bind is not protected
        assert seen.outcomes[0] is None
        assert isinstance(seen.outcomes[1], Proven)

    asyncio.run(scenario())


def test_nor_does_one_who_takes_channel_binding_off_the_list(tls: ServerTls, authority: Authority) -> None:
    issued = authority.issue("127.0.0.1")
    his = ServerTls.of_files(issued.certificate, issued.key)

    async def scenario() -> None:
        async with (
            asking_server(CHALLENGE, VERIFIER, tls) as (port, seen),
            man_in_the_middle(port, his, strip=b"SCRAM-SHA-256-PLUS\0") as between,
        ):
            with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding negotiation error"):
                await log_in(between, sslmode="require")
        assert seen.outcomes == [None]

    asyncio.run(scenario())
