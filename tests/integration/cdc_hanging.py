"""Commits that are written, flushed and not visible: they wait for a synchronous standby that does not exist."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from tests.integration.cdc_harness import until
from tests.servers.postgres import PostgresServer

_WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_PROBE = "SELECT pg_logical_emit_message(true, 'probe', '')"


@dataclass
class HangingCommit:
    """A transaction whose commit waits.

    Attributes:
        task: Ends when the commit becomes visible.
        beyond: An insert LSN beyond its commit record.
    """

    task: "asyncio.Task[None]"
    beyond: int


@contextlib.asynccontextmanager
async def hanging_commit(server: PostgresServer, database: str, statement: str) -> AsyncIterator[HangingCommit]:
    """Commit a statement so that it is not visible until the end of the context, and is then."""
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nosuch'")
    server.execute("SELECT pg_reload_conf()")
    try:
        # The checkpointer tells the backends, a little later than the configuration shows it.
        probe = asyncio.create_task(_commit(server, database, _PROBE))
        while not await _hangs(probe, server):
            probe = asyncio.create_task(_commit(server, database, _PROBE))
        server.execute(f"SELECT pg_cancel_backend(pid) FROM ({_WAITING}) waiting")
        await probe
        commit = asyncio.create_task(_commit(server, database, statement))
        assert await _hangs(commit, server)
        ((lsn,),) = server.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        yield HangingCommit(commit, int(lsn))
    finally:
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.execute("SELECT pg_reload_conf()")
    await commit


async def _hangs(commit: "asyncio.Task[None]", server: PostgresServer) -> bool:
    """Wait until a commit is through, or waits."""
    await until(lambda: commit.done() or bool(server.execute(_WAITING)), "the commit")
    return not commit.done()


async def _commit(server: PostgresServer, database: str, statement: str) -> None:
    connection = await asyncpg.connect(server.url(database), server_settings={"synchronous_commit": "on"})
    try:
        await connection.execute(statement)
    finally:
        connection.terminate()
