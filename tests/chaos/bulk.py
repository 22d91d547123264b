"""One transaction that changes every row of `bulk`, and a group of items, held open until it is told to commit."""

import threading
from collections.abc import Callable

import psycopg

from tests.chaos import tables
from tests.chaos.history import NEVER, Trouble, Write, now
from tests.chaos.stack import Stack
from tests.chaos.workload import Workload
from tests.servers.processes import wait_until

_LONGEST_SECONDS = 90.0
_RUNNING_BYTES = 24 * 1024**2  # of WAL: the update has begun, and is far from its end
_STREAMED = "SELECT coalesce(sum(stream_txns), 0)::int8 FROM pg_stat_replication_slots"
_WAL_END = "SELECT pg_current_wal_insert_lsn() - '0/0'"


class BulkTransaction:
    """The transaction, on a thread and a connection of its own, around the proxy.

    `wait_running`, `wait_streaming` and `commit` follow one another. Whatever comes of it stands in the history.
    """

    def __init__(self, stack: Stack, workload: Workload) -> None:
        """Begin it."""
        self._stack = stack
        self._workload = workload
        self._version = workload.next_version()
        self._began_at = self._number(_WAL_END)
        self._streamed_before = self._number(_STREAMED)
        self._may_commit = threading.Event()
        self._updated = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="bulk", daemon=True)
        self._thread.start()

    def wait_running(self) -> None:
        """Wait until its update has written a good deal."""
        self._wait(lambda: self._number(_WAL_END) > self._began_at + _RUNNING_BYTES, "the update to run")

    def wait_streaming(self) -> None:
        """Wait until Postgres has begun to send it, while it is in progress."""
        self._wait(lambda: self._number(_STREAMED) > self._streamed_before, "the transaction to be streamed")

    def wait_updated(self) -> None:
        """Wait until all is done but the commit."""
        wait_until(lambda: self._updated.is_set() or self._failed, "the update", _LONGEST_SECONDS)

    def commit(self) -> None:
        """Commit it; returns when Postgres has answered, or the connection is gone."""
        self._may_commit.set()
        self._thread.join(_LONGEST_SECONDS)
        assert not self._thread.is_alive(), "the bulk transaction never ended"

    def _run(self) -> None:
        session, sent, acknowledged = self._workload.new_session("bulk"), 0.0, NEVER
        version, items = self._version, list(tables.BULK_ITEMS)
        try:
            with psycopg.connect(self._stack.direct_url, autocommit=True) as connection:
                connection.execute("BEGIN")
                connection.execute(tables.WRITE_BULK, [version, version])
                connection.execute("UPDATE items SET version = %s WHERE id = ANY(%s)", [version, items])
                self._updated.set()
                self._may_commit.wait(_LONGEST_SECONDS)
                sent = now()
                connection.execute("COMMIT")
                acknowledged = now()
        except psycopg.Error as error:
            self._failed = True
            self._workload.history.troubles.append(Trouble(now(), session, f"{error.sqlstate}: {error}"))
        if sent:
            for key in (tables.BULK, *map(tables.key_of, items)):
                self._workload.history.writes.append(Write(key, version, sent, acknowledged, session))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(lambda: condition() or self._failed or self._updated.is_set(), what, _LONGEST_SECONDS)

    def _number(self, sql: str) -> int:
        ((number,),) = self._stack.postgres.execute(sql)
        return int(number)
