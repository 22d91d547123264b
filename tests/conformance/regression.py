"""Postgres's regression SQL through psql, file by file, as pg_regress runs it.

It need not come out as Postgres's own expected files say: locale and platform differ, and the C functions of the tests'
own library are missing, so that some statements fail. They have to fail the same way on both sides.

The files run one after the other in the order of Postgres's schedule, since later ones use tables of earlier ones.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.normalise import normalised
from tests.conformance.outcomes import Outcome, Outcomes
from tests.conformance.postgres_source import scheduled_files
from tests.conformance.sides import Side
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.processes import ServerDirectory, unprivileged_account, wait_until

_DATABASE = "regression"
_FILE_SECONDS = 600.0
_SETUP = "test_setup"
_VISIBLE_SECONDS = 30.0
_TIMED_OUT = "timed out"
# As pg_regress sets them.
_DATABASE_SETTINGS = {
    "lc_messages": "C", "lc_monetary": "C", "lc_numeric": "C", "lc_time": "C",
    "bytea_output": "hex", "timezone_abbreviations": "Default",
}  # fmt: skip
# Most of the tests' tables have no primary key, and what has no identity is not cached.
_IDENTITIES = """
CREATE SCHEMA conformance;
GRANT USAGE ON SCHEMA conformance TO PUBLIC;
CREATE FUNCTION conformance.identify() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT objid FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table' LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', made.objid::regclass);
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    NULL;
END $$;
CREATE EVENT TRIGGER conformance ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
EXECUTE FUNCTION conformance.identify();
"""
_RESET = Path(__file__).with_name("reset.sql").read_text(encoding="utf-8")
_PSQL_OPTIONS = ("-X", "-a", "-q", "-d", _DATABASE, "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on")


@dataclass(frozen=True, slots=True)
class RegressionSuite:
    """The regression SQL.

    Attributes:
        name: How it is called on the command line.
        source: The folder with `sql`, `data` and `parallel_schedule`.
        results: Where outputs are kept, for a person to compare.
        rewrite: What is made of each file. Every table has an identity then, so that much of it can be cached.
    """

    name: str
    source: Path
    results: Path
    rewrite: Callable[[str], str] | None = None

    @property
    def database(self) -> str:
        """The one that is cached."""
        return _DATABASE

    @property
    def settings(self) -> Mapping[str, str | int]:
        """Server settings that it wants, as pg_regress gives them to a temporary server."""
        return {"max_prepared_transactions": 2, "compute_query_id": "regress", "log_lock_waits": "on"}

    @property
    def leaves_traces(self) -> bool:
        """Not everything can be reset: object numbers go on, and rows lie elsewhere."""
        return True

    def prepare(self, server: PostgresServer) -> None:
        """Make the database as pg_regress makes it."""
        server.execute(f"CREATE DATABASE {_DATABASE} TEMPLATE template0")
        for name, value in _DATABASE_SETTINGS.items():
            server.execute(f"ALTER DATABASE {_DATABASE} SET {name} TO '{value}'")
        if self.rewrite is not None:
            server.execute(_IDENTITIES, database=_DATABASE)

    def run(self, side: Side, only: Collection[str] | None, label: str) -> Outcomes:
        """Run the files, or some with what they need, and return how they came out.

        Args:
            side: Where.
            only: Which files; None for all.
            label: The name of this run's folder among the results.
        """
        files, needs = scheduled_files(self.source)
        wanted = files if only is None else _with_needs(files, needs, only)
        kept = self.results / self.name / label / side.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        side.server.execute(_RESET, database=_DATABASE)
        side.server.execute("VACUUM FULL", database=_DATABASE)  # of the catalogs: what has no ORDER BY comes as it lies
        build = self._build_directory()
        outcomes: dict[str, Outcome] = {}
        try:
            for name in wanted:
                outcomes[name] = self._run_file(name, side, build.path, kept)
                if name == _SETUP:
                    _mark_visible(side.server)
        finally:
            build.remove()
        return outcomes if only is None else {name: outcomes[name] for name in outcomes if name in only}

    def _build_directory(self) -> ServerDirectory:
        """Make a folder that the server can read and write: scripts, data, results."""
        account = unprivileged_account()
        build = ServerDirectory("regress", account)
        for folder in ("sql", "data"):
            shutil.copytree(self.source / folder, build.path / folder)
        if self.rewrite is not None:
            for script in (build.path / "sql").glob("*.sql"):
                # Latin-1 keeps every byte as it is: some scripts are in no valid encoding on purpose.
                text = script.read_text(encoding="latin-1")
                script.write_text(self.rewrite(text), encoding="latin-1", newline="")
        (build.path / "results").mkdir()
        for path in (build.path, *build.path.rglob("*")):
            if account is not None:
                os.chown(path, account.uid, account.gid)
        return build

    def _run_file(self, name: str, side: Side, build: Path, kept: Path) -> Outcome:
        psql = side.server.programs / "psql"
        with (build / "sql" / f"{name}.sql").open("rb") as script:
            try:
                ran = subprocess.run(
                    [psql, *_PSQL_OPTIONS],
                    stdin=script,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=_environ(name, side, build),
                    cwd=build,
                    check=False,
                    timeout=_FILE_SECONDS,
                )
            except subprocess.TimeoutExpired as expired:
                output, ended = (expired.stdout or b"").decode("latin-1"), _TIMED_OUT
            else:
                output, ended = ran.stdout.decode("latin-1"), f"exit code {ran.returncode}"
        text = normalised(output, {str(build): "BUILD", str(side.server.directory): "SERVER"})
        file = kept / f"{name}.out"
        file.write_text(f"{text}\n{ended}\n", encoding="latin-1", newline="")
        return Outcome(hashlib.sha256(file.read_bytes()).hexdigest()[:16], str(file))


def _mark_visible(server: PostgresServer) -> None:
    """Vacuum the common tables until every page of theirs is known to be visible to all, which plans depend on.

    A VACUUM passes over rows that a snapshot somewhere may not see yet, and Tidegate's own sessions take short ones all
    the time.
    """
    behind = """
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relallvisible < relpages
    """

    def vacuumed() -> bool:
        tables = [row[0] for row in server.execute(behind, database=_DATABASE)]
        for table in tables:
            server.execute(f"VACUUM {table}", database=_DATABASE)
        return not tables

    wait_until(vacuumed, "all rows of the common tables to be visible to all", _VISIBLE_SECONDS)


def _environ(name: str, side: Side, build: Path) -> dict[str, str]:
    """Return psql's environment, as pg_regress sets it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(build),
        "LC_MESSAGES": "C",
        "PGAPPNAME": f"pg_regress/{name}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(side.port),
        "PGUSER": SUPERUSER,
        "PGTZ": "America/Los_Angeles",
        "PGDATESTYLE": "Postgres, MDY",
        "PGOPTIONS": "-c intervalstyle=postgres_verbose",
        "PG_ABS_SRCDIR": str(build),
        "PG_ABS_BUILDDIR": str(build),
        "PG_LIBDIR": "/nowhere",  # the tests' own library in C is in no package
        "PG_DLSUFFIX": ".so",
    }


def _with_needs(files: list[str], needs: Mapping[str, set[str]], only: Collection[str]) -> list[str]:
    wanted: set[str] = set()
    pending = [name for name in files if name in only]
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending.extend(needs[name])
    return [name for name in files if name in wanted]
