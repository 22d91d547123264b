"""The auditor on the whole stack: silent about an honest one, whoever writes; loud about one that keeps what is old."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from services.cli import app
from tests.chaos.stack import Plan, Stack, running_stack
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE item (id int PRIMARY KEY, grp int NOT NULL, n int NOT NULL, price float8 NOT NULL, note text);
ALTER TABLE item REPLICA IDENTITY FULL;
INSERT INTO item SELECT g, g % 5, 0, g / 7.0, 'x' FROM generate_series(1, 50) g;
"""
_BY_ID = "SELECT n, note FROM item WHERE id = %s"
_BY_ID_TEMPLATE = "select n, note from item where id = $1"
_READS: tuple[tuple[str, int], ...] = (
    (_BY_ID, 50),
    ("SELECT id, n FROM item WHERE grp = %s", 5),
    ("SELECT count(*), sum(n) FROM item WHERE grp = %s", 5),
    ("SELECT id FROM item WHERE grp = %s LIMIT 3", 5),
    ("SELECT sum(price) FROM item WHERE grp = %s", 5),
)
_PLAYED_SECONDS = 4.0
_FOUND_SECONDS = 60.0
_RATE = 50  # samples a second
_AGREED, _EVICTED = 5, 50

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(Plan(kafka=False, settings={"audit_rate": _RATE}), _SQL) as stack:
        yield stack


@contextmanager
def _played(*acts: tuple[str, Callable[[Connection, int], None]]) -> Iterator[None]:
    """Have each of these done over and over, on a connection of its own."""
    over = threading.Event()

    def run(url: str, act: Callable[[Connection, int], None]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for turn in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
                act(connection, turn)

    with ThreadPoolExecutor(len(acts)) as threads:
        running = [threads.submit(run, *act) for act in acts]
        try:
            yield
        finally:
            over.set()
    for one in running:
        one.result()


def test_an_honest_cache_under_writes_has_agreements_and_no_violation(stack: Stack) -> None:
    def read(connection: Connection, turn: int) -> None:
        text, values = _READS[turn % len(_READS)]
        connection.execute(text, (turn // len(_READS) % values,)).fetchall()

    def write(connection: Connection, turn: int) -> None:
        # A row that moves in its table may alter what an answer without an order is, and evicts nothing of it.
        changed = "n = n + 1" if turn % 2 else "note = note || 'x'"
        connection.execute(f"UPDATE item SET {changed} WHERE id = {turn * 7 % 50 + 1}")
        time.sleep(0.005)

    def flip(connection: Connection, turn: int) -> None:
        # There and back again within a bound: what Postgres said in between is true of no entry before or after.
        connection.execute("UPDATE item SET n = -n - 1 WHERE id = 7")
        time.sleep(0.01)

    proxied, direct = stack.proxied_url, stack.direct_url
    ends = time.monotonic() + _PLAYED_SECONDS
    with _played((proxied, read), (proxied, read), (proxied, write), (direct, flip)):
        wait_until(lambda: time.monotonic() > ends and _enough(stack), "samples, and changes", _FOUND_SECONDS)

    found = stack.proxy.metrics() or {}
    assert found["tidegate_audit_violations_total"] == 0, stack.logs()
    assert found["tidegate_audit_violations_per_billion_reads"] == 0


def _enough(stack: Stack) -> bool:
    """Whether there were agreements, and changes that evicted what was read."""
    found = stack.proxy.metrics() or {}
    return found["tidegate_audit_agreements_total"] >= _AGREED and found["tidegate_proxy_evicted_total"] >= _EVICTED


def test_an_answer_that_is_not_evicted_is_found_and_its_template_is_quarantined(stack: Stack) -> None:
    invalidator = stack.services["invalidator"]
    invalidator.kill()
    invalidator.fault = "no_evictions"
    invalidator.start().wait_ready()
    with psycopg.connect(stack.proxied_url, autocommit=True) as connection:
        for item in (1, 2):
            wait_until(lambda item=item: _is_hit(stack, connection, item), "a hit", _FOUND_SECONDS)  # type: ignore[misc]
        with psycopg.connect(stack.direct_url, autocommit=True) as direct:
            direct.execute("UPDATE item SET n = 1, note = 'a secret' WHERE id = 1")

        def found() -> bool:
            connection.execute(_BY_ID, (1,)).fetchall()
            return stack.proxy.metric("tidegate_audit_violations_total") > 0

        wait_until(found, "the auditor to find it", _FOUND_SECONDS)

        assert connection.execute(_BY_ID, (1,)).fetchone() == (1, "a secret")
        # Another parameter, of whose answer nobody has complained, is not cached either, and is not kept again.
        assert [_is_hit(stack, connection, 2) for _ in range(3)] == [False] * 3
        assert stack.proxy.metric("tidegate_audit_quarantined") == 1
        assert stack.proxy.metric("tidegate_audit_violations_per_billion_reads") > 0
        said = next(line for line in stack.proxy.log().splitlines() if "proven wrong" in line)
        assert json.loads(said)["level"] == "error"
        assert json.loads(said)["template"] == _BY_ID_TEMPLATE
        assert "a secret" not in stack.proxy.log()

        assert _tidegate(stack, "explain", _BY_ID.replace("%s", "$1")).startswith("forwarded: quarantined")
        held = json.loads(_tidegate(stack, "quarantine", "list", "--json"))
        assert [one["template"] for one in held] == [_BY_ID_TEMPLATE]
        assert "max_entry_age" in _tidegate(stack, "quarantine", "release", held[0]["id"])
        assert _tidegate(stack, "quarantine", "release", "--now", held[0]["id"]).startswith("cached again")
        wait_until(lambda: stack.proxy.metric("tidegate_audit_quarantined") == 0, "the release", _FOUND_SECONDS)
        wait_until(lambda: _is_hit(stack, connection, 2), "a hit again", _FOUND_SECONDS)


def _is_hit(stack: Stack, connection: Connection, item: int = 1) -> bool:
    before = stack.proxy.metric("tidegate_proxy_hits_total")
    connection.execute(_BY_ID, (item,)).fetchall()
    return stack.proxy.metric("tidegate_proxy_hits_total") > before


def _tidegate(stack: Stack, *arguments: str) -> str:
    environ = {"TIDEGATE_DATABASE_URL": stack.direct_url, "TIDEGATE_REDIS_URL": stack.redis.url}
    return CliRunner().invoke(app, arguments, env=environ).output
