"""Which session a cancel request means, and that its key is told to nobody."""

from services.proxy.worker.open_sessions import OpenSessions
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.pgwire.startup import CancelRequest


class _Session:
    def forget_state(self) -> None: ...

    def end(self, sqlstate: Sqlstate, message: str) -> None: ...

    def drain(self) -> None: ...

    def outage_changed(self) -> None: ...

    def rested(self) -> bool:
        return False

    def interrupt(self) -> bool:
        return False

    def look_again(self) -> None: ...


_REQUEST = CancelRequest(4711, b"\x01\x02\x03\x04")
_LONG = CancelRequest(-5, bytes(range(256)))  # protocol 3.2


def test_a_session_is_found_by_its_whole_key_while_it_is_open() -> None:
    sessions = OpenSessions("secret")
    one, other, keyless = _Session(), _Session(), _Session()
    sessions.add(one, _REQUEST.backend_key)
    sessions.add(other, _LONG.backend_key)
    sessions.add(keyless, b"")

    assert sessions.meant_by(sessions.digest(_REQUEST.backend_key)) is one
    assert sessions.meant_by(sessions.digest(_LONG.backend_key)) is other
    for wrong in (
        CancelRequest(4712, _REQUEST.key),
        CancelRequest(4711, b"\x01\x02\x03\x05"),
        CancelRequest(-5, b"...."),
    ):
        assert sessions.meant_by(sessions.digest(wrong.backend_key)) is None
    assert sessions.meant_by(b"") is None
    assert set(sessions) == {one, other, keyless}

    sessions.discard(one)
    sessions.discard(one)
    assert sessions.meant_by(sessions.digest(_REQUEST.backend_key)) is None
    assert len(sessions) == 2


def test_a_key_that_was_given_again_means_the_newer_session() -> None:
    sessions = OpenSessions("secret")
    older, newer = _Session(), _Session()
    sessions.add(older, _REQUEST.backend_key)
    sessions.add(newer, _REQUEST.backend_key)
    sessions.discard(older)

    assert sessions.meant_by(sessions.digest(_REQUEST.backend_key)) is newer


def test_the_digest_depends_on_what_only_the_workers_know_and_holds_nothing_of_the_key() -> None:
    ours, same, others = OpenSessions("secret"), OpenSessions("secret"), OpenSessions("guess")

    assert ours.digest(_REQUEST.backend_key) == same.digest(_REQUEST.backend_key)
    assert ours.digest(_REQUEST.backend_key) != others.digest(_REQUEST.backend_key)
    assert _REQUEST.key not in ours.digest(_REQUEST.backend_key)
    assert str(_REQUEST.key) not in repr(_REQUEST)


def test_the_end_of_the_last_session_is_told() -> None:
    sessions = OpenSessions("")
    told: list[int] = []
    sessions.when_empty = lambda: told.append(len(sessions))
    one, other = _Session(), _Session()
    sessions.add(one, b"")
    sessions.add(other, b"")

    sessions.discard(one)
    assert told == []
    sessions.discard(other)
    assert told == [0]


def test_some_sessions_are_taken_by_chance() -> None:
    sessions = OpenSessions("")
    there = [_Session() for _ in range(20)]
    for session in there:
        sessions.add(session, b"")
    assert len(sessions.some(3)) == 3
    assert set(sessions.some(50)) == set(there)
    taken = {session for _ in range(200) for session in sessions.some(2)}
    assert taken == set(there)  # 19 in 20 to the power of 400 to be left out
    assert OpenSessions("").some(4) == []
