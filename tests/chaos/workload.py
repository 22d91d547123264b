"""Clients that write and read for as long as a fault lasts: some around the proxy, some through it.

Each is a thread with one connection, and makes another when that is lost; a connection is a session. All of them pause
between statements, so that they load the machine and do not fill it.
"""

import itertools
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.chaos import tables
from tests.chaos.history import ALWAYS, NEVER, History, Read, Trouble, Write, now
from tests.chaos.stack import Stack

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_SECONDS = 10
_AGAIN_SECONDS = 0.05  # before a client connects again
_PREPARED = "chaos"
_LEFT_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE %s"
_END_SECONDS = 60.0  # for a statement that hangs when the workload ends


@dataclass(frozen=True, slots=True)
class Load:
    """How many clients there are, and how long each pauses.

    Attributes:
        readers: Through the proxy.
        direct: Writers around it.
        proxied: Writers through it, which read what they wrote.
        two_phase: Whether there is one more writer around it, which prepares transactions and commits them later.
        settings: Of the direct writers' sessions.
        items: What is written.
        reads: Which single items are read.
    """

    readers: int = 3
    direct: int = 2
    proxied: int = 1
    two_phase: bool = False
    read_pause_seconds: float = 0.003
    write_pause_seconds: float = 0.025
    settings: str = ""
    items: range = tables.ITEMS
    reads: range = tables.ALL_ITEMS


@dataclass(frozen=True, slots=True)
class Client:
    """One client.

    Attributes:
        work: What it does, over and over.
        pause_seconds: Between two times.
        stop: What ends it.
        direct: Whether it comes around the proxy.
    """

    work: Callable[[Connection, str, random.Random], None]
    pause_seconds: float
    stop: threading.Event
    direct: bool


class Workload:
    """The clients, and the history of what they did.

    Attributes:
        history: Appended to while it runs.
    """

    def __init__(self, stack: Stack, load: Load) -> None:
        self.history = History()
        self._stack = stack
        self._load = load
        self._numbers = itertools.count(1)
        self._versions = itertools.count(1)
        self._stop_reading, self._stop_writing = threading.Event(), threading.Event()
        self._readers: list[threading.Thread] = []
        self._writers: list[threading.Thread] = []

    def __enter__(self) -> "Workload":
        for key, version in fresh_values(self._stack.direct_url).items():
            self.history.writes.append(Write(key, version, ALWAYS, ALWAYS))
        self._versions = itertools.count(max(write.version for write in self.history.writes) + 1)
        load = self._load
        for _ in range(load.readers):
            client = Client(self._read, load.read_pause_seconds, self._stop_reading, direct=False)
            self._readers.append(self._start(client))
        works = [(self._write, True)] * load.direct + [(self._write_and_read, False)] * load.proxied
        works += [(self._write_in_two_phases, True)] * load.two_phase
        for work, direct in works:
            client = Client(work, load.write_pause_seconds, self._stop_writing, direct=direct)
            self._writers.append(self._start(client))
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop_writing()
        self._stop_reading.set()
        self._join(self._readers)

    def stop_writing(self) -> None:
        """End the writers; the readers go on."""
        self._stop_writing.set()
        self._join(self._writers)

    def next_version(self) -> int:
        """Return a version that is greater than any before it."""
        return next(self._versions)

    def new_session(self, name: str) -> str:
        """Return a name for a session."""
        return f"{name} {next(self._numbers)}"

    def set_items(self, connection: Connection, items: Sequence[int], session: str, *, prepared: str = "") -> None:
        """Set items to new versions, in one transaction, and note it whatever becomes of it.

        Args:
            connection: Where.
            items: What.
            session: Whose it is.
            prepared: A name to prepare the transaction under before it is committed; empty: it is not prepared.
        """
        planned = [(item, self.next_version()) for item in sorted(items)]
        applied = dict.fromkeys(items, True)
        sent, acknowledged = now(), NEVER
        try:
            if len(items) > 1 or prepared:
                connection.execute("BEGIN")
            for item, version in planned:
                applied[item] = connection.execute(tables.WRITE_ITEM, [version, item, version]).rowcount > 0
            if prepared:
                connection.execute(f"PREPARE TRANSACTION '{prepared}'".encode())
                sent = now()
                connection.execute(f"COMMIT PREPARED '{prepared}'".encode())
            elif len(items) > 1:
                sent = now()
                connection.execute("COMMIT")
            acknowledged = now()
        finally:
            for item, version in planned:
                is_applied = applied[item] or acknowledged == NEVER
                write = Write(tables.key_of(item), version, sent, acknowledged, session, is_applied)
                self.history.writes.append(write)

    def read(
        self, connection: Connection, sql: str, argument: int, session: str, *, into: History | None = None
    ) -> tables.Values:
        """Run one of the reads, note it (in another history, where one is given), and return what it told."""
        asked = tables.items_of(argument) if sql is tables.READ_GROUP else [argument]
        begin = now()
        rows = connection.execute(sql, [argument]).fetchall()
        values = tables.values_of(asked, rows)
        (into or self.history).reads.append(Read(session, begin, now(), values))
        return values

    def commit_each(self, items: Sequence[int]) -> list[threading.Thread]:
        """Write each of some items around the proxy, each on a thread that ends when it is done."""

        def commit(item: int) -> None:
            session = self.new_session("commit")
            try:
                with psycopg.connect(self._stack.direct_url, autocommit=True) as connection:
                    self.set_items(connection, [item], session)
            except psycopg.Error as error:
                self.history.troubles.append(Trouble(now(), session, f"{error.sqlstate}: {error}"))

        threads = [threading.Thread(target=commit, args=[item], name="commit", daemon=True) for item in items]
        for thread in threads:
            thread.start()
        return threads

    def _start(self, client: "Client") -> threading.Thread:
        chance = random.Random(next(self._numbers))

        def run() -> None:
            while not client.stop.is_set():
                session = self.new_session(client.work.__name__)
                try:
                    url = self._stack.direct_url if client.direct else self._stack.proxied_url
                    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS) as connection:
                        if self._load.settings and client.direct:
                            connection.execute(self._load.settings)
                        while not client.stop.wait(client.pause_seconds):
                            client.work(connection, session, chance)
                except psycopg.Error as error:
                    self.history.troubles.append(Trouble(now(), session, f"{error.sqlstate}: {error}"))
                    client.stop.wait(_AGAIN_SECONDS)

        thread = threading.Thread(target=run, name=client.work.__name__, daemon=True)
        thread.start()
        return thread

    def _read(self, connection: Connection, session: str, chance: random.Random) -> None:
        kind = chance.random()
        if kind < 0.2:
            self.read(connection, tables.READ_GROUP, chance.choice(tables.GROUPS), session)
        elif kind < 0.3:
            self.read(connection, tables.READ_BULK, tables.bulk_id(chance.randrange(5)), session)
        else:
            self.read(connection, tables.READ_ITEM, chance.choice(self._load.reads), session)

    def _write(self, connection: Connection, session: str, chance: random.Random) -> None:
        self.set_items(connection, self._choose(chance), session)

    def _write_in_two_phases(self, connection: Connection, session: str, chance: random.Random) -> None:
        """Prepare a transaction, wait a little, and commit it; first end one that a crash has left prepared."""
        for (left,) in connection.execute(_LEFT_PREPARED, [f"{_PREPARED}%"]).fetchall():
            connection.execute(f"COMMIT PREPARED '{left}'".encode())
        name = f"{_PREPARED} {session}"
        self.set_items(connection, self._choose(chance), session, prepared=name)

    def _write_and_read(self, connection: Connection, session: str, chance: random.Random) -> None:
        items = self._choose(chance)
        self.set_items(connection, items, session)
        for item in items:
            self.read(connection, tables.READ_ITEM, item, session)
        self.read(connection, tables.READ_GROUP, tables.group_of(items[0]), session)

    def _choose(self, chance: random.Random) -> list[int]:
        """Return what to write: half of the time what is written often, and now and then two at once."""
        among = tables.HOT_ITEMS if chance.random() < 0.5 else self._load.items
        return chance.sample(among, 2 if chance.random() < 0.25 else 1)

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(_END_SECONDS)
        hanging = [thread.name for thread in threads if thread.is_alive()]
        assert not hanging, f"statements that never came back: {hanging}"


def fresh_values(direct_url: str) -> dict[str, int]:
    """Return what Postgres has, by key."""
    with psycopg.connect(direct_url, autocommit=True, connect_timeout=_CONNECT_SECONDS) as connection:
        rows = connection.execute(tables.FRESH).fetchall()
    return {tables.key_of(row_id): version for row_id, version in rows}
