"""Transactions of the higher levels through the proxy, on rows that others read from the cache meanwhile.

Nothing inside such a block may come from the cache: it would be of another moment than the block's snapshot. What each
block saw and appended is judged as a whole (`tests/chaos/anomalies.py`).
"""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg

from tests.chaos.anomalies import Level, Transaction, anomalies
from tests.chaos.fault import Fault, Scene, kill_and_start, wait_services
from tests.chaos.stack import Plan

_LISTS = range(1, 9)
_CLIENTS = 6
_OUTSIDERS = 2
_SECONDS = 5.0
_PAUSE_SECONDS = 0.004
_END_SECONDS = 20.0
_MADE = f"""
    DROP TABLE IF EXISTS lists;
    CREATE TABLE lists (id int PRIMARY KEY, elements bigint[] NOT NULL DEFAULT '{{}}');
    INSERT INTO lists SELECT n FROM generate_series({_LISTS.start}, {_LISTS.stop - 1}) n
"""
_READ = "SELECT elements FROM lists WHERE id = %s"
_APPEND = "UPDATE lists SET elements = elements || %s::bigint WHERE id = %s"
_Connection = psycopg.Connection[tuple[Any, ...]]
_ABORTED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


class ListAppend(Fault):
    """Blocks of one level, before, while and after the CDC service dies."""

    expected = "no anomaly that the level excludes"
    plan = replace(Plan(), kafka=False)

    def __init__(self, level: Level) -> None:
        self._level = level
        self.name = f"{level.name.replace('_', ' ')} blocks through the proxy, cdc killed -9 meanwhile"

    def prepare(self, scene: Scene) -> None:
        """Make the lists."""
        scene.stack.postgres.execute(_MADE)

    def strike(self, scene: Scene) -> None:
        """Let clients run blocks, kill the service in the middle, judge what they saw."""
        scene.strike()
        with _Crowd(scene, self._level) as crowd:
            scene.let_pass(_SECONDS)
            kill_and_start(scene, "cdc")
            wait_services(scene.stack)
            scene.let_pass(_SECONDS)
        scene.mend()
        final = {key: tuple(found) for key, found in scene.stack.postgres.execute("SELECT id, elements FROM lists")}
        scene.violations += anomalies(crowd.committed, final, self._level)
        scene.reads += sum(len(transaction.reads) for transaction in crowd.committed)
        scene.remarks.append(f"{len(crowd.committed):,} blocks committed, {crowd.aborted:,} aborted by Postgres")
        assert not crowd.failures, crowd.failures[0]
        assert crowd.committed


class _Crowd:
    """Clients with blocks, and others that have the same statement's answers in the cache.

    Attributes:
        committed: The blocks whose commit was acknowledged.
        aborted: How many Postgres has aborted.
        failures: Whatever else has gone wrong.
    """

    def __init__(self, scene: Scene, level: Level) -> None:
        self._scene = scene
        self._begin = f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}".encode()
        self._stop = threading.Event()
        self.committed: list[Transaction] = []
        self.aborted = 0
        self.failures: list[str] = []
        works = [self._blocks] * _CLIENTS + [self._outside] * _OUTSIDERS
        self._threads = [
            threading.Thread(target=self._run, args=[work, n], name="blocks", daemon=True)
            for n, work in enumerate(works)
        ]

    def __enter__(self) -> "_Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def _run(self, work: Callable[[_Connection, random.Random], None], number: int) -> None:
        try:
            with psycopg.connect(self._scene.stack.proxied_url, autocommit=True) as connection:
                work(connection, random.Random(number))
        except psycopg.Error as error:
            self.failures.append(repr(error))

    def _outside(self, connection: _Connection, chance: random.Random) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            connection.execute(_READ, [chance.choice(_LISTS)]).fetchall()

    def _blocks(self, connection: _Connection, chance: random.Random) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            try:
                self.committed.append(self._block(connection, chance))
            except _ABORTED:
                self.aborted += 1
                connection.execute("ROLLBACK")

    def _block(self, connection: _Connection, chance: random.Random) -> Transaction:
        number = self._scene.workload.next_version()
        reads, appends = {}, {}
        connection.execute(self._begin)
        for key in chance.sample(_LISTS, chance.randint(1, 3)):
            ((elements,),) = connection.execute(_READ, [key]).fetchall()
            reads[key] = tuple(elements)
        for key in chance.sample(_LISTS, chance.randint(0, 2)):
            appends[key] = number
            connection.execute(_APPEND, [number, key])
        connection.execute("COMMIT")
        return Transaction(number, reads, appends)


FAULTS: list[Fault] = [ListAppend(level) for level in Level]
