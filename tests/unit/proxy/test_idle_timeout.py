"""When a client has been idle for too long: never before its time, at most one sweep late, and not while it is busy."""

from services.proxy.worker.idle_timeout import IdleTimeout
from services.proxy.worker.open_sessions import OpenSessions
from services.shared.pgwire.sqlstate import Sqlstate


class _Session:
    """A session whose last activity the test sets."""

    def __init__(self) -> None:
        self.active = False
        self.ended: tuple[str, str] | None = None

    def forget_state(self) -> None: ...

    def drain(self) -> None: ...

    def outage_changed(self) -> None: ...

    def look_again(self) -> None: ...

    def interrupt(self) -> bool:
        return False

    def end(self, sqlstate: Sqlstate, message: str) -> None:
        self.ended = (sqlstate, message)

    def rested(self) -> bool:
        rested, self.active = not self.active, False
        return rested


def _ended_at(active_at: set[int], *, sweeps: int = 40, timeout: float = 10.0) -> int | None:
    """Sweep once a second; return when the session was ended, that was active in these seconds."""
    sessions, session = OpenSessions(""), _Session()
    sessions.add(session, b"")
    idle = IdleTimeout(sessions, timeout, 0.0)
    for now in range(1, sweeps):
        session.active = now in active_at  # somewhere between this sweep and the one before
        idle.sweep(float(now))
        if session.ended:
            assert session.ended == ("57P05", "terminating connection due to idle-session timeout")
            return now
    return None


def test_it_is_ended_after_the_time_out_and_not_before() -> None:
    assert _ended_at({1}) == 11
    assert _ended_at({1, 2, 3}) == 13


def test_it_is_not_ended_while_something_comes_now_and_then() -> None:
    assert _ended_at(set(range(1, 100, 9))) is None


def test_one_that_falls_idle_again_has_the_whole_time_out_again() -> None:
    assert _ended_at({1, 9}) == 19


def test_a_sweep_that_comes_late_ends_nobody_early() -> None:
    sessions, session = OpenSessions(""), _Session()
    sessions.add(session, b"")
    idle = IdleTimeout(sessions, 10.0, 0.0)
    session.active = True
    idle.sweep(100.0)  # the loop was busy, or the machine asleep
    idle.sweep(101.0)
    assert session.ended is None
    idle.sweep(110.0)
    assert session.ended is not None
