"""`tidegate check` beside mistakes that people make, each made for real."""

import asyncio
import socket
from collections.abc import Awaitable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # it ships no types

from services.cdc import control as control_module
from services.installation import store_check
from services.installation.check import check_cache
from services.installation.setup import set_up
from services.invalidator.service import run_invalidator
from services.shared.runtime.finding import Finding, Level, failed
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.telemetry import Telemetry
from tests.integration.cdc_harness import DURABLE, make_cache, running
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import RedisServer

_Result = TypeVar("_Result")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, PostgresServer]]:
    with PostgresServer(NEWEST, **DURABLE) as newest, PostgresServer(OLDEST, **DURABLE) as oldest:
        yield {NEWEST: newest, OLDEST: oldest}


@pytest.fixture(params=[OLDEST, NEWEST])
def server(request: pytest.FixtureRequest, servers: dict[str, PostgresServer]) -> PostgresServer:
    return servers[request.param]


@pytest.fixture
def newest(servers: dict[str, PostgresServer]) -> PostgresServer:
    return servers[NEWEST]


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RedisServer]:
    """One whose settings the tests may change."""
    with RedisServer("redis") as started:
        yield started


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which somebody accepts and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


def run(work: Awaitable[_Result]) -> _Result:
    async def bounded() -> _Result:
        async with asyncio.timeout(30):
            return await work

    return asyncio.run(bounded())


def check(cache: CacheSettings) -> list[Finding]:
    return run(check_cache(cache))


def about(findings: list[Finding], topic: str) -> list[Finding]:
    """What is said of a topic, apart from what is well."""
    return [finding for finding in findings if finding.topic == topic and finding.level is not Level.OK]


def test_settings_of_sessions_are_found_wherever_they_are_set(server: PostgresServer, valkey: RedisServer) -> None:
    with server.database("sessions") as database:
        cache = make_cache(server, database, valkey)
        assert about(check(cache), "sessions") == []
        server.execute("DROP ROLE IF EXISTS app; CREATE ROLE app")
        server.execute(f'ALTER DATABASE "{database}" SET client_encoding = latin1')
        server.execute(f'ALTER ROLE app IN DATABASE "{database}" SET search_path = public, pg_catalog')
        server.execute("ALTER ROLE app SET standard_conforming_strings = off; ALTER ROLE app SET work_mem = '8MB'")

        findings = about(check(cache), "sessions")

        assert len(findings) == 3
        server.execute(";".join(finding.remedy.split(",")[0] for finding in findings))
        assert about(check(cache), "sessions") == []


def test_a_setting_of_the_whole_server_is_found(newest: PostgresServer, valkey: RedisServer) -> None:
    cache = make_cache(newest, "postgres", valkey, database_url=newest.url() + "?options=-csearch_path%3Da,pg_catalog")

    (finding,) = about(check(cache), "sessions")

    assert "Sessions of our role begin with search_path = a,pg_catalog" in finding.text


def test_what_is_advised_for_a_table_makes_it_fit(server: PostgresServer, valkey: RedisServer) -> None:
    with server.database("identities") as database:
        server.execute(
            'CREATE TABLE "odd "".name" (a int NOT NULL, b int, UNIQUE (b), UNIQUE (a)); CREATE TABLE bare (a int);'
            "CREATE TABLE later (a int, PRIMARY KEY (a) DEFERRABLE); CREATE UNLOGGED TABLE brief (a int PRIMARY KEY);"
            "CREATE TABLE partly (a int NOT NULL); CREATE UNIQUE INDEX ON partly (a) WHERE a > 0;"
            "CREATE TABLE secured (a int PRIMARY KEY); ALTER TABLE secured ENABLE ROW LEVEL SECURITY",
            database=database,
        )
        cache = make_cache(server, database, valkey)

        findings = check(cache)

        statements = [statement for finding in findings for statement in finding.statements]
        assert len(statements) == 5
        assert any(statement.endswith('USING INDEX "odd "".name_a_key"') for statement in statements)
        assert "row security" in str([finding.text for finding in findings if finding.tables == ("public.secured",)])
        server.execute(";".join(statements), database=database)
        run(set_up(cache, rehearse=False))
        assert about(check(cache), "tables") == []


def test_who_would_let_everybody_in_is_told(newest: PostgresServer, valkey: RedisServer) -> None:
    """H46."""
    open_door = make_cache(newest, "postgres", valkey, listen="0.0.0.0:6432")

    (finding,) = failed(check(open_door))

    assert "Postgres admits postgres from this host without a password" in finding.text
    assert "pg_hba.conf" in finding.remedy
    assert failed(check(open_door.model_copy(update={"listen": "127.0.0.1:6432"}))) == []


def test_files_that_cannot_be_used_are_named(newest: PostgresServer, valkey: RedisServer, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    for_clients = make_cache(newest, "postgres", valkey, tls="on", tls_certificate=nothing, tls_key=nothing)
    roots = make_cache(
        newest, "postgres", valkey, database_url=f"{newest.url()}?sslmode=verify-ca&sslrootcert={nothing}"
    )

    for cache, setting in ((for_clients, "TIDEGATE_TLS_CERTIFICATE"), (roots, "sslrootcert")):
        (finding,) = failed(check(cache))
        assert setting in finding.text
        assert str(nothing) in finding.text


def test_a_redis_that_cannot_be_written_is_told(
    newest: PostgresServer, valkey: RedisServer, own_redis: RedisServer
) -> None:
    cache = make_cache(newest, "postgres", own_redis)
    client: Any = redis.Redis.from_url(own_redis.url)  # not typed

    client.execute_command("REPLICAOF", "127.0.0.1", str(valkey.port))
    assert "is a replica" in failed(check(cache))[0].text
    client.execute_command("REPLICAOF", "NO", "ONE")

    client.config_set("maxmemory", 1)
    assert "is full" in failed(check(cache))[0].text
    client.config_set("maxmemory", 0)

    assert failed(check(cache)) == []


def test_the_rights_that_are_advised_for_redis_are_enough(newest: PostgresServer, own_redis: RedisServer) -> None:
    client: Any = redis.Redis.from_url(own_redis.url)  # not typed
    cache = make_cache(newest, "postgres", own_redis, redis_url=own_redis.url.replace("//", "//weak:word@"))
    client.execute_command("ACL", "SETUSER", "weak", "on", ">word", "~*", "&*", "+@all", "-eval", "-evalsha")
    (finding,) = failed(check(cache))
    assert finding.text == "Our user in Redis lacks rights to: eval, evalsha"
    advised = finding.remedy.partition("ACL SETUSER … ")[2].split()
    wrong = own_redis.url.replace("//", "//weak:wrong@")
    assert "is wrong" in failed(check(make_cache(newest, "postgres", own_redis, redis_url=wrong)))[0].text

    client.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">word", *advised)

    async def work() -> list[Finding]:
        async with running(cache):
            task = asyncio.create_task(run_invalidator(cache, Telemetry("test").for_cache(cache.name)))
            try:
                return await check_cache(cache)
            finally:
                task.cancel()
                await asyncio.wait({task})

    findings = run(work())
    assert failed(findings) == []
    assert "kept fresh" in str([finding.text for finding in findings if finding.topic == "freshness"])


@pytest.mark.parametrize("what", ["database", "redis"])
def test_nothing_waits_for_ever_for_who_does_not_answer(
    newest: PostgresServer, valkey: RedisServer, silent_port: int, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(control_module, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(store_check, "REDIS_SECONDS", 0.3)
    nowhere = {
        "database": {"database_url": f"postgresql://postgres@127.0.0.1:{silent_port}/postgres"},
        "redis": {"redis_url": f"redis://127.0.0.1:{silent_port}/0"},
    }
    (finding,) = failed(check(make_cache(newest, "postgres", valkey, **nowhere[what])))

    assert finding.topic == what
    assert f"127.0.0.1:{silent_port} does not answer" in finding.text


def test_a_topic_that_keeps_too_little_is_told(
    newest: PostgresServer, valkey: RedisServer, kafka_server: KafkaServer
) -> None:
    cache = make_cache(newest, "postgres", valkey, event_log=f"kafka://{kafka_server.bootstrap}")
    short = {
        "retention.ms": "3600000",
        "max.message.bytes": "4194304",
        "message.timestamp.type": "LogAppendTime",
    }

    async def make_topic(settings: dict[str, str]) -> list[Finding]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(cache.topic, 1, 1, topic_configs=settings)])
            found = [finding for finding in await check_cache(cache) if finding.topic == "event log"]
            await admin.delete_topics([cache.topic])
            return found
        finally:
            await admin.close()

    _, warned = run(make_topic(short))
    assert warned.level is Level.WARN
    assert "keeps events for 1 h" in warned.text
    (refused,) = run(make_topic({"min.insync.replicas": "2"}))
    assert refused.level is Level.FAIL
    assert "so it takes none" in refused.text
    assert "min.insync.replicas=1" in refused.remedy
