"""The servers that the stack brings along, its data directory and its ports."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import redis

from services.standalone import postgres as embedded_postgres
from services.standalone import valkey as embedded_valkey
from services.standalone.account import server_account
from services.standalone.data_directory import DataDirectory, DataDirectoryError, open_data_directory
from services.standalone.ports import ListenError, reserve
from services.standalone.postgres import EmbeddedPostgres
from services.standalone.supervisor import Supervisor
from services.standalone.valkey import EmbeddedValkey

_PATIENCE_SECONDS = 30.0


@pytest.fixture
def directory() -> Iterator[DataDirectory]:
    opened = open_data_directory(None, server_account())
    yield opened
    opened.close()
    assert not opened.path.exists()


@asynccontextmanager
async def _running_postgres(directory: DataDirectory) -> AsyncIterator[tuple[EmbeddedPostgres, Supervisor]]:
    server = EmbeddedPostgres(directory, "shop")
    await server.make()
    supervisor = Supervisor(lambda _name, _line: None, lambda: None)
    supervisor.start([server.service])
    try:
        await supervisor.wait_ready(_PATIENCE_SECONDS)
        yield server, supervisor
    finally:
        await supervisor.stop()


def test_postgres_is_ready_for_logical_replication_and_asks_for_its_password(directory: DataDirectory) -> None:
    async def scenario() -> None:
        async with _running_postgres(directory) as (server, _):
            with psycopg.connect(server.upstream.url) as connection:
                assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
                assert connection.execute("SHOW max_slot_wal_keep_size").fetchone() == ("2GB",)
                assert connection.execute("SELECT current_database()").fetchone() == ("shop",)
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(replace(server.upstream, password="wrong").url)

    asyncio.run(scenario())


def test_a_killed_postgres_comes_back_with_its_data_on_the_same_port(directory: DataDirectory) -> None:
    async def scenario() -> None:
        async with _running_postgres(directory) as (server, supervisor):
            with psycopg.connect(server.upstream.url, autocommit=True) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
            killed = supervisor.processes["postgres"]
            os.kill(killed, signal.SIGKILL)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                for _ in iter(lambda: supervisor.processes["postgres"] != killed, True):
                    await asyncio.sleep(0.01)
            await supervisor.wait_ready(_PATIENCE_SECONDS)
            with psycopg.connect(server.upstream.url) as connection:
                assert connection.execute("SELECT one FROM kept").fetchone() == (1,)

    asyncio.run(scenario())


def test_a_named_data_directory_keeps_cluster_and_password_and_serves_one_stack_at_a_time() -> None:
    parent = Path(tempfile.mkdtemp())
    parent.chmod(0o755)

    async def scenario() -> None:
        for statement in ("CREATE TABLE kept AS SELECT 1 AS one", "SELECT one FROM kept"):
            directory = open_data_directory(parent / "data", server_account())
            try:
                with pytest.raises(DataDirectoryError, match="in use by another"):
                    open_data_directory(parent / "data", server_account())
                async with _running_postgres(directory) as (server, _):
                    with psycopg.connect(server.upstream.url, autocommit=True) as connection:
                        connection.execute(statement)
            finally:
                directory.close()

    try:
        asyncio.run(scenario())
        assert stat.S_IMODE((parent / "data" / "secrets.json").stat().st_mode) == 0o600
    finally:
        shutil.rmtree(parent)


def test_programs_that_the_servers_user_cannot_read_are_copied(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> bool:
        return False

    monkeypatch.setattr(embedded_postgres, "may_enter", unreadable)
    monkeypatch.setattr(embedded_valkey, "may_enter", unreadable)

    async def scenario() -> None:
        valkey = EmbeddedValkey(directory, durable=False)
        async with _running_postgres(directory) as (server, supervisor):
            supervisor.start([valkey.service])
            await supervisor.wait_ready(_PATIENCE_SECONDS)
            assert server.service.program().argv[0].startswith(str(directory.path))
            assert valkey.service.program().argv[0].startswith(str(directory.path))

    asyncio.run(scenario())


def test_valkey_asks_for_its_password_and_never_drops_what_has_no_end(directory: DataDirectory) -> None:
    async def scenario() -> None:
        valkey = EmbeddedValkey(directory, durable=False)
        supervisor = Supervisor(lambda _name, _line: None, lambda: None)
        supervisor.start([valkey.service])
        try:
            await supervisor.wait_ready(_PATIENCE_SECONDS)
            with redis.Redis.from_url(valkey.url) as client:
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
            without_password = f"redis://{valkey.url.rpartition('@')[2]}"
            with redis.Redis.from_url(without_password) as client, pytest.raises(redis.AuthenticationError):
                client.ping()
        finally:
            await supervisor.stop()

    asyncio.run(scenario())


def test_the_wanted_port_is_taken_when_it_is_free() -> None:
    first = reserve("127.0.0.1:0")
    first.close()

    second = reserve(first.address)

    assert second.address == first.address
    assert not second.moved
    second.close()


def test_another_port_is_chosen_when_the_wanted_one_is_taken_even_by_one_that_shares_it() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = f"127.0.0.1:{taken.getsockname()[1]}"

        reservation = reserve(wanted)

        assert reservation.moved
        assert reservation.address != wanted
        reservation.close()


def test_listeners_share_a_reserved_port_and_get_every_connection() -> None:
    reservation = reserve("127.0.0.1:0")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((reservation.host, reservation.port))
        listener.listen(64)
        for _ in range(32):
            socket.create_connection((reservation.host, reservation.port), timeout=5).close()
    reservation.close()


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ListenError, match=r"Cannot listen on 192\.0\.2\.1:6432"):
        reserve("192.0.2.1:6432")


def test_what_a_killed_stack_left_behind_is_removed_and_what_lives_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    an_hour_ago = time.time() - 3600
    alive = open_data_directory(None, None)
    abandoned = open_data_directory(None, None)
    os.close(abandoned.lock)  # as the kernel does for a process that was killed
    strange = tmp_path / "tidegate-up-strange"  # no lock: nobody knows whose it is
    strange.mkdir()
    for folder in (alive.path, abandoned.path, strange):
        os.utime(folder, (an_hour_ago, an_hour_ago))

    fresh = open_data_directory(None, None)

    assert {path.name for path in tmp_path.iterdir()} == {alive.path.name, strange.name, fresh.path.name}
    for directory in (alive, fresh):
        directory.close()
