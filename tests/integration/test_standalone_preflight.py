"""`tidegate up` on a database that cannot be used: one sentence, what to do, an exit code, and no traceback."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.installation.database_check import look_at_database
from services.shared.runtime.finding import failed
from services.shared.runtime.settings import CacheSettings
from tests.servers.postgres import PostgresServer
from tests.servers.processes import free_port


def _up(url: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "up", "--listen", "127.0.0.1:0", *options],
        env={**os.environ, "TIDEGATE_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that asks for passwords."""
    with PostgresServer() as started:
        started.execute("CREATE ROLE app LOGIN PASSWORD 'right' REPLICATION")
        started.execute("GRANT CREATE ON DATABASE postgres TO app")
        started.execute("CREATE ROLE reader LOGIN PASSWORD 'right'")
        started.allow("host all all 127.0.0.1/32 scram-sha-256")
        yield started


def _refused(ran: "subprocess.CompletedProcess[str]", sentence: str) -> None:
    said = ran.stdout + ran.stderr
    assert sentence in said
    assert "Traceback" not in said
    assert ran.returncode == 1


def _lines(ran: "subprocess.CompletedProcess[str]") -> list[str]:
    return [line.removeprefix("tidegate up: ") for line in ran.stderr.splitlines()]


def test_a_wrong_password(server: PostgresServer) -> None:
    ran = _up(server.url(user="app", password="wrong-one"))

    _refused(ran, 'The password for the role "app" is wrong.')
    assert "wrong-one" not in ran.stdout + ran.stderr


def test_a_database_that_does_not_exist(server: PostgresServer) -> None:
    _refused(_up(server.url("nowhere", user="app", password="right")), 'There is no database "nowhere"')


def test_a_role_that_may_do_nothing_is_told_everything_at_once(server: PostgresServer) -> None:
    ran = _up(server.url(user="reader", password="right"))

    _refused(ran, 'ALTER ROLE "reader" REPLICATION')
    cache = CacheSettings.model_validate(
        {"name": "default", "database_url": server.url(user="reader", password="right")}
    )
    assert [str(wrong) for wrong in failed(asyncio.run(look_at_database(cache)).findings)] == [
        line for line in _lines(ran) if "The role reader may not" in line
    ]
    _refused(ran, 'GRANT CREATE ON DATABASE "postgres" TO "reader"')


def test_nobody_at_home() -> None:
    _refused(_up(f"postgresql://app@127.0.0.1:{free_port()}/app"), "Nothing listens at 127.0.0.1:")


def test_no_broker_at_home() -> None:
    _refused(_up("", "--kafka", f"127.0.0.1:{free_port()}"), "No Kafka broker answers at 127.0.0.1:")


def test_no_redis_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    ran = _up("")

    _refused(ran, "start Redis there, or correct TIDEGATE_REDIS_URL")
    assert "hunter2" not in ran.stdout + ran.stderr


def test_a_server_without_logical_decoding() -> None:
    with PostgresServer(wal_level="replica") as server:
        _refused(_up(server.url()), "ALTER SYSTEM SET wal_level = 'logical', then restart Postgres")


@pytest.mark.parametrize(
    ("option", "value", "what"),
    [
        ("--listen", "6432", "--listen = '6432': it is no HOST:PORT"),
        ("--max-staleness", "soon", "--max-staleness = 'soon'"),
        ("--consistency", "perfect", "--consistency = 'perfect'"),
        ("--workers", "-1", "--workers = '-1'"),
        ("--kafka", "nowhere", "--kafka = kafka://nowhere: behind the scheme"),
    ],
)
def test_a_wrong_option_is_named_as_it_was_written(option: str, value: str, what: str) -> None:
    ran = _up("postgresql://app@127.0.0.1/app", option, value)

    assert what in ran.stderr
    assert ran.returncode == 2
