"""The drivers' own test suites, as their maintainers run them, with nothing changed but host and port."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.environment import CACHE, source_distribution, suite_python
from tests.conformance.outcomes import Outcome, Outcomes
from tests.conformance.plugin import conformance_reporting as plugin
from tests.conformance.sides import Side
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.processes import ServerError

_PLUGIN = Path(plugin.__file__)
_TEST_SECONDS = 120  # a test that hangs is a failed one
_RUN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class DriverSuite:
    """A suite that pytest runs.

    Attributes:
        name: How it is called on the command line.
        distribution: Whose source distribution holds it.
        database: The database that most of its tests use: the one that is cached.
        setup: SQL that it expects to have been run there.
        arguments: Of pytest: the tests, and where the database is on a side.
        environ: Environment variables that tell it where the database is on a side.
    """

    name: str
    distribution: str
    database: str
    setup: str
    arguments: Callable[[Side], Sequence[str]]
    environ: Callable[[Side], Mapping[str, str]]

    @property
    def settings(self) -> Mapping[str, str | int]:
        """Server settings that it wants."""
        return {"jit": "off"}  # as asyncpg sets it for its own servers: it upsets tests of time-outs

    def prepare(self, server: PostgresServer) -> None:
        """Make the database that it expects."""
        server.execute(f'CREATE DATABASE "{self.database}"')
        if self.setup:
            server.execute(self.setup, database=self.database)

    @property
    def leaves_traces(self) -> bool:
        """Its tests clean up: a second run ends as the first."""
        return False

    def run(self, side: Side, only: Collection[str] | None, label: str) -> Outcomes:
        """Run it, or some of its tests, and return how they ended.

        Raises:
            ServerError: pytest could not run it to the end; the message is its output.
        """
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            outcomes = Path(directory) / "outcomes.jsonl"
            outcomes.touch()
            environ = {**_inherited(), **self.environ(side), plugin.OUTCOMES: str(outcomes)}
            if only is not None:
                listed = Path(directory) / "only"
                listed.write_text("\n".join(only), encoding="utf-8")
                environ[plugin.ONLY] = str(listed)
            options = ("-q", "-p", _PLUGIN.stem, "-p", "no:cacheprovider")
            timeout = ("--timeout", str(_TEST_SECONDS))
            ran = subprocess.run(
                [suite_python(), "-m", "pytest", *options, *timeout, *self.arguments(side)],
                cwd=self._sources(),
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=_RUN_SECONDS,
            )
            found = _read(outcomes)
        if ran.returncode not in (0, 1) and not found:  # 1: tests failed, as some do directly too
            raise ServerError(
                f"{self.name}, {label}: pytest ended with {ran.returncode}\n{(ran.stdout + ran.stderr)[-4000:]}"
            )
        return found

    def _sources(self) -> Path:
        return source_distribution(self.distribution)


def _inherited() -> dict[str, str]:
    """Return our environment without what would lead libpq, Python or pytest astray; with our plugin on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST_", "TIDEGATE_"))}
    kept.pop("VIRTUAL_ENV", None)
    return kept | {"PYTHONPATH": str(_PLUGIN.parent), "PYTHONDONTWRITEBYTECODE": "1"}


def _read(outcomes: Path) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for line in outcomes.read_text(encoding="utf-8").splitlines():
        ended = json.loads(line)
        found[ended["test"]] = Outcome(ended["how"], ended["detail"])
    return found


def _asyncpg_environ(side: Side) -> Mapping[str, str]:
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(side.port),
        "PGUSER": SUPERUSER,
        "PGDATABASE": ASYNCPG.database,
    }


ASYNCPG = DriverSuite(
    name="asyncpg",
    distribution="asyncpg",
    database="asyncpg_test",
    setup="",
    # Left out: the sources' style, and an environment that only their own CI has.
    arguments=lambda _: ("tests", "--ignore=tests/test__sourcecode.py", "--ignore=tests/test__environment.py"),
    environ=_asyncpg_environ,
)


_SQLALCHEMY_SETUP = """
CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2; CREATE EXTENSION hstore; CREATE EXTENSION citext
"""


def _sqlalchemy(driver: str) -> DriverSuite:
    database = "sa_test"
    return DriverSuite(
        name=f"sqlalchemy-{driver}",
        distribution="sqlalchemy",
        database=database,
        setup=_SQLALCHEMY_SETUP,
        arguments=lambda side: (
            "test/dialect/postgresql", "test/dialect/test_suite.py", "--maxfail=100000",
            "--dburi", side.url(database, f"postgresql+{driver}"),
        ),
        environ=lambda _: {},
    )  # fmt: skip


DRIVER_SUITES = (ASYNCPG, _sqlalchemy("psycopg"), _sqlalchemy("asyncpg"))
