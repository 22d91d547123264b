"""The three services as the compose file starts them: its commands, its environment, the built wheel, real servers.

What Docker would add is left out: the names of the hosts stand for servers on the loopback.
"""

import json
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from tests.servers.compose import composed
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ManagedProcess, ServerError, free_port, wait_until
from tests.servers.redis import RedisServer
from tests.servers.wheel import build_wheel, install_wheel

_HEALTHY_SECONDS = 60.0
_SEEN_SECONDS = 10.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def tidegate(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_wheel(wheel, tmp_path_factory.mktemp("installed") / "venv")


def test_the_wheel_holds_the_services_with_their_data_and_no_test(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"services", "schemas"}
    for ending in (".lua", ".v1.json", "services/py.typed", "schemas/py.typed", "licenses/LICENSE"):
        assert any(name.endswith(ending) for name in names), f"no {ending} in the wheel"


def test_the_installed_program_is_the_wheels(tidegate: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [tidegate.with_name("python"), "-c", "import services.cli; print(services.cli.__file__)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert Path(told.stdout.strip()).is_relative_to(tidegate.parents[1])


@dataclass(frozen=True, slots=True)
class _Service:
    """One of our services as compose describes it."""

    process: ManagedProcess
    environment: dict[str, str]
    health_command: list[str]

    def is_healthy(self) -> bool:
        if not self.process.running:
            raise ServerError(f"{self.process.name} has ended:\n{self.process.log()}")
        told = subprocess.run(self.health_command, capture_output=True, check=False, env=self.environment, cwd="/")
        return told.returncode == 0

    def metrics(self) -> str:
        with urlopen(f"http://{self.environment['TIDEGATE_METRICS_LISTEN']}/metrics", timeout=5) as page:
            text: str = page.read().decode()
            return text


@dataclass(frozen=True, slots=True)
class _Composed:
    """Everything that `docker compose up` would have started."""

    postgres: PostgresServer
    services: dict[str, _Service]
    proxy_url: str


@pytest.fixture(scope="module")
def stack(tidegate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Composed]:
    described = composed()["services"]
    with ExitStack() as started:
        postgres = _postgres(described["postgres"])
        started.callback(postgres.destroy)
        redis_password = described["redis"]["environment"]["REDIS_PASSWORD"]
        redis = started.enter_context(RedisServer("redis", requirepass=redis_password, maxmemory_policy="volatile-lru"))
        kafka = started.enter_context(KafkaServer())
        proxy_port = free_port()
        places = {
            "postgres:5432": f"127.0.0.1:{postgres.port}",
            "redis:6379": f"127.0.0.1:{redis.port}",
            "kafka:9092": kafka.bootstrap,
            "0.0.0.0:6432": f"127.0.0.1:{proxy_port}",
        }
        services = {}
        for name in ("cdc", "invalidator", "proxy"):
            directory = tmp_path_factory.mktemp(name)
            services[name] = service = _start(tidegate, name, described[name], places, directory)
            started.callback(service.process.kill)
        for name, service in services.items():
            wait_until(service.is_healthy, f"{name} to be healthy", _HEALTHY_SECONDS)
        yield _Composed(postgres, services, f"postgresql://app:app@127.0.0.1:{proxy_port}/app")


def _postgres(described: dict[str, Any]) -> PostgresServer:
    """Start Postgres with the settings of the compose file, and what the image makes of its environment."""
    settings = dict(part.split("=", 1) for part in described["command"] if "=" in part)
    server = PostgresServer(described["image"].partition(":")[2], **settings).start()
    user, database = described["environment"]["POSTGRES_USER"], described["environment"]["POSTGRES_DB"]
    password = described["environment"]["POSTGRES_PASSWORD"]
    server.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'")
    server.execute(f"CREATE DATABASE {database} OWNER {user}")
    server.execute(
        "CREATE TABLE planets (id int PRIMARY KEY, name text); INSERT INTO planets VALUES (1, 'Mars'), (2, 'Venus')",
        database=database,
    )
    server.allow("host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256")
    return server


def _start(tidegate: Path, name: str, described: dict[str, Any], places: dict[str, str], directory: Path) -> _Service:
    environment = {"PATH": f"{tidegate.parent}:/usr/bin:/bin"}
    for variable, value in described["environment"].items():
        text = str(value)
        for place, stand_in in places.items():
            text = text.replace(place, stand_in)
        environment[variable] = text
    environment["TIDEGATE_METRICS_LISTEN"] = f"127.0.0.1:{free_port()}"
    process = ManagedProcess(name, [tidegate, *described["command"]], directory / "log", env=environment, cwd=directory)
    _, *health_command = described["healthcheck"]["test"]
    return _Service(process, environment, [str(tidegate.with_name(health_command[0])), *health_command[1:]])


def test_a_query_and_a_row_change_go_all_the_way(stack: _Composed) -> None:
    with psycopg.connect(stack.proxy_url, autocommit=True) as client:

        def name_of_mars() -> str:
            row = client.execute("SELECT name FROM planets WHERE id = 1").fetchone()
            assert row is not None
            return str(row[0])

        assert name_of_mars() == "Mars"
        wait_until(lambda: name_of_mars() == "Mars" and _hits(stack) > 0, "an answer from the cache", _SEEN_SECONDS)
        stack.postgres.execute("UPDATE planets SET name = 'Red' WHERE id = 1", database="app")
        wait_until(lambda: name_of_mars() == "Red", "the change to be seen", _SEEN_SECONDS)


def test_every_metric_names_its_process_and_cache(stack: _Composed) -> None:
    for name, service in stack.services.items():
        ours = [line for line in service.metrics().splitlines() if line.startswith("tidegate_")]
        assert ours
        assert all(f'process="{name}' in line and 'cache="default"' in line for line in ours)


def test_every_log_line_is_json_and_holds_no_password(stack: _Composed) -> None:
    for name, service in stack.services.items():
        lines = [json.loads(line) for line in service.process.log().splitlines()]
        assert lines
        assert {line["service"] for line in lines} == {name}
        assert ":app@" not in service.process.log()
        assert ":redis@" not in service.process.log()


def test_a_stop_of_the_containers_is_clean(stack: _Composed) -> None:
    for name in ("proxy", "invalidator", "cdc"):
        assert stack.services[name].process.stop() == 0, stack.services[name].process.log()


def _hits(stack: _Composed) -> float:
    return sum(
        float(line.rpartition(" ")[2])
        for line in stack.services["proxy"].metrics().splitlines()
        if line.startswith("tidegate_proxy_hits_total")
    )
