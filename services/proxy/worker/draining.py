"""How a worker stops: nobody new comes in, and those who are in are ended where it does no harm.

A session between turns and outside a transaction block is ended at once. One with a turn under way gets its answer
first, and one inside a block gets to the block's end: the application would have to repeat the whole transaction. After
the time-out everybody is ended, whatever is under way, as Postgres's fast shutdown does at once.
"""

import asyncio
from contextlib import suppress

import structlog

from services.proxy.worker.open_sessions import OpenSessions
from services.shared.pgwire.sqlstate import Sqlstate

SHUTDOWN_MESSAGE = "terminating connection due to administrator command"
"""Postgres's words for 57P01."""

_log = structlog.get_logger()


async def drain(sessions: OpenSessions, seconds: float) -> None:
    """End all sessions, those with something under way after at most so many seconds.

    Cancel-safe: yes; who is left then is left.
    """
    emptied = asyncio.Event()
    sessions.when_empty = emptied.set
    for session in sessions:
        session.drain()
    if len(sessions):
        _log.info("draining", sessions=len(sessions), seconds=seconds)
        with suppress(TimeoutError):
            await asyncio.wait_for(emptied.wait(), seconds)
    end_all(sessions)


def end_all(sessions: OpenSessions) -> None:
    """End all sessions at once."""
    for session in sessions:
        session.end(Sqlstate.ADMIN_SHUTDOWN, SHUTDOWN_MESSAGE)
