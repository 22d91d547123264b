"""`tidegate up` as a person or a script uses it: up, watched, broken, and down again without a trace."""

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from services.standalone.cores import worker_count
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ManagedProcess, wait_until

_START_SECONDS = 60.0
_RECOVERY_SECONDS = 30.0
_STOP_SECONDS = 40.0
_WORKERS = ("proxy-0", "proxy-1", "cdc", "invalidator")


@dataclass(frozen=True, slots=True)
class Up:
    """A `tidegate up` that was started, ready or not."""

    process: ManagedProcess
    ready_file: Path

    @property
    def ready(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    @property
    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = self.ready["processes"]
        return pids

    def wait_ready(self) -> None:
        wait_until(lambda: self.ready_file.exists() or not self.process.running, "tidegate up", _START_SECONDS)
        assert self.ready_file.exists(), self.process.log()

    def page(self, path: str) -> tuple[int, str]:
        url = self.ready["metrics_url"].removesuffix("/metrics") + path
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def _up(*options: str, environ: dict[str, str] | None = None) -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="tidegate-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        ready_file = folder / "ready.json"
        command = [sys.executable, "-m", "services.cli", "up", "--ready-file", str(ready_file), *options]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        process = ManagedProcess(
            "tidegate up", command, folder / "output", env=clean | {"TMPDIR": name} | (environ or {}), cwd=folder
        )
        try:
            yield Up(process, ready_file)
        finally:
            if process.running:
                process.stop(timeout_seconds=_STOP_SECONDS)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


@pytest.fixture(scope="module")
def stack() -> Iterator[Up]:
    """A whole stack that brings its own servers."""
    with _up("--listen", "127.0.0.1:0", "--workers", "2") as started:
        started.wait_ready()
        yield started


def test_the_ready_file_says_where_everything_is_to_its_owner_alone(stack: Up) -> None:
    ready = stack.ready

    assert set(ready) == {"database_url", "upstream_url", "redis_url", "event_log", "metrics_url", "processes"}
    assert set(ready["processes"]) == {*_WORKERS, "redis", "postgres"}
    assert all(_alive(pid) for pid in ready["processes"].values())
    assert ready["event_log"] == "redis"
    assert stat.S_IMODE(stack.ready_file.stat().st_mode) == 0o600


def test_no_secret_is_among_the_arguments_of_any_process(stack: Up) -> None:
    passwords = [stack.ready[name].partition("@")[0].rpartition(":")[2] for name in ("upstream_url", "redis_url")]
    arguments = " ".join(" ".join(process.cmdline()) for process in stack.process.tree())

    assert all(len(password) > 20 for password in passwords)
    assert not any(password in arguments for password in passwords)


def test_the_settings_that_are_printed_lead_the_other_commands_to_it(stack: Up) -> None:
    def printed() -> str:
        return next((line for line in stack.process.log().splitlines() if "tidegate explain" in line), "")

    line = wait_until(printed, "the settings")  # they come after the ready file
    settings = dict(word.split("=", 1) for word in shlex.split(line) if word.startswith("TIDEGATE_"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    command = [sys.executable, "-m", "services.cli", "check"]

    told = subprocess.run(command, env=clean | settings, capture_output=True, text=True, timeout=60, check=False)

    assert set(settings) == {"TIDEGATE_DATABASE_URL", "TIDEGATE_REDIS_URL"}
    assert told.returncode == 0, told.stdout + told.stderr
    assert "CDC service and invalidator are at work" in told.stdout


def test_a_change_made_directly_in_postgres_is_seen_through_the_proxy(stack: Up) -> None:
    _see_a_change(stack)


def _see_a_change(up: Up) -> None:
    with (
        psycopg.connect(up.ready["upstream_url"], autocommit=True) as direct,
        psycopg.connect(up.ready["database_url"], autocommit=True) as proxied,
    ):
        direct.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
        direct.execute("INSERT INTO things VALUES (1, 'old')")
        read = "SELECT name FROM things WHERE id = 1"
        assert proxied.execute(read).fetchone() == ("old",)
        direct.execute("UPDATE things SET name = 'new'")
        wait_until(lambda: proxied.execute(read).fetchone() == ("new",), "the change", 5.0)


def test_one_text_has_the_metrics_of_all_processes(stack: Up) -> None:
    status, text = stack.page("/metrics")

    assert status == 200
    for name in _WORKERS:
        assert f'process_resident_memory_bytes{{process="{name}"}}' in text
        assert f'tidegate_process_running{{process="{name}"}} 1.0' in text
    assert text.count("# TYPE tidegate_proxy_hits_total counter") == 1
    assert stack.page("/healthz")[0] == 200
    assert stack.page("/nothing")[0] == 404


@pytest.mark.parametrize("name", ["proxy-1", "cdc", "invalidator", "redis", "postgres"])
def test_a_killed_process_is_replaced_and_the_stack_serves_again(stack: Up, name: str) -> None:
    killed = stack.pids[name]
    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: stack.pids[name] != killed, f"another {name}", _RECOVERY_SECONDS)
    wait_until(lambda: stack.page("/readyz")[0] == 200, f"readiness after {name}", _RECOVERY_SECONDS)
    wait_until(lambda: _answers(stack.ready["database_url"]), "an answer", _RECOVERY_SECONDS)
    assert f'tidegate_process_restarts_total{{process="{name}"}} 1.0' in stack.page("/metrics")[1]


def test_a_stopped_process_makes_the_stack_unready_and_the_others_go_on(stack: Up) -> None:
    os.kill(stack.pids["cdc"], signal.SIGSTOP)
    try:
        status, text = stack.page("/readyz")
        assert status == 503
        assert "cdc not ready" in text
        assert _answers(stack.ready["database_url"])
    finally:
        os.kill(stack.pids["cdc"], signal.SIGCONT)
    wait_until(lambda: stack.page("/readyz")[0] == 200, "readiness", _RECOVERY_SECONDS)


def _traces(server: PostgresServer, database: str) -> dict[str, list[Any]]:
    return {
        "slots": server.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", [database]),
        "publications": server.execute("SELECT pubname FROM pg_publication", database=database),
    }


_NOTHING: dict[str, list[Any]] = {"slots": [], "publications": []}
_OURS = {"slots": [("tidegate_default",)], "publications": [("tidegate_default",)]}


@contextmanager
def _up_on(server: PostgresServer, database: str, *options: str) -> Iterator[Up]:
    environ = {"TIDEGATE_DATABASE_URL": server.url(database)}
    with _up("--listen", "127.0.0.1:0", "--workers", "1", *options, environ=environ) as started:
        started.wait_ready()
        yield started


@pytest.fixture
def capped_postgres() -> Iterator[PostgresServer]:
    """A server on which a slot that lasts does no harm."""
    with PostgresServer(max_slot_wal_keep_size="256MB") as server:
        yield server


def test_a_clean_stop_leaves_no_process_no_slot_and_no_publication(capped_postgres: PostgresServer) -> None:
    with capped_postgres.database("app") as database:
        with _up_on(capped_postgres, database) as up:
            assert _traces(capped_postgres, database) == _OURS
            assert set(up.pids) == {"proxy-0", "cdc", "invalidator", "redis"}
            pids = list(up.pids.values())

            assert up.process.stop(timeout_seconds=_STOP_SECONDS) == 0

            assert not up.ready_file.exists()
            assert not any(_alive(pid) for pid in pids)
            assert list(up.ready_file.parent.glob("tidegate-up-*")) == []
        assert _traces(capped_postgres, database) == _NOTHING


def test_slot_and_publication_stay_when_they_are_to_be_kept(capped_postgres: PostgresServer) -> None:
    with capped_postgres.database("app") as database:
        with _up_on(capped_postgres, database, "--keep") as up:
            up.process.stop(timeout_seconds=_STOP_SECONDS)

        assert _traces(capped_postgres, database) == _OURS


def test_a_stop_takes_the_slot_back_even_from_a_frozen_cdc_service(capped_postgres: PostgresServer) -> None:
    with capped_postgres.database("app") as database:
        with _up_on(capped_postgres, database) as up:
            os.kill(up.pids["cdc"], signal.SIGSTOP)
            up.process.send(signal.SIGINT)
            wait_until(lambda: not up.process.running, "the stop", _STOP_SECONDS)

        assert _traces(capped_postgres, database) == _NOTHING


def test_no_process_outlives_a_killed_supervisor_and_the_data_directory_can_be_used_again() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        options = ("--listen", "127.0.0.1:0", "--data-dir", f"{name}/data")
        with _up(*options) as up:
            up.wait_ready()
            with psycopg.connect(up.ready["database_url"], autocommit=True) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
            pids = list(up.pids.values())
            os.kill(up.process.pid, signal.SIGKILL)
            wait_until(lambda: not any(_alive(pid) for pid in pids), "all processes to end", _STOP_SECONDS)
        with _up(*options) as up:
            up.wait_ready()
            with psycopg.connect(up.ready["database_url"]) as connection:
                assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_the_event_log_may_be_kafka(kafka_server: KafkaServer) -> None:
    with _up("--listen", "127.0.0.1:0", "--kafka", kafka_server.bootstrap) as up:
        up.wait_ready()

        assert up.ready["event_log"] == f"kafka://{kafka_server.bootstrap}"
        _see_a_change(up)


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_a_stop_during_the_start_ends_everything(seconds: float) -> None:
    """While a cluster is made, and while services are started."""
    with _up("--listen", "127.0.0.1:0") as up:
        wait_until(lambda: len(up.process.tree()) > 1, "the first process", _START_SECONDS)
        time.sleep(seconds)
        started = [process.pid for process in up.process.tree()]

        assert up.process.stop(timeout_seconds=_STOP_SECONDS) == 0
        assert not any(_alive(pid) for pid in started)


def test_there_is_a_proxy_for_every_core_unless_a_number_is_given() -> None:
    with _up("--listen", "127.0.0.1:0") as up:
        up.wait_ready()

        proxies = {name for name in up.pids if name.startswith("proxy-")}
        assert proxies == {f"proxy-{index}" for index in range(worker_count(0))}
        assert _answers(up.ready["database_url"])


def test_another_port_is_chosen_and_named_when_the_wanted_one_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = f"127.0.0.1:{taken.getsockname()[1]}"
        with _up("--listen", wanted) as up:
            up.wait_ready()

            assert wanted not in up.ready["database_url"]
            assert _answers(up.ready["database_url"])
            wait_until(lambda: f"{wanted} is taken" in up.process.log(), "the note", 5.0)
