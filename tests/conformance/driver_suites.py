"""The own test suites of drivers and frameworks, as their maintainers run them, with only host and port changed."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.environment import CACHE, source_distribution, suite_python
from tests.conformance.outcomes import Outcome, Outcomes
from tests.conformance.plugin.tidegate_conformance import django_settings, exchange
from tests.conformance.sides import Side
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.processes import ServerError

_PLUGIN = Path(exchange.__file__).parent
_TEST_SECONDS = 120  # a test that hangs is a failed one
_RUN_SECONDS = 3600.0
_PYTEST = (
    "-m", "pytest", "-q", "-p", f"{_PLUGIN.name}.pytest_plugin", "-p", "no:cacheprovider",
    "--timeout", str(_TEST_SECONDS),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DriverSuite:
    """A suite that pytest runs, or a program of its own.

    Attributes:
        name: How it is called on the command line.
        distribution: Whose source distribution holds it.
        database: The database that most of its tests use: the one that is cached.
        setup: SQL that it expects to have been run there.
        arguments: Of the program: the tests, and where the database is on a side.
        environ: Environment variables that tell it where the database is on a side.
        program: What Python runs.
        folder: Where in the source distribution it runs.
        leaves_traces: Its tests do not all clean up, so that a second run ends otherwise.
    """

    name: str
    distribution: str
    database: str
    setup: str
    arguments: Callable[[Side], Sequence[str]]
    environ: Callable[[Side], Mapping[str, str]]
    program: Sequence[str] = _PYTEST
    folder: str = "."
    leaves_traces: bool = False

    @property
    def settings(self) -> Mapping[str, str | int]:
        """Server settings that it wants."""
        return {"jit": "off"}  # as asyncpg sets it for its own servers: it upsets tests of time-outs

    def prepare(self, server: PostgresServer) -> None:
        """Make the database that it expects."""
        server.execute(f'CREATE DATABASE "{self.database}"')
        if self.setup:
            server.execute(self.setup, database=self.database)

    def run(self, side: Side, only: Collection[str] | None, label: str) -> Outcomes:
        """Run it, or some of its tests, and return how they ended.

        Raises:
            ServerError: It did not run to the end; the message is its output.
        """
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            outcomes = Path(directory) / "outcomes.jsonl"
            outcomes.touch()
            environ = {**_inherited(), **self.environ(side), exchange.OUTCOMES: str(outcomes)}
            if only is not None:
                listed = Path(directory) / "only"
                listed.write_text("\n".join(only), encoding="utf-8")
                environ[exchange.ONLY] = str(listed)
            ran = subprocess.run(
                [suite_python(), *self.program, *self.arguments(side)],
                cwd=source_distribution(self.distribution) / self.folder,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=_RUN_SECONDS,
            )
            found = _read(outcomes)
        if not found:  # that tests fail is no error: some do directly too
            raise ServerError(
                f"{self.name}, {label}: it ended with {ran.returncode}\n{(ran.stdout + ran.stderr)[-4000:]}"
            )
        return found


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


# The folders that speak to a database; the others are about forms, templates, addresses, the admin site.
_DJANGO_FOLDERS = """
aggregation aggregation_regress annotations async backends basic bulk_create composite_pk constraints
contenttypes_tests custom_columns custom_lookups custom_managers custom_methods custom_pk datatypes dates datetimes
db_functions db_typecasts db_utils defer defer_regress delete delete_regress distinct_on_fields empty
expressions expressions_case expressions_window extra_regress field_defaults filtered_relation fixtures
force_insert_update foreign_object from_db_value generic_relations get_earliest_or_latest get_or_create indexes
inspectdb introspection known_related_objects lookup m2m_and_m2o m2m_intermediary m2m_multiple m2m_recursive
m2m_regress m2m_through many_to_many many_to_one many_to_one_null migrations model_fields model_inheritance
multiple_database mutually_referential nested_foreign_keys null_fk null_queries one_to_one or_lookups
order_with_respect_to ordering pagination postgres_tests prefetch_related properties proxy_models queries raw_query
reserved_names reverse_lookup save_delete_hooks schema select_for_update select_related sessions_tests
string_lookup timezones transaction_hooks transactions update update_only_fields xor_lookups
"""

# `setup` makes the second database: the first one is there by then.
DJANGO = DriverSuite(
    name="django",
    distribution="django",
    database=django_settings.DATABASE,
    setup=f"CREATE DATABASE {django_settings.OTHER_DATABASE}",
    arguments=lambda _: tuple(_DJANGO_FOLDERS.split()),
    environ=lambda side: {exchange.PORT: str(side.port)},
    program=(
        "runtests.py", "--settings", f"{_PLUGIN.name}.django_settings", "--keepdb", "--noinput", "--parallel", "1",
    ),
    folder="tests",
    leaves_traces=True,  # tables of its tests of schema changes
)  # fmt: skip


DRIVER_SUITES = (ASYNCPG, _sqlalchemy("psycopg"), _sqlalchemy("asyncpg"), DJANGO)
