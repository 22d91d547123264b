"""`tidegate explain`, as a person and a program use it."""

import json
import os
import subprocess
import sys

from tests.servers.postgres import PostgresServer


def _explain(
    server: PostgresServer, database: str, *arguments: str, stdin: str = "", **settings: str
) -> "subprocess.CompletedProcess[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "explain", *arguments],
        env=environ | settings | {"TIDEGATE_DATABASE_URL": server.url(database)},
        input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_goes_by_the_database_and_the_search_path(newest_postgres: PostgresServer, newest_database: str) -> None:
    newest_postgres.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE SCHEMA s; CREATE TABLE s.t (v text); "
        "CREATE PUBLICATION tidegate_default FOR TABLE t",
        database=newest_database,
    )
    told = _explain(newest_postgres, newest_database, "SELECT v FROM t WHERE id = 1")
    assert (told.returncode, told.stdout.splitlines()[:2]) == (0, ["cached", "  public.t where id = 1"])
    ages = _explain(newest_postgres, newest_database, "SELECT now() FROM t", TIDEGATE_AGEING_TTL="1min")
    assert ages.stdout.startswith("cached for at most 1min (ageing_ttl)")
    elsewhere = _explain(newest_postgres, newest_database, "--search-path", "s", "--json", "-", stdin="TABLE t")
    assert json.loads(elsewhere.stdout)["reason"] == "not_a_select"
    elsewhere = _explain(newest_postgres, newest_database, "--search-path", "s", "--json", "SELECT v FROM t")
    assert json.loads(elsewhere.stdout)["reason"] == "not_published"


def test_without_a_database_it_says_so() -> None:
    environ = {"PATH": os.environ["PATH"], "TIDEGATE_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"}
    argv = [sys.executable, "-m", "services.cli", "explain", "SELECT 1"]
    told = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 1
    assert "did not answer" in told.stderr
    assert "hunter2" not in told.stderr + told.stdout
