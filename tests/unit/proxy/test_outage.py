"""When Postgres counts as down, what takes that back, and for how long answers may be served meanwhile."""

import errno
import ssl

import asyncpg
import pytest

from services.proxy.cache.freshness import Freshness
from services.proxy.cache.outage import Change, Outage, Phase
from services.proxy.control import shows_outage
from services.shared.lsn import Lsn
from tests.unit.proxy.manual_clock import ManualClock

_SERVE_STALE_FOR = 60.0
_MARGIN = 0.010 + 0.01 * _SERVE_STALE_FOR  # as for the bound on freshness


class _World:
    """An outage with what it rests on."""

    def __init__(self, serve_stale_for: float = _SERVE_STALE_FOR) -> None:
        self.clock = ManualClock()
        self.freshness = Freshness(1.0, self.clock)
        self.changes: list[Change] = []
        self.outage = Outage(serve_stale_for, self.freshness, self.changes.append, self.clock)

    def prove(self) -> None:
        self.freshness.answer(self.freshness.send(), Lsn(800))
        self.freshness.advance(Lsn(801))

    def serves(self) -> bool:
        return self.outage.serves

    def phase(self) -> Phase:
        return self.outage.phase

    def go_down(self) -> None:
        self.outage.probe_lost()
        self.freshness.lose()
        self.outage.unreachable()


@pytest.fixture
def world() -> _World:
    world = _World()
    world.prove()
    return world


def test_a_lost_probe_alone_is_no_outage(world: _World) -> None:
    world.outage.probe_lost()
    assert world.phase() is Phase.SUSPECTED
    assert not world.outage.serves
    world.outage.reached()
    assert world.phase() is Phase.UP
    assert world.changes == [Change.CLEARED]


def test_a_lost_probe_and_a_failed_connection_are_one(world: _World) -> None:
    world.go_down()
    assert world.serves()
    world.outage.reached()
    assert not world.serves()
    assert world.changes == [Change.BEGUN, Change.ENDED]


def test_a_session_s_suspicion_is_cleared_by_a_probe_that_is_sent_long_after(world: _World) -> None:
    world.outage.suspect()
    world.outage.probe_answered(world.clock.now + 0.9)  # its backend may not have had its signal yet
    assert world.phase() is Phase.SUSPECTED
    world.outage.probe_answered(world.clock.now + 1.1)
    assert world.phase() is Phase.UP
    assert world.changes == [Change.CLEARED]


def test_an_answered_probe_is_no_end_of_an_outage(world: _World) -> None:
    """There is none without a new connection, which ends it."""
    world.go_down()
    world.outage.probe_answered(world.clock.now + 1.0)
    assert world.phase() is Phase.DOWN


def test_answers_are_served_from_the_proof_on_for_so_long_and_no_longer(world: _World) -> None:
    proven_at = world.clock.now
    world.clock.advance(20.0)
    world.go_down()
    assert world.outage.staleness == pytest.approx(20.0)
    world.clock.now = proven_at + _SERVE_STALE_FOR - _MARGIN - 0.001
    assert world.serves()
    world.clock.now = proven_at + _SERVE_STALE_FOR - _MARGIN
    assert not world.serves()
    world.outage.unreachable()
    world.outage.unreachable()
    assert world.changes == [Change.BEGUN, Change.SPENT]


def test_a_doubt_about_the_history_takes_the_proof_away(world: _World) -> None:
    world.go_down()
    world.freshness.drop()
    assert not world.outage.serves
    assert not world.outage.may_serve


def test_without_a_proof_nothing_is_served() -> None:
    world = _World()
    world.go_down()
    assert not world.outage.serves


def test_switched_off_it_serves_nothing_and_keeps_no_session() -> None:
    world = _World(0.0)
    world.prove()
    world.go_down()
    assert world.phase() is Phase.DOWN
    assert not world.outage.serves
    assert not world.outage.may_serve
    assert not world.outage.keeps_sessions
    assert world.outage.proof_spacing is None
    assert world.changes == [Change.BEGUN]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        OSError(errno.EHOSTUNREACH, "no route"),
        OSError("Multiple exceptions"),
        TimeoutError(),
        FileNotFoundError(errno.ENOENT, "no socket"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CrashShutdownError("terminating connection"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"),
    ],
    ids=repr,
)
def test_these_show_that_postgres_is_down(error: Exception) -> None:
    assert shows_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError("no such database"),
        asyncpg.InterfaceError("a mistake of ours"),
        ssl.SSLError("certificate verify failed"),
        ConnectionError("rejected SSL upgrade"),
        OSError(errno.EMFILE, "too many open files"),
        OSError(errno.EADDRNOTAVAIL, "no port left"),
    ],
    ids=repr,
)
def test_these_do_not(error: Exception) -> None:
    assert not shows_outage(error)
