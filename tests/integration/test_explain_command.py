"""`tidegate explain`, as a person and a program use it."""

import json
import os
import re
import subprocess
import sys
import threading
from typing import Any

import pytest

from services.proxy.explain.explanation import explain, lines
from services.proxy.sql.statement import NameSpace
from tests.integration.proxied_postgres import ProxiedPostgres
from tests.integration.sql_corpus import by_hand, combined
from tests.integration.sql_database import judge, make_schema, read_catalog
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
    assert (told.returncode, told.stdout.splitlines()[:2]) == (0, ["cached", "  public.t where id = 1"]), told.stderr
    ages = _explain(newest_postgres, newest_database, "SELECT now() FROM t", TIDEGATE_AGEING_TTL="1min")
    assert ages.stdout.startswith("cached for at most 1min (ageing_ttl)")
    elsewhere = _explain(newest_postgres, newest_database, "--search-path", "s", "--json", "-", stdin="TABLE t")
    assert json.loads(elsewhere.stdout)["reason"] == "not_a_select"
    elsewhere = _explain(newest_postgres, newest_database, "--search-path", "s", "--json", "SELECT v FROM t")
    assert json.loads(elsewhere.stdout)["reason"] == "not_published"


def test_every_statement_of_the_corpus_is_explained(newest_postgres: PostgresServer, newest_database: str) -> None:
    make_schema(newest_postgres, newest_database)
    catalog = read_catalog(newest_postgres, newest_database)
    for text in (*by_hand(), *combined(1, 150)):
        verdict = judge(text, catalog)
        explanation = explain(text, catalog, NameSpace(("pg_catalog", "public")))
        tables = {
            f"{relation.schema}.{relation.name}" for relation in map(catalog.by_oid.get, verdict.relations) if relation
        }
        assert (explanation.reason, {found.table for found in explanation.dependencies}) == (verdict.reason, tables), (
            text
        )
        assert "\n".join(lines(explanation))


def test_an_index_that_is_there_is_advised(postgres: PostgresServer, database: str) -> None:
    postgres.execute(
        'CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL); CREATE UNIQUE INDEX "V of t" ON t (v, id);'
        "CREATE UNIQUE INDEX partly ON t (v, id) WHERE id > 0; CREATE VIEW w AS SELECT v FROM t;"
        "CREATE PUBLICATION tidegate_default FOR TABLE t",
        database=database,
    )
    told = _explain(postgres, database, "SELECT v FROM t WHERE v = 'x'")
    assert 'ALTER TABLE public.t REPLICA IDENTITY USING INDEX "V of t": ' in told.stdout
    postgres.execute('ALTER TABLE t REPLICA IDENTITY USING INDEX "V of t"', database=database)
    told = _explain(postgres, database, "SELECT v FROM t WHERE v = 'x'")
    assert "DELETE of such a row" in told.stdout
    assert "narrower" not in told.stdout
    told = _explain(postgres, database, "SELECT * FROM w")
    assert re.search(r"the view public\.w is SELECT (t\.)?v FROM public\.t\n", told.stdout)


def test_there_is_a_value_for_each_parameter_or_none(newest_postgres: PostgresServer, newest_database: str) -> None:
    told = _explain(newest_postgres, newest_database, "--param", "1", "--param", "2", "SELECT $1::int")
    assert (told.returncode, told.stdout) == (2, "")
    assert "the statement has 1 parameter, and 2 values were given by --param" in told.stderr


def test_its_tags_lead_to_the_changes_that_evict(eager: ProxiedPostgres) -> None:
    """From a statement to its tags, and from these to the LSN, transaction, table and row that evicted its answer."""
    statement = "SELECT note FROM notes WHERE writer = $1"
    eager.server.execute(
        "DROP TABLE IF EXISTS notes; CREATE TABLE notes (id int PRIMARY KEY, writer int, note text);"
        "INSERT INTO notes SELECT i, i % 3, 'first' FROM generate_series(1, 9) i"
    )
    with eager.connect() as connection:
        eager.wait_cached(lambda: connection.execute("SELECT note FROM notes WHERE writer = 1", prepare=False))
    explained = json.loads(_explain(eager.server, "postgres", statement, "--param", "1", "--json").stdout)
    (tags,) = (dependency["tags"] for dependency in explained["dependencies"])
    assert [tag["words"] for tag in tags] == ["writer=1", "any writer"]
    ((xid,),) = eager.server.execute("INSERT INTO notes VALUES (10, 1, 'second') RETURNING pg_current_xact_id()::text")
    eager.server.execute("INSERT INTO notes VALUES (11, 2, 'of another')")
    eager.server.execute("UPDATE notes SET writer = 2 WHERE id = 1 OR id = 4")

    (inserted,) = _evictions(eager, ["--tag", tags[0]["tag"]])
    assert (inserted["table"], inserted["xid"]) == ("public.notes", int(xid))
    assert inserted["lsn"]
    assert _rows(inserted, "writer=1") == [{"operation": "insert", "key": {"id": "10"}}]
    updated = _evictions(eager, ["--explained", "-"], explained, 2)[1]
    assert _rows(updated, "any writer (old writer not told)") == [
        {"operation": "update", "key": {"id": "1"}},
        {"operation": "update", "key": {"id": "4"}},
    ]

    eager.server.execute("DROP TABLE notes")


def _rows(line: dict[str, Any], words: str) -> object:
    return next(tag["rows"] for tag in line["named"] if tag["words"] == words)


def _evictions(
    proxied: ProxiedPostgres, options: list[str], stdin: object = None, count: int = 1
) -> list[dict[str, Any]]:
    """Return the first lines that `tidegate tail` shows."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    environ |= {"TIDEGATE_DATABASE_URL": proxied.direct_url, "TIDEGATE_REDIS_URL": proxied.stack.redis_url}
    command = [sys.executable, "-m", "services.cli", "tail", "--json", "--from-beginning", *options]
    found: list[dict[str, Any]] = []
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(stdin))
        process.stdin.close()
        stop = threading.Timer(30.0, process.kill)
        stop.start()
        for line in process.stdout or ():
            event = json.loads(line)
            assert event["kind"] != "mark"
            assert event["kind"] != "change" or event["operation"] == "catalog"
            found += [event] if event["kind"] == "evict" else []
            if len(found) == count:
                break
        stop.cancel()
        process.terminate()
    return found


@pytest.mark.parametrize(
    ("explanation", "said"),
    [
        ('{"dependencies": [{"tags": [{"words": "a=$1", "tag": ""}]}]}', "is there a --param for each"),
        ("cached", "this is not what tidegate explain --json prints"),
    ],
)
def test_an_explanation_without_tags_leads_nowhere(explanation: str, said: str) -> None:
    environ = {"PATH": os.environ["PATH"], "TIDEGATE_DATABASE_URL": "postgresql://u@127.0.0.1:1/x"}
    argv = [sys.executable, "-m", "services.cli", "tail", "--explained", "-"]
    told = subprocess.run(argv, env=environ, input=explanation, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 2
    assert said in told.stderr


def test_without_a_database_it_says_so() -> None:
    environ = {"PATH": os.environ["PATH"], "TIDEGATE_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"}
    argv = [sys.executable, "-m", "services.cli", "explain", "SELECT 1"]
    told = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 1
    assert "did not answer" in told.stderr
    assert "hunter2" not in told.stderr + told.stdout
