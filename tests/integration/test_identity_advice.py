"""Advice on replica identities: which tables gain, and whether what it says of the WAL is what Postgres then writes."""

import asyncio
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import redis.asyncio

from services.cdc.control import ControlConnection
from services.installation.identity_check import identity_findings
from services.installation.identity_queries import read_row_tables, read_sample
from services.installation.seen_reads import seen_reads
from services.installation.wal_cost import ChangeCost, cost_of_full, cost_of_index
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.relation import Shape, ShapeColumn
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings
from tests.integration.cdc_harness import make_cache
from tests.integration.proxied_postgres import ProxiedPostgres
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.processes import wait_until
from tests.servers.redis import RedisServer

_TABLES = {
    "small": (
        "id int PRIMARY KEY, owner int NOT NULL, total numeric, at timestamptz",
        "i, i % 100, i * 1.5, now()",
        "owner = owner + 1",
    ),
    "gaps": (
        "id bigint PRIMARY KEY, flag bool, a text, n int, b text, c bigint, d text",
        "i, true, repeat(md5(i::text), 1 + i % 3), CASE WHEN i % 2 = 0 THEN i END, "
        "CASE WHEN i % 5 > 0 THEN repeat('x', 200) END, i, 'abc'",
        "n = n + 1",
    ),
    "moved": (
        "id bigint PRIMARY KEY, a int, doc text, raw text",
        "i, i, (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 100) j), repeat('abc ', 800)",
        "a = a + 1",
    ),
    "pair": (
        "a int, b text, c int NOT NULL, v float8, w smallint, PRIMARY KEY (a, b)",
        "i, 'key ' || i, i, i, 1",
        "v = v + 1",
    ),
}
_ROWS = 400


def _wal_bytes(server: PostgresServer, database: str, statement: str) -> float:
    """Run a statement that changes every row, and return what Postgres counts of WAL for each."""
    ((plan,),) = server.execute(f"EXPLAIN (ANALYZE, WAL, FORMAT JSON) {statement}", database=database)
    return float(plan[0]["Plan"]["WAL Bytes"]) / _ROWS


def _measured(server: PostgresServer, database: str, table: str, identity: str) -> ChangeCost:
    columns, values, change = _TABLES[table]
    server.execute(
        f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns}) WITH (autovacuum_enabled = off)",
        database=database,
    )
    if table == "pair":
        server.execute("CREATE UNIQUE INDEX told ON pair (c, a, b)", database=database)
    server.execute(
        f"INSERT INTO {table} SELECT {values} FROM generate_series(1, {_ROWS}) i;"
        f"ALTER TABLE {table} REPLICA IDENTITY {identity}",
        database=database,
    )
    update = _wal_bytes(server, database, f"UPDATE {table} SET {change}")
    return ChangeCost(update, _wal_bytes(server, database, f"DELETE FROM {table}"))


def _told(server: PostgresServer, database: str, table: str, index: frozenset[str] = frozenset()) -> ChangeCost:
    """Return what is said that an identity costs, of a table as it was filled."""
    columns, values, _ = _TABLES[table]
    server.execute(
        f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns});"
        f"INSERT INTO {table} SELECT {values} FROM generate_series(1, {_ROWS}) i",
        database=database,
    )
    settings = CacheSettings.model_validate({"name": "x", "database_url": server.url(database)})

    async def look() -> ChangeCost:
        control = await ControlConnection.open(settings.upstream, "test", read_only=True)
        try:
            oid = (await control.fetch("SELECT oid FROM pg_class WHERE relname = $1", table))[0][0]
            (found,) = await read_row_tables(control, [oid])
            sample = await read_sample(control, found)
        finally:
            await control.close()
        return cost_of_index(sample, found.key, index) if index else cost_of_full(sample, found.key)

    return asyncio.run(look())


@pytest.mark.parametrize("table", list(_TABLES))
def test_what_full_adds_to_the_wal_is_what_was_said(postgres: PostgresServer, database: str, table: str) -> None:
    said = _told(postgres, database, table)
    plain, full = (_measured(postgres, database, table, identity) for identity in ("DEFAULT", "FULL"))

    assert said.update == pytest.approx(full.update - plain.update, rel=0.02, abs=1)
    assert said.delete == pytest.approx(full.delete - plain.delete, rel=0.02, abs=1)


def test_what_an_index_adds_to_the_wal_is_not_more_than_was_said(postgres: PostgresServer, database: str) -> None:
    said = _told(postgres, database, "pair", frozenset(("a", "b", "c")))
    plain = _measured(postgres, database, "pair", "DEFAULT")
    index = _measured(postgres, database, "pair", "USING INDEX told")

    assert index.update - plain.update == pytest.approx(0, abs=8)  # no column of the index changed
    assert said.delete == pytest.approx(index.delete - plain.delete, abs=4)


_SQL = """
CREATE TABLE bills (id int PRIMARY KEY, owner int NOT NULL, state text, note text);
CREATE TABLE seats (id int PRIMARY KEY, hall int NOT NULL, row_number int);
CREATE UNIQUE INDEX "Seats of halls" ON seats (hall, id) INCLUDE (row_number);
ALTER TABLE seats ALTER row_number SET NOT NULL;
CREATE TABLE calm (id int PRIMARY KEY, owner int);
CREATE TABLE told (id int PRIMARY KEY, owner int); ALTER TABLE told REPLICA IDENTITY FULL;
CREATE TABLE years (id int, year int, owner int, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
CREATE TABLE years_1 PARTITION OF years FOR VALUES IN (1);
CREATE TABLE years_2 PARTITION OF years FOR VALUES IN (2); ALTER TABLE years_2 REPLICA IDENTITY FULL;
CREATE TABLE animals (id int PRIMARY KEY, keeper int);
CREATE TABLE cats (PRIMARY KEY (id)) INHERITS (animals);
INSERT INTO bills SELECT i, i % 10, 'open', repeat('n', 100) FROM generate_series(1, 500) i;
INSERT INTO seats SELECT i, i % 10, 1 FROM generate_series(1, 500) i;
INSERT INTO calm SELECT i, i FROM generate_series(1, 10) i; INSERT INTO told SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO years SELECT i, 1 + i % 2, i FROM generate_series(1, 10) i;
INSERT INTO animals SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO cats SELECT i, i FROM generate_series(11, 20) i
"""
_NAMES = "bills, seats, calm, told, years, animals, cats"
_READS = (
    "SELECT note FROM bills WHERE owner = 3 AND state = 'open'", "SELECT note FROM bills WHERE id = 4",
    "SELECT row_number FROM seats WHERE hall = 3", "SELECT id FROM calm WHERE owner = 3",
    "SELECT id FROM told WHERE owner = 3", "SELECT id FROM years WHERE owner = 3",
    "SELECT keeper FROM animals WHERE keeper = 3",
)  # fmt: skip
_CHANGES = (
    "UPDATE bills SET note = note WHERE id <= 100", "DELETE FROM seats WHERE id = 500",
    "UPDATE told SET owner = 4 WHERE id = 4", "UPDATE years SET owner = 5 WHERE id < 5",
    "UPDATE cats SET keeper = 6 WHERE id = 12", "UPDATE animals SET keeper = 6 WHERE id = 2",
)  # fmt: skip


def _settings(proxied: ProxiedPostgres, user: str = SUPERUSER) -> CacheSettings:
    return CacheSettings.model_validate(
        {"name": "default", "database_url": proxied.server.url(user=user), "redis_url": proxied.stack.redis_url}
    )


def _advice(proxied: ProxiedPostgres, user: str = SUPERUSER) -> dict[str, Finding]:
    found = asyncio.run(identity_findings(_settings(proxied, user)))
    by_name = {finding.text.partition(":")[0]: finding for finding in found}
    ours = {f"public.{name}" for name in _NAMES.split(", ")}  # other tests leave tables behind
    return {name: finding for name, finding in by_name.items() if name in ours}


@pytest.fixture(scope="module")
def proxied(eager: ProxiedPostgres) -> Any:
    """With tables that are read, and changed: so much that the feed shows it and Postgres has counted it."""
    eager.server.execute(f"DROP TABLE IF EXISTS {_NAMES}")
    eager.server.execute(_SQL)
    with eager.connect() as connection:
        for read in _READS:
            eager.wait_cached(lambda read=read: connection.execute(read, prepare=False), read)  # type: ignore[misc]
    for change in _CHANGES:
        eager.server.execute(change)  # the counters are told when the session ends
    yield eager
    eager.server.execute(f"DROP TABLE IF EXISTS {_NAMES}")


def test_check_gives_advice_and_succeeds(proxied: ProxiedPostgres) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    environ |= {"TIDEGATE_DATABASE_URL": proxied.direct_url, "TIDEGATE_REDIS_URL": proxied.stack.redis_url}

    def check(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "services.cli", "check", *options]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    told = check("--measure", "10ms")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "hint identity    public.bills: reads by owner and state" in told.stdout
    assert re.search(r"\. \d hints\.$", told.stdout, re.MULTILINE)

    refused = check("--measure", "soon")
    assert refused.returncode == 2
    assert "--measure: it should be a duration" in refused.stderr

    environ["TIDEGATE_REDIS_URL"] = "redis://127.0.0.1:1/0"
    without = check("--json")
    assert without.returncode == 1
    found = {(finding["topic"], finding["level"]) for finding in json.loads(without.stdout)["caches"]["default"]}
    assert {("redis", "fail"), ("tables", "ok")} <= found
    assert "identity" not in {topic for topic, _ in found}


def test_the_cost_is_measured_by_watching(proxied: ProxiedPostgres) -> None:
    async def watch() -> Finding:
        watching = asyncio.create_task(identity_findings(_settings(proxied), 2.0))
        changes = 0
        while not watching.done():
            await asyncio.to_thread(proxied.server.execute, "UPDATE bills SET note = note")
            changes += 1
        assert changes
        return next(finding for finding in watching.result() if finding.text.startswith("public.bills"))

    remedy = asyncio.run(watch()).remedy

    found = re.search(r"about ([\d.]+) ([kMG]B)/h more WAL \(\+([\d.]+) % of .* measured for \d s", remedy)
    assert found is not None, remedy
    assert 2 < float(found[3]) < 90  # 500 rows of 140 bytes at a time, beside rows, indexes and little else


def test_the_tables_that_would_gain_are_told_and_what_is_advised_helps(proxied: ProxiedPostgres) -> None:
    def all_told() -> bool:
        found = _advice(proxied)
        return len(found) == 4 and re.search(r"\(as in \d+ of its last ", found["public.bills"].text) is not None

    wait_until(all_told, "advice on four tables, with what was evicted")
    advised = _advice(proxied)

    assert {name: finding.statements for name, finding in advised.items()} == {
        "public.bills": ("ALTER TABLE public.bills REPLICA IDENTITY FULL",),
        "public.seats": ('ALTER TABLE public.seats REPLICA IDENTITY USING INDEX "Seats of halls"',),
        "public.years": (
            "ALTER TABLE public.years_1 REPLICA IDENTITY FULL",
            "ALTER TABLE public.years REPLICA IDENTITY FULL",
        ),
        "public.animals": (
            "ALTER TABLE public.animals REPLICA IDENTITY FULL",
            "ALTER TABLE public.cats REPLICA IDENTITY FULL",
        ),
    }
    bills = advised["public.bills"]
    assert "reads by owner and state are evicted too widely on UPDATE and DELETE, which " in bills.text
    assert "do not tell the old owner and state" in bills.text
    assert re.search(
        r"for about [\d.]+ [kMG]B/h more WAL \(\+[\d.]+ % of what the server writes, by the changes of", bills.remedy
    )
    assert "at most" in advised["public.seats"].remedy
    assert " of public.years_1," in advised["public.years"].text
    assert {finding.level for finding in advised.values()} == {Level.HINT}
    widened = proxied.stack.counters("tidegate_invalidator_widened_total", "table")
    assert {"public.bills", "public.seats", "public.years", "public.animals"} <= widened.keys()
    assert widened.keys().isdisjoint({"public.told", "public.calm"})

    proxied.server.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
    with proxied.server.connect() as owner:
        owner.execute("BEGIN; LOCK TABLE bills")
        by_stranger, beside_lock = _advice(proxied, "stranger"), _advice(proxied)
    assert by_stranger.keys() == beside_lock.keys() == advised.keys()
    assert "how much is not known" in by_stranger["public.bills"].remedy
    assert "how much is not known" in beside_lock["public.bills"].remedy
    assert "more WAL (+" in beside_lock["public.years"].remedy or "0.1 %" in beside_lock["public.years"].remedy

    for finding in advised.values():
        proxied.server.execute(";".join(finding.statements))
    assert _advice(proxied) == {}


def test_what_is_read_with_its_keys_wants_no_identity(newest_postgres: PostgresServer, valkey: RedisServer) -> None:
    shape = Shape(5, (ShapeColumn("owner", 23),))
    cache = make_cache(newest_postgres, "postgres", valkey)
    keys = Keys(cache.name)

    async def seen(*tags: str) -> tuple[Shape, ...]:
        client: Any = redis.asyncio.Redis.from_url(valkey.url)  # not typed
        await client.hset(keys.shapes, shape.id, "")
        for tag in tags:
            await client.sadd(keys.index(tag), "entry")
        await client.aclose()
        return (await seen_reads(cache)).shapes

    assert asyncio.run(seen()) == (shape,)
    assert asyncio.run(seen(entry_tag(shape))) == ()
    assert asyncio.run(seen(entry_tag(shape), shape_tag(shape))) == (shape,)
