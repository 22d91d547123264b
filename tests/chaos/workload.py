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

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_SECONDS = 10
_AGAIN_SECONDS = 0.05  # before a client connects again
_END_SECONDS = 60.0  # for a statement that hangs when the workload ends


@dataclass(frozen=True, slots=True)
class Load:
    """How many clients there are, and how long each pauses.

    Attributes:
        readers: Through the proxy.
        direct: Writers around it.
        proxied: Writers through it, which read what they wrote.
        settings: Of the direct writers' sessions.
        items: What is written.
    """

    readers: int = 3
    direct: int = 2
    proxied: int = 1
    read_pause_seconds: float = 0.003
    write_pause_seconds: float = 0.025
    settings: str = ""
    items: range = tables.ITEMS


class Workload:
    """The clients, and the history of what they did.

    Attributes:
        history: Appended to while it runs.
    """

    def __init__(self, direct_url: str, proxied_url: str, load: Load) -> None:
        self.history = History()
        self._direct_url = direct_url
        self._proxied_url = proxied_url
        self._load = load
        self._numbers = itertools.count(1)
        self._versions = itertools.count(1)
        self._stop_reading, self._stop_writing = threading.Event(), threading.Event()
        self._readers: list[threading.Thread] = []
        self._writers: list[threading.Thread] = []

    def __enter__(self) -> "Workload":
        for key, version in fresh_values(self._direct_url).items():
            self.history.writes.append(Write(key, version, ALWAYS, ALWAYS))
        self._versions = itertools.count(max(write.version for write in self.history.writes) + 1)
        load, direct, proxied = self._load, self._direct_url, self._proxied_url
        for _ in range(load.readers):
            self._readers.append(self._client(proxied, self._read, self._stop_reading, load.read_pause_seconds))
        for _ in range(load.direct):
            self._writers.append(self._client(direct, self._write, self._stop_writing, load.write_pause_seconds))
        for _ in range(load.proxied):
            work = self._write_and_read
            self._writers.append(self._client(proxied, work, self._stop_writing, load.write_pause_seconds))
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

    def set_items(self, connection: Connection, items: Sequence[int], session: str) -> None:
        """Set items to new versions, in one transaction, and note it whatever becomes of it."""
        planned = [(item, self.next_version()) for item in sorted(items)]
        applied = dict.fromkeys(items, True)
        sent, acknowledged = now(), NEVER
        try:
            if len(items) > 1:
                connection.execute("BEGIN")
            for item, version in planned:
                applied[item] = connection.execute(tables.WRITE_ITEM, [version, item, version]).rowcount > 0
            if len(items) > 1:
                sent = now()
                connection.execute("COMMIT")
            acknowledged = now()
        finally:
            for item, version in planned:
                is_applied = applied[item] or acknowledged == NEVER
                write = Write(tables.key_of(item), version, sent, acknowledged, session, is_applied)
                self.history.writes.append(write)

    def read(self, connection: Connection, sql: str, argument: int, session: str) -> tables.Values:
        """Run one of the reads, note it, and return what it told."""
        asked = tables.items_of(argument) if sql is tables.READ_GROUP else [argument]
        begin = now()
        rows = connection.execute(sql, [argument]).fetchall()
        values = tables.values_of(asked, rows)
        self.history.reads.append(Read(session, begin, now(), values))
        return values

    def commit_each(self, items: Sequence[int]) -> list[threading.Thread]:
        """Write each of some items around the proxy, each on a thread that ends when it is done."""

        def commit(item: int) -> None:
            session = self.new_session("commit")
            try:
                with psycopg.connect(self._direct_url, autocommit=True) as connection:
                    self.set_items(connection, [item], session)
            except psycopg.Error as error:
                self.history.troubles.append(Trouble(now(), session, f"{error.sqlstate}: {error}"))

        threads = [threading.Thread(target=commit, args=[item], name="commit", daemon=True) for item in items]
        for thread in threads:
            thread.start()
        return threads

    def _client(
        self, url: str, work: Callable[[Connection, str, random.Random], None], stop: threading.Event, pause: float
    ) -> threading.Thread:
        chance = random.Random(next(self._numbers))

        def run() -> None:
            while not stop.is_set():
                session = self.new_session(work.__name__)
                try:
                    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS) as connection:
                        if self._load.settings and url == self._direct_url:
                            connection.execute(self._load.settings)
                        while not stop.wait(pause):
                            work(connection, session, chance)
                except psycopg.Error as error:
                    self.history.troubles.append(Trouble(now(), session, f"{error.sqlstate}: {error}"))
                    stop.wait(_AGAIN_SECONDS)

        thread = threading.Thread(target=run, name=work.__name__, daemon=True)
        thread.start()
        return thread

    def _read(self, connection: Connection, session: str, chance: random.Random) -> None:
        kind = chance.random()
        if kind < 0.2:
            self.read(connection, tables.READ_GROUP, chance.choice(tables.GROUPS), session)
        elif kind < 0.3:
            self.read(connection, tables.READ_BULK, tables.bulk_id(chance.randrange(5)), session)
        else:
            self.read(connection, tables.READ_ITEM, chance.choice(tables.ALL_ITEMS), session)

    def _write(self, connection: Connection, session: str, chance: random.Random) -> None:
        self.set_items(connection, self._choose(chance), session)

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
