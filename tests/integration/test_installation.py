"""`tidegate setup`, `check` and `teardown` on real servers."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg
import pytest
import redis

from services.cdc.control import ControlConnection
from services.cdc.ddl_trigger import DROPPING
from services.installation import check as check_module
from services.installation import teardown as teardown_code
from services.installation.at_work import come_back, services_at_work
from services.installation.check import check_cache
from services.installation.noted import RehearsedConnection
from services.installation.reaching import Unreachable, reaching
from services.installation.setup import SetupReport, set_up
from services.installation.store_check import dead_letter_findings
from services.installation.teardown import find_traces, remove_traces
from services.invalidator.service import run_invalidator
from services.proxy.control import ConnectControl
from services.shared.keyspace.dead_letter import dead_letter
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.keys import Keys
from services.shared.redis_client import connect
from services.shared.runtime.cancellation import cancel_until_done
from services.shared.runtime.finding import Finding, Level, failed
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.telemetry import Telemetry
from tests.integration.catalog_print import QUIET, differences, take_print
from tests.integration.cdc_harness import make_cache, running, until
from tests.integration.test_cdc_setup import KINDS
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.processes import free_port
from tests.servers.redis import RedisServer

_PUBLISHED = ['Odd "quoted" name', "child", "indexed", "parent", "part", "plain", "whole"]
_FOLLOWED = sorted([*_PUBLISHED, "parted"])
_Result = TypeVar("_Result")


@pytest.fixture(scope="module")
def quiet_servers() -> Iterator[dict[str, PostgresServer]]:
    """A server of each of two versions that changes nothing by itself."""
    with PostgresServer(NEWEST, **QUIET) as newest, PostgresServer(OLDEST, **QUIET) as oldest:
        yield {"newest": newest, "oldest": oldest}


@pytest.fixture(params=["newest", "oldest"])
def server(request: pytest.FixtureRequest, quiet_servers: dict[str, PostgresServer]) -> PostgresServer:
    return quiet_servers[request.param]


@pytest.fixture
def newest(quiet_servers: dict[str, PostgresServer]) -> PostgresServer:
    return quiet_servers["newest"]


@pytest.fixture
def shop(server: PostgresServer) -> Iterator[str]:
    """A database with tables of every kind, on each server."""
    with server.database("shop") as name:
        server.execute(KINDS, database=name)
        yield name


@pytest.fixture
def newest_shop(newest: PostgresServer) -> Iterator[str]:
    """A database with one table, on the newest server."""
    with newest.database("shop") as name:
        newest.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", database=name)
        yield name


def run(work: Awaitable[_Result]) -> _Result:
    async def bounded() -> _Result:
        async with asyncio.timeout(30):
            return await work

    return asyncio.run(bounded())


def prepare(cache: CacheSettings, *, rehearse: bool = False) -> SetupReport:
    return run(set_up(cache, rehearse=rehearse))


def check(cache: CacheSettings) -> list[Finding]:
    return run(check_cache(cache))


def tear_down(cache: CacheSettings) -> list[str]:
    """Remove what there is, and return what that was."""

    async def work() -> list[str]:
        traces = await find_traces(cache)
        await remove_traces(cache, traces)
        return traces.described(cache)

    return run(work())


def published(server: PostgresServer, database: str, cache: CacheSettings) -> list[str]:
    sql = "SELECT tablename FROM pg_publication_tables WHERE pubname = %s ORDER BY 1"
    return [name for (name,) in server.execute(sql, [cache.publication], database=database)]


def about(findings: list[Finding], words: str) -> Finding:
    (finding,) = [finding for finding in findings if words in str(finding)]
    return finding


def test_a_rehearsal_changes_nothing_and_shows_what_setup_then_runs(
    server: PostgresServer, shop: str, valkey: RedisServer
) -> None:
    cache = make_cache(server, shop, valkey)
    before = take_print(server, shop)

    rehearsed = prepare(cache, rehearse=True)

    assert take_print(server, shop) == before  # its next transaction id included: none was given out
    done = prepare(cache)
    assert done.statements == rehearsed.statements != []
    assert done.after == rehearsed.after
    assert done.complete
    assert published(server, shop, cache) == _PUBLISHED
    server.execute("INSERT INTO keyless VALUES (1); UPDATE keyless SET a = 2", database=shop)
    set_up_once = take_print(server, shop)
    assert prepare(cache).statements == []
    assert take_print(server, shop).rows == set_up_once.rows


def test_a_rehearsal_is_read_only_for_postgres_itself(newest: PostgresServer, valkey: RedisServer) -> None:
    cache = make_cache(newest, "postgres", valkey)

    async def work() -> None:
        async with reaching(cache.upstream, "test", RehearsedConnection, read_only=True) as control:
            await ControlConnection.execute(control, "CREATE TABLE forbidden ()")

    with pytest.raises(Unreachable, match="read-only"):
        run(work())


def test_setup_names_each_table_that_stays_out_and_what_to_do(
    server: PostgresServer, shop: str, valkey: RedisServer
) -> None:
    report = prepare(make_cache(server, shop, valkey))

    told = {table.removeprefix("public."): finding for finding in report.after for table in finding.tables}
    assert sorted(told) == sorted([*_FOLLOWED, "keyless", "late", "silent", "unlogged"])
    assert "ADD PRIMARY KEY" in told["keyless"].remedy
    assert "REPLICA IDENTITY DEFAULT" in told["silent"].remedy
    assert "SET LOGGED" in told["unlogged"].remedy
    assert sorted(name for name, finding in told.items() if "followed" in finding.text) == _FOLLOWED


def test_the_service_goes_on_with_what_setup_made(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer
) -> None:
    cache = make_cache(newest, newest_shop, valkey)
    prepare(cache)

    async def work() -> None:
        async with running(cache) as cdc:
            await until(lambda: cdc.statistics.followed == 1, "the table to be followed")

    run(work())
    assert published(newest, newest_shop, cache) == ["t"]
    assert prepare(cache).statements == []


def test_check_changes_nothing(server: PostgresServer, shop: str, valkey: RedisServer) -> None:
    cache = make_cache(server, shop, valkey)
    client = redis.Redis.from_url(valkey.url)
    before = take_print(server, shop)

    findings = check(cache)

    assert take_print(server, shop) == before
    assert client.keys() == []
    assert failed(findings) == []
    prepare(cache)
    prepared = take_print(server, shop)
    assert failed(check(cache)) == []
    assert take_print(server, shop) == prepared


def test_a_published_table_that_loses_its_key_fails_and_setup_mends_it(
    server: PostgresServer, shop: str, valkey: RedisServer
) -> None:
    """H44, without the event triggers."""
    cache = make_cache(server, shop, valkey, ddl_trigger=False)
    prepare(cache)
    server.execute("ALTER TABLE plain DROP CONSTRAINT plain_pkey; INSERT INTO plain VALUES (1)", database=shop)
    with pytest.raises(psycopg.Error, match="replica identity"):
        server.execute("UPDATE plain SET id = 2", database=shop)

    (finding,) = failed(check(cache))

    assert finding.tables == ("public.plain",)
    assert "UPDATE and DELETE fail on public.plain" in finding.text
    assert finding.sql == (f'ALTER PUBLICATION "{cache.publication}" DROP TABLE ONLY "public"."plain"',)
    assert prepare(cache, rehearse=True).statements == list(finding.sql)
    assert prepare(cache).complete
    server.execute("UPDATE plain SET id = 2", database=shop)
    assert failed(check(cache)) == []


@pytest.mark.parametrize(
    "change",
    [
        "SET (publish = 'insert, update')",
        "SET (publish_via_partition_root = true)",
        "SET TABLE t WHERE (id > 5)",
        "SET TABLE t (id)",
    ],
)
def test_a_publication_that_somebody_narrowed_is_noticed_and_made_whole(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer, change: str
) -> None:
    """H10."""
    cache = make_cache(newest, newest_shop, valkey)
    prepare(cache)
    newest.execute(f"ALTER PUBLICATION {cache.publication} {change}", database=newest_shop)
    assert failed(check(cache)) != []

    report = prepare(cache)

    assert report.complete
    assert report.statements != []
    assert failed(check(cache)) == []
    assert published(newest, newest_shop, cache) == ["t"]


@pytest.mark.parametrize("tables", ["FOR ALL TABLES", "FOR TABLES IN SCHEMA public"])
def test_a_publication_of_all_tables_is_refused(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer, tables: str
) -> None:
    """H9."""
    cache = make_cache(newest, newest_shop, valkey)
    newest.execute(f"CREATE PUBLICATION {cache.publication} {tables}", database=newest_shop)

    report = prepare(cache)

    assert not report.complete
    assert report.then_for_administrator == [f'DROP PUBLICATION IF EXISTS "{cache.publication}"']
    assert "no replica identity" in failed(check(cache))[0].text


def test_an_administrator_who_runs_what_is_printed_is_done(
    server: PostgresServer, shop: str, valkey: RedisServer
) -> None:
    server.execute('DROP ROLE IF EXISTS "A ""role"""; CREATE ROLE "A ""role""" LOGIN', database=shop)
    server.execute('ALTER TABLE plain OWNER TO "A ""role"""', database=shop)
    cache = make_cache(server, shop, valkey, database_url=server.url(shop, 'A "role"'))
    before = take_print(server, shop)
    prepare(cache, rehearse=True)
    assert take_print(server, shop) == before

    first = prepare(cache)
    assert not first.complete
    assert first.statements == []
    assert first.first_for_administrator == [
        'ALTER ROLE "A ""role""" REPLICATION',
        f'GRANT CREATE ON DATABASE "{shop}" TO "A ""role"""',
    ]
    server.execute(";".join(first.first_for_administrator), database=shop)
    second = prepare(cache)
    assert published(server, shop, cache) == ["plain"]
    assert not second.complete
    server.execute(";".join(second.then_for_administrator), database=shop)
    assert prepare(cache).complete
    assert published(server, shop, cache) == _PUBLISHED
    assert failed(check(cache)) == []
    tear_down(cache)
    server.execute('DROP OWNED BY "A ""role""" CASCADE; DROP ROLE "A ""role"""', database=shop)


def test_a_second_cache_of_another_role_is_told_what_to_grant(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer
) -> None:
    prepare(make_cache(newest, newest_shop, valkey))
    newest.execute("DROP ROLE IF EXISTS second; CREATE ROLE second LOGIN REPLICATION", database=newest_shop)
    newest.execute("REVOKE USAGE ON SCHEMA tidegate FROM PUBLIC", database=newest_shop)
    cache = make_cache(newest, newest_shop, valkey, database_url=newest.url(newest_shop, "second"))

    wanted = prepare(cache).first_for_administrator
    assert failed(check(cache)) != []
    newest.execute(";".join(wanted), database=newest_shop)

    assert prepare(cache).first_for_administrator == []

    async def work() -> None:
        async with running(cache):
            pass

    run(work())
    newest.execute("DROP OWNED BY second CASCADE; DROP ROLE second", database=newest_shop)


def test_a_standby_is_refused(valkey: RedisServer) -> None:
    with PostgresServer(NEWEST) as server:
        server.stop()
        (server.data_directory / "standby.signal").touch()
        server.start()
        cache = make_cache(server, "postgres", valkey)
        assert "is a standby" in str(about(check(cache), "standby"))
        report = prepare(cache)
    assert not report.complete
    assert report.statements == []


@pytest.mark.parametrize("make", ["physical", "logical"])
def test_a_slot_that_nobody_reads_is_noticed(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer, make: str
) -> None:
    cache = make_cache(newest, newest_shop, valkey)
    create = {
        "physical": f"SELECT pg_create_physical_replication_slot('{cache.slot}')",
        "logical": f"SELECT pg_create_logical_replication_slot('{cache.slot}', 'pgoutput')",
    }
    newest.execute(create[make], database=newest_shop)
    try:
        finding = about(check(cache), f"replication slot {cache.slot}")
        if make == "logical":
            assert finding.level is Level.WARN
            assert "Nobody reads" in finding.text
        else:
            assert finding.level is Level.FAIL
            with pytest.raises(Refusal, match="not our cache"):
                tear_down(cache)
    finally:
        newest.execute(f"SELECT pg_drop_replication_slot('{cache.slot}')", database=newest_shop)


def test_a_slot_that_is_lost_is_noticed(valkey: RedisServer) -> None:
    small = {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    with PostgresServer(OLDEST, **small) as server:
        cache = make_cache(server, "postgres", valkey)
        server.execute(f"SELECT pg_create_logical_replication_slot('{cache.slot}', 'pgoutput')")
        for _ in range(3):
            server.execute("SELECT pg_switch_wal()")
            server.execute("CREATE TABLE wal AS SELECT 1; DROP TABLE wal")
        server.execute("CHECKPOINT")
        assert "is lost" in failed(check(cache))[0].text


def test_isolated_sessions_are_named(newest: PostgresServer, newest_shop: str, valkey: RedisServer) -> None:
    """H49."""
    newest.execute(f'ALTER DATABASE "{newest_shop}" SET default_transaction_isolation = serializable')

    finding = about(check(make_cache(newest, newest_shop, valkey)), "serializable")

    assert finding.level is Level.WARN
    assert "Sessions of everybody in this database begin with default_transaction_isolation" in finding.text
    assert finding.remedy.startswith(f'ALTER DATABASE "{newest_shop}" RESET default_transaction_isolation')


def test_a_redis_that_would_delete_what_must_stay_is_refused(newest: PostgresServer, newest_shop: str) -> None:
    with RedisServer("valkey", maxmemory="16mb", maxmemory_policy="allkeys-lru") as server:
        (finding,) = failed(check(make_cache(newest, newest_shop, server)))
    assert "allkeys-lru" in finding.text
    assert "volatile-lru" in finding.remedy


@asynccontextmanager
async def evicting(cache: CacheSettings) -> AsyncIterator[None]:
    """Run an invalidator."""
    task = asyncio.create_task(run_invalidator(cache, Telemetry("test").for_cache(cache.name)))
    try:
        yield
    finally:
        await cancel_until_done([task])


def test_check_sees_whether_the_services_are_at_work(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache(newest, newest_shop, valkey)

    async def work() -> tuple[list[Finding], list[Finding]]:
        async with running(cache) as cdc:
            await until(lambda: cdc.statistics.followed == 1, "the table to be followed")
            with monkeypatch.context() as impatient:
                impatient.setattr(check_module, "_CATCHING_UP_SECONDS", 0.1)
                alone = await check_cache(cache)
            async with evicting(cache):
                return alone, await check_cache(cache)

    alone, together = run(work())
    assert about(alone, "invalidator").level is Level.WARN
    assert about(together, "kept fresh").level is Level.OK
    assert "tidegate-cdc from 127.0.0.1" in about(together, f"replication slot {cache.slot}").text
    assert failed(together) == []


def test_teardown_leaves_no_trace(
    server: PostgresServer, shop: str, valkey: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teardown_code, "RELEASE_SECONDS", 0.5)
    cache = make_cache(server, shop, valkey)
    client = redis.Redis.from_url(valkey.url)
    client.set("theirs", 1)
    before = take_print(server, shop)
    prepare(cache)

    async def work() -> None:
        async with running(cache) as cdc, evicting(cache):
            await until(lambda: cdc.statistics.followed == len(_FOLLOWED), "the tables to be followed")
            await until(lambda: client.exists(f"{cache.prefix}1:m") == 1, "the bucket")
            with pytest.raises(Refusal, match=r"in use by process \d+ of Postgres \(tidegate-cdc from 127"):
                await find_traces(cache)

    run(work())
    assert take_print(server, shop).slots == [cache.slot]

    removed = tear_down(cache)

    after = take_print(server, shop)
    assert differences(before, after) == {}
    assert after.slots == []
    assert client.keys() == [b"theirs"]
    assert len(removed) == 4
    assert tear_down(cache) == []


def test_teardown_beside_services_at_work_is_refused_or_forced(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teardown_code, "RELEASE_SECONDS", 0.3)
    cache, other = (make_cache(newest, newest_shop, valkey) for _ in range(2))
    client = redis.Redis.from_url(valkey.url)

    async def work() -> None:
        async with running(other), evicting(cache):
            async with running(cache):
                await until(lambda: client.exists(f"{cache.prefix}1:m") == 1, "the bucket")
                assert len(await services_at_work(cache)) == 2
            with pytest.raises(Refusal, match=r"an invalidator \(from 127\.0\.0\.1\), which would make again"):
                await find_traces(cache)
        traces = await find_traces(cache)  # the other cache's service is no matter
        async with running(cache) as cdc:
            await remove_traces(cache, await find_traces(cache, force=True), force=True)
            again = await come_back(cache, "test", 20.0)
            await until(lambda: cdc.statistics.connected == 1, "the service to be back")
        assert again != []
        assert traces.slot
        await remove_traces(cache, await find_traces(cache))
        assert await come_back(cache, "test", 0.1) == []
        await remove_traces(other, await find_traces(other))

    run(work())
    assert client.keys() == []


def test_a_proxy_that_is_connected_is_seen(newest: PostgresServer, newest_shop: str, valkey: RedisServer) -> None:
    cache = make_cache(newest, newest_shop, valkey)

    async def work() -> list[Finding]:
        connection = await ConnectControl(cache.upstream, "tidegate-proxy")("probe")
        try:
            return await check_cache(cache)
        finally:
            connection.terminate()

    assert "(1 connections for themselves)" in about(run(work()), "Proxies are connected").text


def test_teardown_spares_another_cache_and_another_database(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer
) -> None:
    first, second = (make_cache(newest, newest_shop, valkey) for _ in range(2))
    client = redis.Redis.from_url(valkey.url)

    async def work() -> None:
        async with running(first), running(second):
            pass

    run(work())
    same_name = first.model_copy(update={"database_url": make_cache(newest, "postgres", valkey).database_url})
    with pytest.raises(Refusal, match="another database"):
        tear_down(same_name)
    prepare(second)
    tear_down(first)
    assert newest.execute("SELECT cache FROM tidegate.canary", database=newest_shop) == [(second.name,)]
    assert {str(key).split(":")[1] for key in client.keys("*")} == {f"{{{second.name}}}"}
    tear_down(second)
    assert newest.execute("SELECT to_regnamespace('tidegate')", database=newest_shop) == [(None,)]
    assert client.keys() == []


def test_keys_of_another_database_stay(newest: PostgresServer, newest_shop: str, valkey: RedisServer) -> None:
    cache = make_cache(newest, newest_shop, valkey)
    other = cache.model_copy(update={"database_url": make_cache(newest, "postgres", valkey).database_url})

    async def work() -> None:
        async with running(cache):
            pass

    run(work())
    newest.execute(f"SELECT pg_drop_replication_slot('{cache.slot}')", database=newest_shop)

    traces = run(find_traces(other))

    assert traces.keys == 0
    assert "belong to another database" in traces.kept[0]
    assert "another database" in failed(check(other))[0].text


def test_records_that_could_not_be_read_are_counted(valkey: RedisServer, newest: PostgresServer) -> None:
    cache = make_cache(newest, "postgres", valkey)

    async def work() -> tuple[list[Finding], list[Finding]]:
        client = connect(valkey.url, "tidegate:{x}:", 5.0, None)
        try:
            before = await dead_letter_findings(cache)
            for _ in range(2):
                await DeadLetters(client, cache.name, 5.0).keep(dead_letter(0, "17-3", b"x", "not an event"))
            return before, await dead_letter_findings(cache)
        finally:
            await client.delete(Keys(cache.name).dead_letters)
            await client.aclose()

    (before,), (after,) = run(work())
    assert before.level is Level.OK
    assert after.level is Level.WARN
    assert "1 record of the event log could not be read in the last day" in after.text
    assert "partition 0, place 17-3: not an event" in after.text


def test_a_topic_is_checked_and_removed(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer, kafka_server: KafkaServer
) -> None:
    cache = make_cache(newest, newest_shop, valkey, event_log=f"kafka://{kafka_server.bootstrap}")
    assert "no event log in Kafka" in str(about(check(cache), "no event log"))

    async def work() -> None:
        async with running(cache):
            pass

    run(work())
    assert about(check(cache), f"topic {cache.topic}").level is Level.OK
    assert f"topic {cache.topic} in Kafka" in tear_down(cache)
    assert "no event log in Kafka" in str(about(check(cache), "no event log"))
    assert tear_down(cache) == []


class Command:
    """Runs `tidegate …` for one database."""

    def __init__(self, url: str, redis_url: str) -> None:
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")} | {
            "TIDEGATE_DATABASE_URL": url,
            "TIDEGATE_REDIS_URL": redis_url,
        }

    def __call__(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        told = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in told.stdout + told.stderr
        return told

    def answering(self, answer: str, *arguments: str) -> int:
        """Run a command on a terminal, and return its exit code."""
        terminal, its_end = pty.openpty()
        try:
            os.write(terminal, f"{answer}\n".encode())
            return subprocess.run(
                [sys.executable, "-m", "services.cli", *arguments],
                env=self.environment,
                stdin=its_end,
                capture_output=True,
                timeout=60,
            ).returncode
        finally:
            os.close(terminal)
            os.close(its_end)


def test_the_commands_speak_to_people_and_machines(
    newest: PostgresServer, newest_shop: str, valkey: RedisServer
) -> None:
    tidegate = Command(newest.url(newest_shop, password="hunter2-secret"), valkey.url)

    rehearsed = tidegate("setup", "--dry-run")
    newest.execute(rehearsed.stdout, database=newest_shop)  # all that is not SQL is a comment
    newest.execute(f"{DROPPING}; ALTER TABLE t DROP CONSTRAINT t_pkey", database=newest_shop)
    told = tidegate("check", "--json")
    document = json.loads(told.stdout)
    assert (told.returncode, document["well"]) == (1, False)
    failures = [finding for finding in document["caches"]["default"] if finding["level"] == "fail"]
    assert failures[0]["tables"] == ["public.t"]
    assert tidegate("teardown").returncode == 2  # nobody to ask
    assert tidegate.answering("no", "teardown") == 1
    assert published(newest, newest_shop, make_cache(newest, newest_shop, valkey, name="default")) == ["t"]
    assert tidegate.answering("y", "teardown") == 0
    assert "hunter2" not in rehearsed.stdout + rehearsed.stderr + told.stdout + told.stderr


def test_what_cannot_be_reached_is_said_without_secrets(newest: PostgresServer) -> None:
    nowhere = f"postgresql://app:hunter2-secret@127.0.0.1:{free_port()}/app"
    tidegate = Command(nowhere, f"redis://:hunter3-secret@127.0.0.1:{free_port()}/0")

    told = tidegate("check", TIDEGATE_EVENT_LOG=f"kafka://127.0.0.1:{free_port()}")

    assert told.returncode == 1
    assert "Nothing listens at 127.0.0.1:" in told.stdout
    assert "→ start Redis there, or correct TIDEGATE_REDIS_URL" in told.stdout
    assert "No Kafka broker answers at 127.0.0.1:" in told.stdout
    for arguments in (["setup"], ["teardown", "--yes"]):
        refused = tidegate(*arguments)
        assert refused.returncode == 1
        assert "Nothing listens at" in refused.stderr
        assert "secret" not in refused.stdout + refused.stderr
    assert "secret" not in told.stdout + told.stderr


def test_wrong_settings_are_refused(valkey: RedisServer) -> None:
    assert Command("postgresql://a@127.0.0.1/b", valkey.url)("setup", "--cache", "none").returncode == 2
