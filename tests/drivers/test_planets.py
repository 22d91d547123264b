"""The application of the guides that put a cache between Prisma and Postgres: nothing is set but DATABASE_URL."""

import json
import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.integration.proxied_postgres import ProxiedPostgres
from tests.servers.driver_programs import node_command
from tests.servers.processes import wait_until

_PLANETS = [
    {"id": 1, "name": "Mercury", "moons": 0, "rings": False},
    {"id": 2, "name": "Venus", "moons": 0, "rings": False},
    {"id": 3, "name": "Earth", "moons": 1, "rings": False},
]


@contextmanager
def _application(database_url: str) -> Iterator[str]:
    """Run it on a database; give its address."""
    process = subprocess.Popen(
        [str(part) for part in node_command("planets.mjs")],
        stdout=subprocess.PIPE,
        env=os.environ | {"DATABASE_URL": database_url},
    )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0], "the application does not start"
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def _get(address: str, data: dict[str, Any] | None = None) -> Any:
    body = None if data is None else json.dumps(data).encode()
    with urlopen(Request(address, body), timeout=10) as response:
        return json.load(response)


@pytest.fixture
def _planets(proxied: ProxiedPostgres) -> Iterator[None]:
    rows = ", ".join(f"({one['id']}, '{one['name']}', {one['moons']}, {one['rings']})" for one in _PLANETS)
    proxied.server.execute(
        "CREATE TABLE planets (id int PRIMARY KEY, name text UNIQUE, moons int, rings bool);"
        f"INSERT INTO planets VALUES {rows}; GRANT ALL ON planets TO app"
    )
    yield
    proxied.server.execute("DROP TABLE planets")


@pytest.mark.usefixtures("_planets")
def test_planets_are_hits_and_changes_are_seen(proxied: ProxiedPostgres) -> None:
    with _application(proxied.url("app", "app")) as address:
        assert _get(f"{address}/planets") == _PLANETS
        proxied.wait_all_cached(lambda: _get(f"{address}/planets"), 5)
        proxied.wait_all_cached(lambda: _get(f"{address}/planets/Earth"), 5)
        assert _get(f"{address}/planets/Vulcan") is None

        proxied.server.execute("UPDATE planets SET moons = 2 WHERE id = 3")
        wait_until(lambda: _get(f"{address}/planets/Earth")["moons"] == 2, "the direct write")
        wait_until(lambda: _get(f"{address}/planets")[2]["moons"] == 2, "the direct write in the list")

        saturn = {"id": 6, "name": "Saturn", "moons": 274, "rings": True}
        assert _get(f"{address}/planets", saturn) == saturn
        assert saturn in _get(f"{address}/planets")  # its own write, on the same connection
        proxied.wait_all_cached(lambda: _get(f"{address}/planets/Saturn"), 5)


@pytest.mark.usefixtures("_planets")
def test_planets_answer_as_without_the_proxy(proxied: ProxiedPostgres) -> None:
    seen = []
    for url in (proxied.server.url(user="app", password="app"), proxied.url("app", "app")):
        with _application(url) as address:
            seen.append([_get(f"{address}/planets"), _get(f"{address}/planets/Venus"), _get(f"{address}/planets/None")])
    assert seen[0] == seen[1] == [_PLANETS, _PLANETS[1], None]
