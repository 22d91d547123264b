"""Ends clients that have been idle for too long, as Postgres's idle_session_timeout does.

The hot path notes nothing: a note for each hit would cost every hit. Instead a sweep looks at all sessions every now
and then, and each look makes the session answer its next bytes on the slow path once, which notes that something came.
So an active session pays one slow answer per sweep, and no session has a timer of its own.
"""

import asyncio

from services.proxy.worker.open_sessions import OpenSession, OpenSessions
from services.shared.pgwire.sqlstate import Sqlstate

_MESSAGE = "terminating connection due to idle-session timeout"  # Postgres's words for 57P05
_SWEEPS_PER_TIMEOUT = 10  # a client is ended at most a tenth late ...
_LONGEST_SPACING_SECONDS = 5.0  # ... and not more than this


class IdleTimeout:
    """Sweeps the sessions of one cache."""

    def __init__(self, sessions: OpenSessions, seconds: float, now: float) -> None:
        """Begin.

        Args:
            sessions: Which ones.
            seconds: How long a client may idle.
            now: The clock's time.
        """
        self._sessions = sessions
        self._seconds = seconds
        self._swept_at = now
        self._idle_since: dict[OpenSession, float] = {}

    def sweep(self, now: float) -> None:
        """End who has been idle too long. A session that rested has done so at least since the sweep before."""
        idle_since: dict[OpenSession, float] = {}
        for session in self._sessions:
            if not session.rested():
                continue
            since = self._idle_since.get(session, self._swept_at)
            if now - since >= self._seconds:
                session.end(Sqlstate.IDLE_SESSION_TIMEOUT, _MESSAGE)
            else:
                idle_since[session] = since
        self._idle_since = idle_since
        self._swept_at = now


async def end_idle_sessions(sessions: OpenSessions, seconds: float) -> None:
    """Sweep for ever; return at once when clients may idle for ever. Cancel-safe: yes."""
    if not seconds:
        return
    loop = asyncio.get_running_loop()
    spacing = min(seconds / _SWEEPS_PER_TIMEOUT, _LONGEST_SPACING_SECONDS)
    timeout = IdleTimeout(sessions, seconds, loop.time())
    while True:
        await asyncio.sleep(spacing)
        timeout.sweep(loop.time())
