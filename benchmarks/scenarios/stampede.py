"""A stampede: 200 clients ask for the same expensive answer at once, and nobody has it. One execution has to do.

Four kinds: as the first thing after a start; a statement that was never asked before; a known one with another value;
and a known one whose answer a write alters while everybody waits for it, and which all ask for once more. What Postgres
executed, `pg_stat_statements` counts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import psycopg

from benchmarks.measurement import DIRECT, TIDEGATE, Case, Run, Scenario, Target
from benchmarks.peers import SETTINGS, run_sql
from benchmarks.scenarios.warming import wait_until_cached
from benchmarks.shop.counting import COUNTING
from services.shared.pgwire.frontend import Query
from tests.integration.wire_client import WireClient, rows
from tests.servers.postgres import PostgresServer
from tests.servers.stack import RunningStack, running_stack

_NAME = "stampede"
_CLIENTS = 200
_ONE = "one execution"
_ROWS, _QUICK_ROWS = 600_000, 60_000
_STARTS = 2  # each takes seconds
_INTO_THE_WAIT_SECONDS = 0.06  # after this the write commits
_STALENESS_SECONDS = 1.0  # the default bound: after this, what was there before the write is wrong

_Rows = list[list[bytes | None]]


@dataclass(frozen=True, slots=True)
class _Scene:
    """Postgres, clients that are logged in through the cache, and how often all of it is done."""

    direct_url: str
    herd: Sequence[WireClient]
    rounds: int


@dataclass(frozen=True, slots=True)
class _Answered:
    """What became of one stampede: how long until the last had its answer, and all answers."""

    seconds: float
    answers: list[_Rows]


def measure_stampede(run: Run) -> Iterator[Case]:
    """Measure all kinds; Postgres itself once, for it takes a while."""
    with PostgresServer(**{**SETTINGS, **COUNTING}) as server:
        _make_table(server.url(), _QUICK_ROWS if run.quick else _ROWS)
        if not run.quick:
            yield _just_started(server.url(), min(run.rounds, _STARTS))
        with _tidegate(server.url()) as stack, _herd(stack.database_url) as herd:
            wait_until_cached(stack, "SELECT value FROM reading WHERE id = 1")
            scene = _Scene(server.url(), herd, run.rounds)
            _ask(herd[:1], _statement("known", 0))
            yield from _without_writes(scene, "a statement never asked before", lambda k: _statement(f"new{k}", 0))
            yield from _without_writes(
                scene, "a known statement, another value", lambda k: _statement("known", k), directly=not run.quick
            )
            yield _with_writes(scene)


def _tidegate(direct_url: str) -> AbstractContextManager[RunningStack]:
    return running_stack(direct_url, "--workers", "1", environ={"TIDEGATE_TLS": "off"})


@contextmanager
def _herd(url: str) -> Iterator[list[WireClient]]:
    with ExitStack() as opened:
        yield [opened.enter_context(WireClient(url).start()) for _ in range(_CLIENTS)]


def _make_table(url: str, count: int) -> None:
    run_sql(
        url,
        "CREATE TABLE reading (id int PRIMARY KEY, device int NOT NULL, value int NOT NULL)",
        f"INSERT INTO reading SELECT g, g % 20, (g * 37) % 1000 FROM generate_series(1, {count}) g",
        "VACUUM ANALYZE reading",
        "ALTER DATABASE postgres SET max_parallel_workers_per_gather = 0",
        "CREATE EXTENSION pg_stat_statements",
    )


def _statement(name: str, least: int) -> str:
    """Return an aggregate of all rows; another name is another statement, another number another value."""
    return (
        f"SELECT device, count(*) AS {name}, sum(value), stddev(value) FROM reading WHERE value >= {least} "
        "GROUP BY device ORDER BY device"
    )


def _just_started(direct_url: str, starts: int) -> Case:
    """Ask as the first thing after a start: nothing was read through the cache yet."""
    executed: list[int] = []
    wrong = 0
    sql = _statement("known", 0)
    right = _rows_of(direct_url, sql)
    for _ in range(starts):
        with _tidegate(direct_url) as stack, _herd(stack.database_url) as herd:
            _executions(direct_url)
            wrong += sum(answer != right for answer in _ask(herd, sql).answers)
            executed.append(_executions(direct_url))
    return _executed("as the first thing after a start", executed, wrong)


def _without_writes(
    scene: _Scene, name: str, statement: Callable[[int], str], *, directly: bool = False
) -> Iterator[Case]:
    """Measure one kind: executions, and the time until the last has its answer."""
    executed: list[int] = []
    seconds: dict[str, list[float]] = {TIDEGATE: []}
    remarks: dict[str, str] = {}
    wrong = 0
    for number in range(1, scene.rounds + 1):
        sql = statement(number)
        _executions(scene.direct_url)
        found = _ask(scene.herd, sql)
        executed.append(_executions(scene.direct_url))
        seconds[TIDEGATE].append(found.seconds)
        right = _rows_of(scene.direct_url, sql)
        wrong += sum(answer != right for answer in found.answers)
    if directly:
        _executions(scene.direct_url)
        with _herd(scene.direct_url) as herd:
            seconds[DIRECT] = [_ask(herd, statement(0)).seconds]
        remarks = {"executions without a cache": str(_executions(scene.direct_url))}
    yield _executed(name, executed, wrong)
    yield Case(_NAME, f"{name}: until the last has its answer", "s", seconds, (), wrong, remarks)


def _with_writes(scene: _Scene) -> Case:
    """Let a write commit while all wait, then let all ask again: one execution for each of the two herds."""
    executed: list[int] = []
    wrong = 0
    with psycopg.connect(scene.direct_url, autocommit=True) as writer:
        for number in range(1, scene.rounds + 1):
            sql = _statement("known", 500 + number)
            before = _rows_of(scene.direct_url, sql)
            _executions(scene.direct_url)
            began = _send(scene.herd, sql)
            time.sleep(_INTO_THE_WAIT_SECONDS)  # no synchronisation: it is when the write happens
            writer.execute("UPDATE reading SET value = value + 1000 WHERE id = %s", (number,))
            answers = _receive(scene.herd, began).answers
            executed.append(_executions(scene.direct_url))
            answers += _ask(scene.herd, sql).answers
            executed.append(_executions(scene.direct_url))
            after = _rows_of(scene.direct_url, sql)
            wrong += sum(answer not in (before, after) for answer in answers)
            time.sleep(_STALENESS_SECONDS)
            wrong += sum(answer != after for answer in _ask(scene.herd[:1], sql).answers)
    return _executed("evicted by a write under the herd, and asked again", executed, wrong)


def _executed(name: str, executed: Sequence[int], wrong: int) -> Case:
    """Return a case that goes by the worst round: one that went wrong is not outvoted."""
    samples = {_ONE: [1.0], TIDEGATE: [float(max(executed))]}
    remarks = {"executions, by round": ", ".join(map(str, executed))}
    target = Target(_ONE, 1.0, at_least=False)
    facets: dict[str, str | float] = {"clients": _CLIENTS}
    return Case(
        _NAME,
        name,
        f"executions for {_CLIENTS} clients, in the worst round",
        samples,
        (target,),
        wrong,
        remarks,
        facets,
    )


def _ask(herd: Sequence[WireClient], sql: str) -> _Answered:
    return _receive(herd, _send(herd, sql))


def _send(herd: Sequence[WireClient], sql: str) -> float:
    message = Query(sql.encode()).encode()
    began = time.perf_counter()
    for client in herd:
        client.send(message)
    return began


def _receive(herd: Sequence[WireClient], began: float) -> _Answered:
    answers = [rows(client.read_until("Z")) for client in herd]
    return _Answered(time.perf_counter() - began, answers)


def _rows_of(url: str, sql: str) -> _Rows:
    with WireClient(url).start() as client:
        return rows(client.query(sql))


def _executions(direct_url: str) -> int:
    """Return how often such a statement was executed since the last call."""
    with psycopg.connect(direct_url, autocommit=True) as connection:
        count = connection.execute(
            "SELECT coalesce(sum(calls), 0)::int FROM pg_stat_statements WHERE query LIKE %s", ("%stddev(value)%",)
        ).fetchone()
        connection.execute("SELECT pg_stat_statements_reset()")
    assert count is not None
    return int(count[0])


STAMPEDE = Scenario(
    _NAME,
    "Stampede",
    f"{_CLIENTS} clients ask for the same uncached aggregate at once: how often Postgres executes it, and how long it "
    "takes until the last client has its answer.",
    measure_stampede,
)
