"""The servers of the test bench do what the tests believe they do."""

import shutil
import signal
import subprocess
import sys

import psutil
import psycopg
import pytest
import redis

from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import VERSIONS
from tests.servers.processes import ServerError, wait_until
from tests.servers.redis import FLAVOURS, Flavour, RedisServer


@pytest.mark.parametrize("version", VERSIONS)
def test_each_postgres_is_the_version_it_claims_and_decodes_logically(version: str) -> None:
    with PostgresServer(version) as server:
        assert server.execute("SHOW server_version")[0][0].startswith(f"{version}.")
        server.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        assert server.execute("SELECT plugin FROM pg_replication_slots") == [("pgoutput",)]


def test_postgres_survives_stop_kill_and_pause_on_the_same_port() -> None:
    with PostgresServer() as server:
        server.execute("CREATE TABLE t (id int)")
        port = server.port
        server.restart()
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            server.connect()
        server.start()
        server.pause()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(server.url(), connect_timeout=1)
        server.resume()
        assert server.port == port
        assert server.execute("SELECT count(*) FROM t") == [(0,)]


def test_postgres_leaves_no_process_and_no_directory() -> None:
    server = PostgresServer().start()
    tree = server.process.tree()
    assert len(tree) > 1
    server.destroy()
    assert not any(process.is_running() for process in tree)
    assert not server.directory.exists()


def test_a_wrong_setting_shows_the_servers_own_words() -> None:
    server = PostgresServer(shared_buffers="a lot")
    with pytest.raises(ServerError, match="shared_buffers"):
        server.start()
    server.destroy()


def test_allow_decides_who_comes_in() -> None:
    with PostgresServer() as server:
        server.execute("CREATE ROLE app LOGIN PASSWORD 'secret'")
        server.allow("host all all 127.0.0.1/32 scram-sha-256")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url(user="app"))
        psycopg.connect(server.url(user="app", password="secret")).close()
        with pytest.raises(ServerError, match="wrong"):
            server.allow("host all all nonsense")


def test_a_database_is_dropped_with_its_slot(newest_postgres: PostgresServer) -> None:
    with newest_postgres.database("short_lived") as name:
        newest_postgres.execute("SELECT pg_create_logical_replication_slot('short', 'pgoutput')", database=name)
    assert newest_postgres.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = 'short'") == []
    assert newest_postgres.execute("SELECT 1 FROM pg_database WHERE datname = 'short_lived'") == []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_redis_answers_on_both_sockets_and_freezes(flavour: Flavour) -> None:
    with RedisServer(flavour, requirepass="se cret", maxmemory="32mb") as server:
        for url in (server.url, server.unix_url):
            with redis.Redis.from_url(url, socket_timeout=1) as client:
                client.set("a", "1")
                assert client.config_get("maxmemory") == {"maxmemory": str(32 * 1024**2)}
                server.pause()
                with pytest.raises(redis.TimeoutError):
                    client.get("a")
                server.resume()
        server.kill()
        assert server.process.exit_code == -signal.SIGKILL
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") is None


def test_a_server_dies_with_the_process_that_started_it() -> None:
    """A killed test run leaves nothing behind."""
    program = (
        "from tests.servers.redis import RedisServer\n"
        "import os, signal\n"
        "server = RedisServer('valkey').start()\n"
        "print(server.process.pid, server.directory, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout.split()

    wait_until(lambda: not psutil.pid_exists(int(told[0])), "the server to end")
    shutil.rmtree(told[1])
