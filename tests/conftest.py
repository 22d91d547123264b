"""What the test rings share: their markers, and the servers of a session.

A server that cannot be had fails the tests that need it, with advice. Nothing is skipped.
"""

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.servers.kafka import kafka_server  # noqa: F401 - a fixture of the session, for every ring
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import FLAVOURS, Flavour, RedisServer

_RINGS = ("unit", "property", "precision", "fuzz", "integration", "drivers", "chaos")
_HERE = Path(__file__).parent
_database_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Declare one marker per ring; a test carries the one of its folder. SIGTERM ends a run as Ctrl-C does."""
    hypothesis.settings.register_profile("untimed", deadline=None)  # timing belongs into benchmarks/
    hypothesis.settings.load_profile("untimed")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and their directories are cleaned up
    for ring in _RINGS:
        config.addinivalue_line("markers", f"{ring}: lives in tests/{ring}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its ring, so that `-m integration` works as the folder does."""
    for item in items:
        if item.path.is_relative_to(_HERE) and (ring := item.path.relative_to(_HERE).parts[0]) in _RINGS:
            item.add_marker(ring)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that is skipped, or expected to fail, proves nothing: a session that has one fails."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter is not None else {}
    if (stats.get("skipped") or stats.get("xfailed")) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def newest_postgres() -> Iterator[PostgresServer]:
    """The newest Postgres, one for the session: take a `database` of your own on it."""
    with PostgresServer(NEWEST) as server:
        yield server


@pytest.fixture(scope="session")
def oldest_postgres() -> Iterator[PostgresServer]:
    """The oldest supported Postgres, one for the session."""
    with PostgresServer(OLDEST) as server:
        yield server


@pytest.fixture(scope="session", params=["newest", "oldest"])
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """The newest and the oldest Postgres in turn."""
    server: PostgresServer = request.getfixturevalue(f"{request.param}_postgres")
    return server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The name of a fresh database on `postgres`, dropped afterwards with its slots."""
    with postgres.database(f"test_{next(_database_numbers)}") as name:
        yield name


@pytest.fixture
def newest_database(newest_postgres: PostgresServer) -> Iterator[str]:
    """The name of a fresh database on `newest_postgres`, dropped afterwards with its slots."""
    with newest_postgres.database(f"test_{next(_database_numbers)}") as name:
        yield name


@pytest.fixture(scope="session")
def _redis_servers() -> Iterator[dict[Flavour, RedisServer]]:
    servers: dict[Flavour, RedisServer] = {}
    yield servers
    for server in servers.values():
        server.destroy()


def _clean_server(servers: dict[Flavour, RedisServer], flavour: Flavour) -> RedisServer:
    if flavour not in servers:
        servers[flavour] = RedisServer(flavour).start()
    servers[flavour].flush()
    return servers[flavour]


@pytest.fixture
def valkey(_redis_servers: dict[Flavour, RedisServer]) -> RedisServer:
    """The session's Valkey, empty."""
    return _clean_server(_redis_servers, "valkey")


@pytest.fixture(params=FLAVOURS)
def redis_server(request: pytest.FixtureRequest, _redis_servers: dict[Flavour, RedisServer]) -> RedisServer:
    """The session's Valkey and the session's Redis in turn, empty."""
    return _clean_server(_redis_servers, request.param)
