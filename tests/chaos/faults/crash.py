"""One process of Postgres is killed: all of it recovers from a crash, with what had been flushed and nothing else.

What was committed asynchronously may have been read and be gone. An unlogged table tells of it: it is empty afterwards.
"""

import os
import signal
from dataclasses import replace

import psycopg

from tests.chaos import tables
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import now
from tests.chaos.stack import Plan, Stack
from tests.chaos.workload import Load, fresh_values
from tests.servers.processes import wait_until

_PROCESS = "SELECT pid FROM pg_stat_activity WHERE backend_type = %s AND pid <> pg_backend_pid() ORDER BY random()"
_EPOCHS = "tidegate_invalidator_epochs_total"
_RESTART_SECONDS = 30.0
_MORE_WAL = "SELECT pg_logical_emit_message(false, 'application', repeat('x', 1000000))"
"""The application goes on, with something else: the WAL is soon longer than it was."""
_END_CLIENTS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name !~ '^tidegate' AND pid <> pg_backend_pid()
"""
_LOST_ITEMS = tables.ITEMS[32:64]


class ProcessKilled(Fault):
    """SIGKILL for one of Postgres's processes; the postmaster ends the others and starts them again."""

    expected = "connections drop, the canary is gone: reads go to Postgres until a new epoch has begun"
    plan = replace(Plan(), kafka=False)
    clients_notice = True

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.name = f"{kind} of postgres killed -9"

    def strike(self, scene: Scene) -> None:
        """Kill one, and wait until everybody is back in one new epoch."""
        invalidator = scene.stack.services["invalidator"]
        epochs = invalidator.metric(_EPOCHS)
        scene.strike()
        _kill(scene.stack, self._kind)
        wait_until(lambda: _recovered(scene.stack), "postgres to have recovered", _RESTART_SECONDS)
        scene.mend()
        wait_until(lambda: invalidator.metric(_EPOCHS) > epochs, "a new epoch", _RESTART_SECONDS)
        wait_services(scene.stack)
        begun = invalidator.metric(_EPOCHS) - epochs
        assert begun == 1, f"{begun:.0f} epochs began"


class AsynchronousCommitsLost(Fault):
    """Commits that were never flushed are read through the proxy and kept; then Postgres crashes, and has not got them.

    Nobody else writes, and the CDC service is stopped: either would have the WAL flushed.
    """

    name = "postgres crashes and loses asynchronous commits that were read"
    expected = "the canary is gone: what was kept of them goes with the epoch"
    plan = replace(
        Plan(),
        kafka=False,
        postgres={"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "autovacuum": "off"},
    )
    load = Load(direct=0, proxied=0)
    clients_notice = True

    def strike(self, scene: Scene) -> None:
        """Commit without a flush, have it kept, crash."""
        cdc, workload = scene.stack.services["cdc"], scene.workload
        scene.strike()
        cdc.pause()
        try:
            session = workload.new_session("asynchronous")
            with psycopg.connect(scene.stack.direct_url, autocommit=True) as connection:
                connection.execute("SET synchronous_commit = off")
                for item in _LOST_ITEMS:
                    workload.set_items(connection, [item], session)
            scene.wait_bypass()  # from now on reads are sent upstream, and their answers kept
            with psycopg.connect(scene.stack.proxied_url, autocommit=True) as connection:
                for item in _LOST_ITEMS:
                    workload.read(connection, tables.READ_ITEM, item, workload.new_session("reader"))
            _kill(scene.stack, "walwriter")
            wait_until(lambda: _recovered(scene.stack), "postgres to have recovered", _RESTART_SECONDS)
            undone = workload.history.undo(fresh_values(scene.stack.direct_url), now())
            scene.stack.postgres.execute(_MORE_WAL)
        finally:
            cdc.resume()
        scene.mend()
        scene.remarks.append(f"{undone} of {len(_LOST_ITEMS)} commits lost by Postgres")
        assert undone, "Postgres lost no commit: nothing was tried"
        wait_services(scene.stack)
        scene.stack.postgres.execute(_END_CLIENTS)  # those that came before the new canary are not served by themselves


def _kill(stack: Stack, kind: str) -> None:
    ((pid,), *_) = stack.postgres.execute(_PROCESS, [kind])
    os.kill(pid, signal.SIGKILL)
    gone = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"

    def ended() -> bool:
        try:
            return not stack.postgres.execute(gone, [pid])
        except psycopg.OperationalError:
            return True

    wait_until(ended, "the killed process to be missed", _RESTART_SECONDS)


def _recovered(stack: Stack) -> bool:
    try:
        return stack.postgres.execute("SELECT 1") == [(1,)]
    except psycopg.OperationalError:
        return False
