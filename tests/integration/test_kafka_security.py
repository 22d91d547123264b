"""Kafka that lets in only whom it knows: over TLS, with users, tokens, certificates and rights.

One broker with four listeners: a plain one for whoever sets it up, one for users (SASL over TLS), one for holders of a
certificate, and one that sends whoever comes to an address where nobody is.
"""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.protocol.admin import CreateAclsRequest  # type: ignore[import-untyped]  # as above

from services.installation.store_check import log_findings
from services.shared.eventlog.factory import open_reader, open_writer
from services.shared.eventlog.keeping import delete_topic
from services.shared.eventlog.log import LogAbsent, LogUnavailable, LogUnsuitable
from services.shared.runtime.finding import Level
from services.shared.runtime.kafka_url import KafkaUrl
from services.shared.runtime.settings import CacheSettings
from tests.integration.eventlog_backends import eventually, read_all, write
from tests.servers.certificates import Authority
from tests.servers.kafka import KafkaServer
from tests.servers.processes import free_port

_PASSWORD = "hunter2!"
_TOPIC, _LITERAL, _DENY, _ALLOW = 2, 3, 2, 3
_READ, _WRITE, _CREATE, _DELETE, _DESCRIBE, _DESCRIBE_CONFIGS = 3, 4, 5, 6, 8, 10
_LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A broker that asks who comes."""

    server: KafkaServer
    authority: Authority
    folder: Path

    @property
    def users(self) -> KafkaUrl:
        """How the user `writer` comes in."""
        return KafkaUrl(
            (f"127.0.0.1:{self.server.door_port('USERS')}",),
            tls=True,
            user="writer",
            password=_PASSWORD,
            mechanism="SCRAM-SHA-512",
            ca=self.authority.certificate,
        )

    @property
    def stranger(self) -> KafkaUrl:
        """As that, without a user."""
        return replace(self.users, user="", password="", mechanism="")

    @property
    def certified(self) -> KafkaUrl:
        """How somebody without a certificate tries to come in where one is asked for."""
        return replace(self.stranger, brokers=(f"127.0.0.1:{self.server.door_port('CERTIFIED')}",))

    def token(self, subject: str) -> Path:
        """Write a token that is not signed, which brokers take that have been told nothing else."""
        now = time.time()
        parts = [{"alg": "none"}, {"sub": subject, "iat": now, "exp": now + 600}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        path = self.folder / f"{subject}.token"
        path.write_text(f"{'.'.join(encoded)}.\n")
        return path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    authority, folder = Authority(), tmp_path_factory.mktemp("kafka")
    pair = authority.issue("127.0.0.1")
    store = folder / "broker.pem"
    store.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    users = "listener.name.users"
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "listener.name.certified.ssl.client.auth": "required",
        f"{users}.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
        f"{users}.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{users}.plain.sasl.jaas.config": f'{_LOGIN}.plain.PlainLoginModule required user_writer="{_PASSWORD}";',
        f"{users}.oauthbearer.sasl.jaas.config": (
            f'{_LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    server = KafkaServer(
        {"USERS": 0, "CERTIFIED": 0, "AWAY": free_port()},
        {"USERS": "SASL_SSL", "CERTIFIED": "SSL"},
        {"writer": _PASSWORD, "reader": _PASSWORD, "nobody": _PASSWORD},
        properties,
    )
    with server:
        yield Guarded(server, authority, folder)
    authority.remove()


def cache(url: KafkaUrl, name: str = "main") -> CacheSettings:
    return CacheSettings.model_validate(
        {"name": name, "database_url": "postgresql://me@127.0.0.1/x", "event_log": url.url}
    )


async def allow(guarded: Guarded, principal: str, topic: str, *operations: int, permission: int = _ALLOW) -> None:
    """As kafka-acls.sh --add does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=guarded.server.bootstrap)
    await admin.start()
    try:
        for operation in operations:
            request = CreateAclsRequest(_TOPIC, topic, _LITERAL, f"User:{principal}", "*", operation, permission)
            response = await admin._send_request(request)
            assert [code for code, _ in response.creation_responses] == [0]
    finally:
        await admin.close()


async def round_trip(settings: CacheSettings) -> None:
    """Make the log, write to it, read it, ask about it and delete it."""
    writer, reader = open_writer(settings), open_reader(settings)
    await writer.open()
    await reader.open()
    try:
        await write(writer, 3)
        assert len(await read_all(reader, {0: "0"}, 3)) == 3
        [finding] = await log_findings(settings, None)
        assert finding.level is Level.OK, finding
    finally:
        await writer.close()
        await reader.close()
    await delete_topic(settings)


def test_everything_that_we_do_is_done_with_a_user_a_token_or_a_certificate(guarded: Guarded) -> None:
    rights = (_READ, _WRITE, _CREATE, _DELETE, _DESCRIBE, _DESCRIBE_CONFIGS)
    ours = guarded.authority.issue(common_name="writer")
    ways = {
        "scram": guarded.users,
        "plain": replace(guarded.users, mechanism="PLAIN"),
        "token": replace(guarded.stranger, mechanism="OAUTHBEARER", token_file=guarded.token("writer")),
        "certificate": replace(guarded.certified, certificate=ours.certificate, key=ours.key),
    }

    async def come_in(name: str, url: KafkaUrl) -> None:
        settings = cache(url, name)
        await allow(guarded, "CN=writer" if name == "certificate" else "writer", settings.topic, *rights)
        await round_trip(settings)

    async def scenario() -> None:
        await asyncio.gather(*(come_in(name, url) for name, url in ways.items()))

    asyncio.run(scenario())


def _wrong_password(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.users, password="hunter3!")


def _wrong_password_shown(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.users, password="hunter3!", mechanism="PLAIN")


def _another_mechanism(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.users, mechanism="SCRAM-SHA-256")


def _nobody_named(guarded: Guarded) -> KafkaUrl:
    return guarded.stranger


def _user_where_nobody_asks(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.users, brokers=(guarded.server.bootstrap,), tls=False, ca=None)


def _no_token(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.stranger, mechanism="OAUTHBEARER", token_file=guarded.folder / "none")


def _bad_token(guarded: Guarded) -> KafkaUrl:
    path = guarded.folder / "bad.token"
    path.write_text("a.b.c")
    return replace(guarded.stranger, mechanism="OAUTHBEARER", token_file=path)


def _authority_unknown(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.users, ca=None)


def _another_name(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.users, brokers=(f"localhost:{guarded.server.door_port('USERS')}",))


def _plain_client(guarded: Guarded) -> KafkaUrl:
    return KafkaUrl(guarded.users.brokers)


def _tls_client(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.stranger, brokers=(guarded.server.bootstrap,))


def _no_certificate(guarded: Guarded) -> KafkaUrl:
    return guarded.certified


def _certificate_of_somebody_else(guarded: Guarded) -> KafkaUrl:
    other = Authority()
    ours = other.issue(common_name="writer")
    return replace(guarded.certified, certificate=ours.certificate, key=ours.key)


def _no_authority(guarded: Guarded) -> KafkaUrl:
    return replace(guarded.users, ca=guarded.folder / "missing.pem")


def _not_its_key(guarded: Guarded) -> KafkaUrl:
    one, other = guarded.authority.issue(common_name="one"), guarded.authority.issue(common_name="other")
    return replace(guarded.certified, certificate=one.certificate, key=other.key)


_NOT_LET_IN: list[tuple[Callable[[Guarded], KafkaUrl], str, str]] = [
    (_wrong_password, "refuses the user writer", "correct user and password of TIDEGATE_EVENT_LOG"),
    (_wrong_password_shown, "refuses the user writer", "correct user and password of TIDEGATE_EVENT_LOG"),
    (_another_mechanism, "does not take SCRAM-SHA-256", "set sasl_mechanism of TIDEGATE_EVENT_LOG"),
    (_nobody_named, "asks who we are", "write USER:PASSWORD@ before the first broker"),
    (_user_where_nobody_asks, "asks nobody who they are", "leave out USER:PASSWORD@"),
    (_no_token, "none does not exist", "correct sasl_token_file"),
    (_bad_token, "does not take our token", "renew the file"),
    (_authority_unknown, "is not trusted", "name the file with the authority's certificate as ssl_ca_certs"),
    (_another_name, "is for another name", "write the name that it is for"),
    (_plain_client, "speaks TLS", "write kafka+ssl:// in place of kafka://"),
    (_tls_client, "does not speak TLS", "write kafka:// in place of kafka+ssl://"),
    (_no_certificate, "wants a certificate of ours", "name it as ssl_certfile"),
    (_certificate_of_somebody_else, "does not trust our certificate", "name one of an authority"),
    (_no_authority, "missing.pem cannot be used (No such file", "correct ssl_ca_certs"),
    (_not_its_key, "ssl_keyfile is not its key", "correct ssl_certfile"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiokafka awaits no closing
def test_who_is_not_let_in_is_told_why_and_what_to_do(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def told(url: KafkaUrl) -> tuple[str, str]:
        """Return what `tidegate check` says; a service that starts refuses with the same words."""
        [finding] = await log_findings(cache(url), None)
        assert finding.level is Level.FAIL
        with pytest.raises(LogUnsuitable) as refused:
            await open_writer(cache(url)).open()
        assert str(refused.value).lower() == f"{finding.text}: {finding.remedy}".lower()
        return finding.text, finding.remedy

    async def scenario() -> list[tuple[str, str]]:
        return await asyncio.gather(*(told(wrong(guarded)) for wrong, _, _ in _NOT_LET_IN))

    said = asyncio.run(asyncio.wait_for(scenario(), 60))
    for (text, remedy), (wrong, expected, advice) in zip(said, _NOT_LET_IN, strict=True):
        assert expected in text, wrong.__name__
        assert remedy.startswith(advice), wrong.__name__
    assert "hunter" not in f"{said}{caplog.text}"


def test_brokers_that_send_us_where_nobody_answers_are_told(guarded: Guarded) -> None:
    settings = cache(KafkaUrl((f"127.0.0.1:{guarded.server.door_port('AWAY')}",)))

    async def scenario() -> None:
        with pytest.raises(LogUnavailable, match=r"sends us from 127.* to 127.*advertised\.listeners"):
            await open_writer(settings).open()

    asyncio.run(scenario())


def test_a_right_that_is_missing_is_named_with_the_command_that_grants_it(guarded: Guarded) -> None:
    made = cache(replace(guarded.users, user="nobody"), "rights")

    async def refusal(*more: int) -> str:
        await allow(guarded, "nobody", made.topic, *more)
        writer = open_writer(made)
        with pytest.raises(LogUnsuitable) as refused:
            await writer.open()
        [finding] = await log_findings(made, None)
        assert finding.level is Level.FAIL or more == (_DESCRIBE,)  # there is no topic yet
        return str(refused.value)

    async def scenario() -> None:
        assert (
            f'kafka-acls.sh --add --allow-principal "User:nobody" --operation Read --operation Write '
            f"--operation Describe --operation DescribeConfigs --topic {made.topic}"
        ) in await refusal()
        assert "(Create, Read, Write, Describe, DescribeConfigs is missing)" in await refusal(_DESCRIBE)
        assert "(Read, Write, DescribeConfigs is missing)" in await refusal(_CREATE)
        assert "(Write, DescribeConfigs is missing)" in await refusal(_READ)
        assert "(DescribeConfigs is missing)" in await refusal(_WRITE)
        await allow(guarded, "nobody", made.topic, _DESCRIBE_CONFIGS)
        writer = open_writer(made)
        await writer.open()
        await write(writer, 1)
        await writer.close()
        with pytest.raises(LogUnsuitable, match="--operation Delete"):
            await delete_topic(made)

    asyncio.run(scenario())


def test_whoever_only_reads_needs_no_more_than_that(guarded: Guarded) -> None:
    async def scenario() -> None:
        ours, theirs = cache(guarded.users, "shared"), cache(replace(guarded.users, user="reader"), "shared")
        await allow(guarded, "writer", ours.topic, _READ, _WRITE, _CREATE, _DESCRIBE_CONFIGS)
        await allow(guarded, "reader", ours.topic, _DESCRIBE)
        reader = open_reader(theirs)
        with pytest.raises(LogAbsent):
            await reader.open()
        writer = open_writer(ours)
        await writer.open()
        await write(writer, 2)
        await writer.close()
        with pytest.raises(LogUnsuitable, match="Read is missing"):
            await reader.open()
        await allow(guarded, "reader", ours.topic, _READ)
        await reader.open()
        assert len(await read_all(reader, {0: "0"}, 2)) == 2
        await reader.close()

    asyncio.run(scenario())


def test_a_right_that_is_taken_away_under_way_is_told_as_that(guarded: Guarded) -> None:
    async def scenario() -> None:
        settings = cache(guarded.users, "revoked")
        await allow(guarded, "writer", settings.topic, _READ, _WRITE, _CREATE, _DESCRIBE_CONFIGS)
        writer, reader = open_writer(settings), open_reader(settings)
        await writer.open()
        await reader.open()
        try:
            await write(writer, 1)
            assert len(await read_all(reader, {0: "0"}, 1)) == 1
            await allow(guarded, "writer", settings.topic, _WRITE, _READ, permission=_DENY)
            with pytest.raises(LogUnsuitable, match="tidegate check"):
                await write(writer, 1, first=1)
            error = await eventually(lambda: reader.read({0: "1"}, 0.1), LogUnsuitable)
            assert "Read is missing" in str(error) or "tidegate check" in str(error)
        finally:
            await writer.close()
            await reader.close()

    asyncio.run(scenario())
