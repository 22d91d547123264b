"""What answers of a hot standby are worth: how far it has replayed, in which history, and on whose connection."""

import asyncio
import json
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.proxy.cache.follower import Follower
from services.proxy.cached_database import CachedDatabase
from services.proxy.replica.applied import AppliedMoments
from services.proxy.replica.replay import Replay, Server, parse_replay, replay_question
from services.proxy.replica.watch import ReplicaWatch, Sighting
from services.proxy.session.exchange import Question
from services.proxy.session.requests import decode_part
from services.proxy.session.state import SharedStates
from services.proxy.session.state_keeper import StateKeeper
from services.proxy.session.turns import TurnAssembler
from services.shared.epoch import StreamEpoch
from services.shared.lsn import Lsn
from services.shared.position import Position
from services.shared.runtime.upstream import parse_upstream
from tests.unit.proxy.manual_clock import ManualClock
from tests.unit.proxy.test_follower import SHOPS, TAG, Worker
from tests.unit.proxy.test_session_state import found, parsed

STREAM = StreamEpoch("7", 5, "00000001", "c0ffee", "slot", "log")
SERVER = Server("1764131453.595329", "127.0.0.1:5432")
SEEN = Sighting(SERVER, "7", "00000001", "c0ffee", True, Lsn(800))


def at(k: int) -> tuple[Position, ...]:
    return (Position(Lsn(100), k),)


# -- where was this worker when ...?


def moments_of(*noted: tuple[int, int, int]) -> AppliedMoments:
    clock = ManualClock()
    moments = AppliedMoments(clock)
    for k, highest_commit, watermark in noted:
        moments.note(at(k), Lsn(highest_commit), Lsn(watermark))
        clock.advance(1.0)
    return moments


@pytest.mark.parametrize(("replayed", "k"), [(799, None), (800, 1), (815, 1), (816, 2), (839, 2), (840, 3), (9_999, 3)])
def test_an_answer_stands_for_the_newest_moment_behind_which_its_standby_is(replayed: int, k: int | None) -> None:
    moment = moments_of((1, 0, 801), (2, 816, 809), (3, 816, 841)).at(Lsn(replayed))
    assert (moment.positions if moment is not None else None) == (at(k) if k is not None else None)


def test_before_the_first_watermark_there_is_no_moment() -> None:
    """H47: there may be a commit that is never streamed."""
    assert moments_of((1, 800, 0)).at(Lsn(9_999)) is None


def test_a_watermark_of_all_that_was_visible_asks_for_no_more_than_was_written() -> None:
    """It is one above an LSN at which an idle database stands, and its standby with it."""
    assert moments_of((1, 0, 801)).at(Lsn(800)) is not None


def test_moments_that_come_fast_are_thinned_and_old_ones_forgotten() -> None:
    clock = ManualClock()
    moments = AppliedMoments(clock)
    for k in range(100_000):
        moments.note(at(k), Lsn(8 * k), Lsn(8 * k + 1))
        clock.advance(0.001)
    newest = moments.at(Lsn(800_000))
    assert newest is not None
    assert newest.positions == at(99_999)
    five_seconds = moments.at(Lsn(8 * 95_000))
    assert five_seconds is not None
    assert at(94_990) < five_seconds.positions <= at(95_000)
    assert moments.at(Lsn(8 * 50_000)) is None


@pytest.fixture
def worker() -> Worker:
    """A worker that follows a bucket with a watermark, and has a proof that is as new as that."""
    worker = Worker()
    worker.follower.moments = AppliedMoments(worker.clock)
    worker.bucket.apply(watermark=801)
    worker.step()
    worker.prove(800)
    worker.follower.note_moment()
    return worker


def moment_at(worker: Worker, replayed: int) -> tuple[Any, ...] | None:
    assert worker.follower.moments is not None
    return worker.follower.moments.at(Lsn(replayed))


def test_the_follower_notes_a_moment_with_each_watermark(worker: Worker) -> None:
    worker.bucket.apply(tags=(TAG,), end_lsn=880)
    worker.bucket.apply(watermark=809)
    worker.step()
    assert moment_at(worker, 879) == (800, at(1), 801)
    assert moment_at(worker, 880) == (880, at(3), 809)


def test_what_was_lost_before_the_worker_followed_is_waited_for() -> None:
    """A commit whose record is gone evicted nothing, and is in no highest commit. It may lie above a watermark."""
    worker = Worker()
    worker.follower.moments = AppliedMoments(worker.clock)
    worker.bucket.apply(watermark=801)
    worker.step()
    worker.follower.note_moment()
    assert moment_at(worker, 9_999) is None
    worker.prove(880)
    worker.bucket.apply(watermark=841)
    worker.step()
    assert moment_at(worker, 9_999) is None
    worker.bucket.apply(watermark=881)
    worker.step()
    assert moment_at(worker, 879) is None
    assert moment_at(worker, 880) == (880, at(3), 881)


def test_when_a_relation_joins_what_was_before_is_forgotten(worker: Worker) -> None:
    """H11: a commit of before is on no stream, and a standby may not have replayed it."""
    assert moment_at(worker, 800) is not None
    worker.bucket.apply(follow=(SHOPS, 77))
    worker.step()
    assert moment_at(worker, 9_999) is None
    worker.bucket.apply(watermark=881)
    worker.step()
    assert moment_at(worker, 879) is None
    assert moment_at(worker, 880) == (880, at(3), 881)


def test_in_another_epoch_all_is_forgotten(worker: Worker) -> None:
    worker.follower.drop("why")
    assert moment_at(worker, 9_999) is None


# -- in which history is it?


class _Followed:
    epoch = f"{STREAM}#nonce"
    stream = STREAM


@pytest.mark.parametrize(
    ("sighting", "is_kept"),
    [
        (SEEN, True),
        (SEEN._replace(system="8"), False),
        (SEEN._replace(timeline="00000002"), False),
        (SEEN._replace(canary="another"), False),
        (SEEN._replace(canary=""), False),
        (SEEN._replace(in_recovery=False), False),
        (SEEN._replace(server=Server(SERVER.started_at, "10.0.0.1:5432")), False),
        (SEEN._replace(server=Server("1764131453.595330", SERVER.address)), False),
    ],
)
def test_an_answer_is_kept_once_its_server_is_seen_in_the_followed_history(sighting: Sighting, is_kept: bool) -> None:
    kept: list[str] = []
    refused = Counter[str]()

    async def play() -> None:
        upstream = parse_upstream("postgresql://app@127.0.0.1/shop")
        watch = ReplicaWatch(upstream, "shop", cast(Follower, _Followed()), refused)
        watch.keep_when_proven(SERVER, lambda: kept.append("answer"))
        watch._judge(sighting, watch._take())
        assert not watch._take()

    asyncio.run(play())
    assert kept == (["answer"] if is_kept else [])
    assert refused == ({} if is_kept else {"replica_unproven": 1})


def test_answers_do_not_pile_up_while_nothing_can_be_proven() -> None:
    refused = Counter[str]()

    async def play() -> None:
        upstream = parse_upstream("postgresql://app@127.0.0.1/shop")
        watch = ReplicaWatch(upstream, "shop", cast(Follower, _Followed()), refused)
        for _ in range(300):
            watch.keep_when_proven(SERVER, lambda: None)
        assert len(watch._take()) == 256

    asyncio.run(play())
    assert refused == {"replica_unproven": 44}


# -- whose connection is it?


def test_the_question_leaves_nothing_behind() -> None:
    assembler = TurnAssembler()
    assembler.feed(replay_question())
    part = assembler.next_part(within_turn=False, copying=False)
    assert part is not None
    kinds = [type(message).__name__ for message in decode_part(part) or ()]
    assert kinds == ["Close", "Parse", "Bind", "Execute", "Close", "Sync"]


def test_the_answer_to_it() -> None:
    assert parse_replay(b"t 77 1764131453.595329 0/320") == Replay(True, 77, SERVER.started_at, Lsn(800))
    assert parse_replay(b"f 77 1764131453.595329 ") == Replay(False, 77, SERVER.started_at, Lsn(0))
    for nonsense in (None, b"", b"t 77 1764131453.595329", b"t seven 1 0/320", b"t 77 1 320"):
        assert parse_replay(nonsense) is None


def keeper(backend: int = 77, **changed: Any) -> StateKeeper:
    """A session on a standby that has been asked for its state."""
    database = SimpleNamespace(
        replica=object(),
        follower=_Followed(),
        states=SharedStates(),
        templates=SimpleNamespace(policy_settings=()),
        settings=SimpleNamespace(name="shop"),
    )
    session = StateKeeper(cast(CachedDatabase, database))
    session.backend = backend
    assert b"tidegate.canary" not in session.question(names=False)
    server = {"system": "7", "oid": "5", "started_at": SERVER.started_at, "address": SERVER.address, "backend": 77}
    answer: dict[str, Any] = {"standby": True, "timeline": "", "canary": None, "server": server} | changed
    learn(session, found(**answer))
    return session


def learn(session: StateKeeper, row: dict[str, Any] | None) -> None:
    question = Question()
    question.status, question.row = ord("I"), None if row is None else json.dumps(row).encode()
    session.learn(question)


def test_a_standby_takes_part_in_the_history_of_its_primary() -> None:
    state = keeper().state
    assert state is not None
    assert (state.refusal, state.timeline, state.canary, state.server) == ("", "00000001", "c0ffee", SERVER)


@pytest.mark.parametrize("other", [{"system": "8"}, {"oid": "6"}])
def test_a_standby_of_another_primary_does_not(other: dict[str, str]) -> None:
    server = {"system": "7", "oid": "5", "started_at": "1", "address": "", "backend": 77} | other
    state = keeper(server=server).state
    assert state is not None
    assert (state.refusal, state.server) == ("standby", None)


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        (b"t 77 1764131453.595329 0/320", ""),
        (None, "replica_silent"),
        (b"f 77 1764131453.595329 0/320", "replica_changed"),
        (b"t 78 1764131453.595329 0/320", "replica_changed"),
        (b"t 77 1764131453.595330 0/320", "replica_changed"),
    ],
)
def test_what_a_session_on_a_standby_says_in_front_of_a_read(row: bytes | None, refusal: str) -> None:
    session = keeper()
    standing = session.standing(row, SERVER)
    assert (standing.refusal, standing.lsn) == (refusal, 0 if refusal else 800)
    assert (session.state is None) == (refusal == "replica_changed")


@pytest.mark.parametrize("told", [0, 4_711])
def test_behind_a_pooler_nothing_is_kept(told: int) -> None:
    """It gives its clients process ids of its own, since it may switch servers."""
    assert keeper(backend=told).standing(b"t 77 1764131453.595329 0/320", SERVER).refusal == "replica_pooled"


@pytest.mark.parametrize(("told", "is_known"), [(77, True), (4_711, False)])
def test_who_may_have_written_behind_a_pooler_is_asked_anew(told: int, is_known: bool) -> None:
    """Postgres reports a promotion by `in_hot_standby`, which a pooler may keep to itself."""
    session = keeper(backend=told)
    session.wrote()
    assert (session.state is not None) == is_known


def test_a_session_whose_server_is_no_standby_any_more_is_asked_as_one_on_a_primary() -> None:
    session = keeper(standby=False)
    assert session.wanted()
    assert b"tidegate.canary" in session.question(names=False)
    learn(session, found())
    assert session.state == parsed()
    session.forget()
    assert b"tidegate.canary" in session.question(names=False)
    learn(session, None)  # it has become a standby's again, where the canary is an error
    assert session.wanted()
    assert b"tidegate.canary" not in session.question(names=False)
