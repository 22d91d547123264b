"""What goes the express way, what does not, and that it makes no difference which way a turn goes."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.admission.economy import Economy, Keeps
from services.proxy.cache.entry import Entry
from services.proxy.session import lookup, single_read
from services.proxy.session.recorder import Recorder
from services.proxy.session.session import _NO_REPLIES
from services.proxy.session.whole_answer import whole_answer
from services.proxy.sql.verdict import NameSpace
from services.shared.pgwire.backend import READY_FOR_QUERY, NotificationResponse
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    Parse,
    Query,
    Sync,
    Target,
)
from tests.unit.proxy.lone_session import CATALOG, LoneSession, lone_database, prove_fresh

READ = b"SELECT name FROM users WHERE id = $1"
FORWARDED = b"SELECT name, clock_timestamp() FROM users WHERE id = $1"
STATEMENTS = (
    READ,
    FORWARDED,
    b"SELECT name FROM users WHERE name = $1",
    b"SELECT o.status FROM users u JOIN orders o ON o.user_id = u.id WHERE u.name = $1",
    b"SELECT name FROM users WHERE created > $1",
    b"SELECT /* tidegate_skip */ name FROM users WHERE id = $1",
    b"SELECT name FROM users WHERE created > 'now' AND id = $1",
    b"SELECT name FROM users WHERE name = 'a''b' AND id = $1",
    b"SELECT name FROM nowhere WHERE id = $1",
    b"SELECT my_function($1)",
    b"SELECT set_config('work_mem', $1, false)",
    b"SELECT current_setting('tidegate.token') WHERE 'x' <> $1",
    b"SELECT parse_fails FROM users WHERE id = $1",
    b"UPDATE users SET name = 'x' WHERE id = $1",
    b"INSERT INTO orders VALUES ($1) RETURNING id",
    b"DELETE FROM triggered WHERE name = $1",
    b"CREATE TABLE late (a int)",
    b"SET search_path = other,public",
    b"BEGIN",
    b"COMMIT",
    b"",
    b"SELECT 1; SELECT name FROM users WHERE name = $1",
)
VALUES = (b"1", b"7", b"now", b"fails", b"bind_fails", b"says_so", b"reports", b"notifies", b"twice", b"x" * 300, None)
NAMES = (b"a", b"b")


def turn(*messages: FrontendMessage) -> bytes:
    return b"".join(message.encode() for message in messages)


def simple(text: bytes, value: bytes | None = b"7") -> bytes:
    literal = b"NULL" if value is None else value if value.isdigit() else b"'" + value + b"'"
    return turn(Query(text.replace(b"$1", literal)))


def bound(text: bytes, name: bytes, value: bytes | None = b"7", *rest: FrontendMessage, limit: int = 0) -> bytes:
    """Write a turn by the extended protocol; of the unnamed statement it has the Parse."""
    parse = () if name else (Parse(b"", text),)
    values = (value,) if b"$1" in text or name else ()
    return turn(*parse, Bind(b"", name, (), values, ()), *rest, Execute(b"", limit), Sync())


DESCRIBE = Describe(Target.PORTAL, b"")


class Way(NamedTuple):
    """How a turn comes and is answered: where it is cut, and where its answer; None: nowhere."""

    turn_at: int | None
    answer_at: int | None


# -- which turns


def learnt(session: LoneSession) -> LoneSession:
    """Have the session prepare a read and a statement that is forwarded."""
    session.exchange(turn(Parse(b"a", READ), Parse(b"b", FORWARDED), Sync()))
    return session


@pytest.mark.parametrize("text", [READ, FORWARDED, STATEMENTS[13], STATEMENTS[14], STATEMENTS[3]])
@pytest.mark.parametrize("described", [True, False])
def test_a_known_statement_goes_the_express_way_with_other_values(text: bytes, *, described: bool) -> None:
    async def play() -> None:
        session = LoneSession()
        describe = (DESCRIBE,) if described else ()
        session.exchange(turn(Parse(b"c", text), Sync()))
        for value in (b"1", b"2", b"3"):
            for bytes_ in (
                simple(text, value),
                bound(text, b"", value, *describe),
                bound(text, b"c", value, *describe),
            ):
                came = session.expressly(bytes_)
                assert came is not None
                assert came[0] in (b"", bytes_)

    asyncio.run(play())


LONG_WAY = {
    "a comment that asks for something": simple(STATEMENTS[5]),
    "a moment relative to now": bound(READ, b"", b"now"),
    "a literal that is such a moment": simple(STATEMENTS[6]),
    "what changes the session": simple(STATEMENTS[10]),
    "what may show the token": simple(STATEMENTS[11]),
    "what changes the catalog": simple(STATEMENTS[16]),
    "a setting": simple(STATEMENTS[17]),
    "a block": simple(b"BEGIN"),
    "nothing": simple(b""),
    "two statements": simple(STATEMENTS[21]),
    "a NUL": b"Q\0\0\0\x0eSELECT 1\0\0",
    "the unnamed statement of an earlier turn": turn(Bind(b"", b"", (), (b"7",), ()), Execute(b""), Sync()),
    "a name that means nothing": turn(Bind(b"", b"z", (), (b"7",), ()), Execute(b""), Sync()),
    "a portal with a name": turn(Bind(b"p", b"a", (), (b"7",), ()), Execute(b"p"), Sync()),
    "a Flush": turn(Parse(b"", READ), Bind(b"", b"", (), (b"7",), ()), Execute(b""), Flush()),
    "two turns": simple(READ) * 2,
    "half a turn": simple(READ)[:-3],
    "a malformed Bind of a read": bound(READ, b"a").replace(b"\0\0\0\x017", b"\0\0\0\x027", 1),
}


@pytest.mark.parametrize("bytes_", LONG_WAY.values(), ids=LONG_WAY)
def test_what_is_not_usual_goes_the_long_way(bytes_: bytes) -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(simple(READ))
        assert session.expressly(bytes_) is None

    asyncio.run(play())


def test_in_a_block_and_behind_another_epoch_the_long_way_is_gone() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        changes: tuple[Callable[[], object], ...] = (
            lambda: session.exchange(simple(b"BEGIN")),
            lambda: EVENTS["another epoch"](session),
        )
        for prepare in changes:
            session.exchange(simple(b"ROLLBACK"))
            session.exchange(bound(FORWARDED, b"b"))
            assert session.expressly(bound(FORWARDED, b"b", b"8")) is not None
            prepare()
            assert session.expressly(bound(FORWARDED, b"b", b"9")) is None

    asyncio.run(play())


def test_an_answer_behind_the_rest_of_a_message_is_not_taken_in_one_look() -> None:
    """The rest of what is cut here reads like a BindComplete, with the number of the backend for its length."""

    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(simple(READ, b"1"))
        notification = NotificationResponse(46, "n" * 20, "x" * 20).encode()
        begun, rest = notification[:4], notification[4:]
        session.session.upstream_received(begun)
        cut = session.cut
        session.session.data_received(simple(READ, b"2"))
        assert session.cut == cut
        answer = session.postgres.answer(session.upstream.take())
        assert whole_answer(rest + answer) is not None
        session.session.upstream_received(rest + answer)
        assert session.client.take() == notification + answer

    asyncio.run(play())


def test_what_a_turn_leaves_behind_of_the_unnamed_statement() -> None:
    async def play() -> None:
        again = turn(Bind(b"", b"", (), (b"3",), ()), Execute(b""), Sync())
        for forgets in (simple(READ), simple(FORWARDED), bound(FORWARDED, b"", b"1"), simple(READ)):
            express, long = learnt(LoneSession()), learnt(LoneSession())
            for session in (express, long):
                for read in (simple(READ), simple(FORWARDED), bound(READ, b"", b"1"), bound(READ, b"", b"1")):
                    session.exchange(read)
                session.database.l1.forget_replies()
            assert express.expressly(forgets) is not None
            long.exchange(forgets[:3], forgets[3:])
            assert what_holds(express)["unnamed"] == what_holds(long)["unnamed"]
            assert express.exchange(again)[1] == long.exchange(again)[1]

    asyncio.run(play())


def economy_of(session: LoneSession, text: bytes) -> Economy:
    """What is measured of a statement."""
    template = session.database.templates.find(text, NameSpace(("pg_catalog", "public")))
    assert template is not None
    return template.economy


def test_what_does_not_pay_is_served_all_the_same_while_postgres_is_down() -> None:
    async def play() -> None:
        session = LoneSession(lone_database(SERVE_STALE_FOR="10min"))
        reads = [bound(READ, b"", b"%d" % number) for number in range(40)]
        for read in reads:
            session.exchange(read)
        economy_of(session, READ).keeps = Keeps.SAMPLE
        session.database.freshness.lose()
        session.database.l1.forget_replies()
        forwarded = [read for read in reads if session.exchange(read)[0]]
        assert len(forwarded) > 20
        session.database.outage.unreachable()
        assert [read for read in reads if session.exchange(read)[0]] == []

    asyncio.run(play())


# -- that it makes no difference


def _turns() -> st.SearchStrategy[bytes]:
    texts, values, names = st.sampled_from(STATEMENTS), st.sampled_from(VALUES), st.sampled_from(NAMES)
    describe = st.sampled_from([(), (DESCRIBE,)])
    limits = st.sampled_from([0, 0, 1, 2, -1])
    return st.one_of(
        st.builds(simple, texts, values),
        st.builds(
            lambda text, name, value, describe, limit: bound(text, name, value, *describe, limit=limit),
            texts,
            st.sampled_from((b"", b"", *NAMES)),
            values,
            describe,
            limits,
        ),
        st.builds(lambda name, text: turn(Parse(name, text), Sync()), names, texts),
        st.builds(
            lambda name, text: turn(Close(Target.STATEMENT, name), Parse(name, text), Sync()),
            st.sampled_from((b"", *NAMES)),
            texts,
        ),
        st.builds(lambda value: turn(Bind(b"", b"", (), (value,), ()), Execute(b""), Sync()), values),
        st.builds(
            lambda text, value: turn(Parse(b"", text), Bind(b"", b"", (), (value,), ()), Execute(b""), Flush()),
            texts,
            values,
        ),
        st.builds(
            lambda text, name, formats, results: turn(
                *(() if name else (Parse(b"", text, (25,)),)),
                Bind(b"", name, formats, (b"7",), results),
                DESCRIBE,
                Execute(b""),
                Sync(),
            ),
            texts,
            st.sampled_from((b"", *NAMES)),
            st.sampled_from([(), (0,), (1,)]),
            st.sampled_from([(), (0,), (0, 0), (1,), (-1,)]),
        ),
        st.just(turn(Sync())),
        st.just(simple(b"COMMIT")),
    )


def _evict(session: LoneSession) -> None:
    session.database.l1.forget_replies()


def _anew(session: LoneSession) -> None:
    """The catalog was read again, and has changed."""
    session.database.templates.use(CATALOG)
    session.database.l1.forget_replies()
    session.database.catalog_watch.completed += 1


def _doubt(session: LoneSession) -> None:
    session.database.catalog_watch._doubted_before = session.database.catalog_watch.completed + 1


def _look(session: LoneSession) -> None:
    session.database.catalog_watch.completed += 1


EVENTS: dict[str, Callable[[LoneSession], object]] = {
    "all writes are covered": lambda session: prove_fresh(session.database),
    "no reply is ready": _evict,
    "another catalog": _anew,
    "the catalog is doubted": _doubt,
    "the catalog is as it was": _look,
    "nothing is fresh": lambda session: session.database.freshness.drop(),
    "another epoch": lambda session: setattr(session.database.follower, "epoch", session.database.follower.epoch + "e"),
    "the idle time-out looks": lambda session: session.session.rested(),
}


def what_holds(session: LoneSession) -> dict[str, object]:
    """What a session and its cache know that a turn may have changed."""
    conversation, database = session.session._conversation, session.database
    statements, writes, counted = conversation.statements, conversation.writes, database.statistics
    return {
        "names": statements.names._by_name,
        "doubted": statements._doubted._by_name,
        "unnamed": (statements.unnamed, statements.unnamed is None and statements._unnamed_upstream),
        "status": (conversation.status, conversation.shown_status, conversation.keeper.state),
        "portals": conversation.portals._texts,
        "writes": (writes.tokens is None, writes._outstanding is None, writes.definitions, writes.catalog_reading),
        "covered": [writes.covered((relation,), database.freshness.covered) for relation in (20_001, 20_002, 20_006)],
        "stage": (session.session._turns.stage, session.session._turns.inside_turn),
        "armed without its state": session.session._replies is not _NO_REPLIES and conversation.keeper.state is None,
        "counted": (counted.hits, counted.misses, counted.kept, counted.blocks_held, counted.blocks_sent),
        "forwarded": +Counter(counted.forwarded),
        "refused": +Counter(counted.refused),
        "cached": {entry.key: entry.answer for entry in database.l1._entries},
        "under way": set(database.flights._by_key),
    }


Played = tuple[bytes | str, Way, Way]
"""A turn, or what happens; how the turn comes and is answered in one session, and how in the other, in pieces."""


def plays(steps: st.SearchStrategy[bytes | str], most: int) -> st.SearchStrategy[list[Played]]:
    """Draw what is played to two sessions."""
    answer_at = st.one_of(st.none(), st.integers(1, 200))
    whole, cut = (
        st.builds(Way, st.none(), st.one_of(st.none(), answer_at)),
        st.builds(Way, st.integers(1, 100), answer_at),
    )
    return st.lists(st.tuples(steps, whole, cut), max_size=most)


def play_alike(
    played: list[Played],
    sessions: tuple[LoneSession, LoneSession],
    happens: Callable[[str, LoneSession], object],
    holds: Callable[[LoneSession], dict[str, object]],
) -> None:
    """Play the same to a session whose turns come whole and to one whose turns do not, which go the long way.

    Args:
        played: What.
        sessions: Both.
        happens: Has something happen to one of them.
        holds: What has to be the same behind each turn, beside what was answered and what went upstream.
    """
    quick, long = sessions
    for what, one_way, other in played:
        if isinstance(what, str):
            for session in sessions:
                happens(what, session)
            continue
        assert other.turn_at is not None
        at = other.turn_at % len(what)
        came = quick.exchange(what, split_at=one_way.answer_at)
        chunks = (what,) if long.inside_turn else (what[:at], what[at:])
        assert came == long.exchange(*chunks, split_at=other.answer_at)
        assert holds(quick) == holds(long)


@settings(max_examples=40)
@given(plays(st.one_of(_turns(), _turns(), _turns(), st.sampled_from(sorted(EVENTS))), most=14))
def test_a_turn_is_answered_alike_on_either_way(played: list[Played]) -> None:
    async def play() -> None:
        sessions = LoneSession(), LoneSession()
        play_alike(played, sessions, lambda event, session: EVENTS[event](session), what_holds)

    asyncio.run(play())


def test_what_was_too_large_lately_is_not_copied_again(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[Recorder] = []

    def recorder(*arguments: Any) -> Recorder:
        copied.append(Recorder(*arguments))
        return copied[-1]

    monkeypatch.setattr(lookup, "Recorder", recorder)

    async def play() -> None:
        session = learnt(LoneSession())
        database = session.database
        database.settings = database.settings.model_copy(update={"capture_bytes": 4})
        for _ in range(3):
            session.exchange(bound(READ, b"a", b"1"))
        session.exchange(bound(READ, b"a", b"2"))
        assert database.statistics.refused["answer_too_large"] == 4
        assert len(copied) == 2
        assert database.statistics.misses == 4

    asyncio.run(play())


FORMS = [simple(READ), bound(READ, b"", b"7", DESCRIBE), bound(READ, b"a", b"7", limit=1)]


@pytest.mark.parametrize("asked", FORMS)
def test_who_waits_for_the_query_of_another_is_not_planned_again(asked: bytes) -> None:
    async def play() -> None:
        first = learnt(LoneSession())
        second = learnt(LoneSession(first.database))
        second.exchange(asked.replace(b"7", b"5"))
        first.exchange(asked.replace(b"7", b"5"))
        first.session.data_received(asked)
        cut = second.cut
        second.session.data_received(asked)
        assert second.cut == cut
        sent = first.upstream.take()
        assert sent == asked
        first.session.upstream_received(first.postgres.answer(sent))
        await asyncio.sleep(0)
        assert not second.upstream.written
        assert second.client.take() == first.client.take() != b""
        assert second.exchange(asked)[0] == b""

    asyncio.run(play())


@pytest.mark.parametrize("asked", FORMS)
def test_what_redis_is_asked_for_in_vain_is_not_planned_again(asked: bytes) -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(asked.replace(b"7", b"5"))
        looked_for: list[bytes] = []

        async def nothing(key: bytes) -> None:
            looked_for.append(key)

        session.database.store.available = True
        session.database.store.get = nothing  # type: ignore[method-assign]
        cut = session.cut
        session.session.data_received(asked)
        assert not session.upstream.written
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sent, came = session.exchange()
        assert session.cut == cut
        assert len(looked_for) == 1
        assert sent == asked
        assert came == learnt(LoneSession()).exchange(asked)[1]
        assert session.exchange(asked)[0] == b""

    asyncio.run(play())


class Kept(NamedTuple):
    """A session that has just kept the answer to a read, and how to ask for it."""

    session: LoneSession
    asked: bytes

    @property
    def is_ready(self) -> bool:
        """Whether its reply is ready, so that a hit is one look and one write."""
        replies = self.session.session._replies
        reply = replies.get(self.asked) or replies.find_narrowed(self.asked)
        return reply is not None and reply.entry.live


def kept(asked: bytes, *, prepare: Callable[[LoneSession], None] = lambda _: None) -> Kept:
    session = learnt(LoneSession())
    session.exchange(asked.replace(b"7", b"5"))  # the statement is known then
    prepare(session)
    assert session.expressly(asked)
    return Kept(session, asked)


@pytest.mark.parametrize("asked", [simple(READ), bound(READ, b"", b"7", DESCRIBE), bound(READ, b"a", b"7", limit=1)])
def test_what_is_likely_to_be_read_again_is_ready_as_soon_as_it_is_kept(asked: bytes) -> None:
    async def play() -> None:
        found = kept(asked)
        assert found.is_ready
        answered = learnt(LoneSession()).exchange(asked)
        assert found.session.exchange(asked) == (b"", answered[1])
        other = learnt(LoneSession(found.session.database))
        assert other.exchange(asked) == (b"", answered[1])
        assert other.session._conversation.statements.unnamed == found.session.session._conversation.statements.unnamed

    asyncio.run(play())


def test_a_reply_is_ready_for_sessions_that_call_its_statement_otherwise() -> None:
    """Drivers that number their statements do: as soon as such a session has asked once under a name."""

    async def play() -> None:
        found = learnt(LoneSession())
        other = LoneSession(found.database)
        other.exchange(turn(Parse(b"s_1234", READ), Sync()))
        answers = [found.exchange(bound(READ, b"a", value))[1] for value in (b"5", b"7", b"5", b"7")][2:]
        assert other.exchange(bound(READ, b"s_1234", b"5")) == (b"", answers[0])
        reply = found.session._replies.find_narrowed(bound(READ, b"a", b"7"))
        assert reply is not None
        asked = bound(READ, b"s_1234", b"7")
        assert other.session._replies.get(asked) is None
        assert other.session._replies.find_narrowed(asked) is reply
        assert other.exchange(asked) == (b"", answers[1])
        assert [len(entry.replies) for entry in found.database.l1._entries] == [1, 1]

    asyncio.run(play())


def test_a_hit_is_looked_up_only_where_no_reply_is_ready() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        asked = bound(READ, b"a", b"7")
        session.exchange(asked)
        session.database.l1.forget_replies()
        tally = next(iter(session.database.l1._entries)).tally
        for hits in (1, 2, 3):
            assert session.exchange(asked)[0] == b""
            assert (tally.hits, tally.looked_up) == (hits, 1)

    asyncio.run(play())


def test_who_has_made_many_replies_ready_finds_them_by_their_exact_bytes() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        turns = [bound(READ, b"a", b"%d" % value) for value in range(40)]
        for asked in turns * 2:
            session.exchange(asked)
        replies = session.session._replies
        exact = [asked for asked in turns if replies.get(asked) is not None]
        assert exact == turns[-len(exact) :]
        assert 20 < len(exact) < 30
        assert all(replies.get(asked) is replies.find_narrowed(asked) for asked in exact)

    asyncio.run(play())


def quarantined(session: LoneSession) -> None:
    """What comes while the read is under way: its template has been proven wrong."""
    session.database.quarantine.templates = frozenset(("select name from users where id = $1",))


def forgetful(session: LoneSession) -> None:
    session.session._conversation.keeper.state = None


NOT_READY: dict[str, Callable[[LoneSession], None]] = {
    "its template is in quarantine by now": quarantined,
    "its table is not followed by now": lambda session: session.database.follower.followed.clear(),
    "the catalog is in doubt by now": lambda session: setattr(session.database.catalog_watch, "_expires_at", 0.0),
    "the state is not known by now": forgetful,
    "hits are shown to the auditor by now": lambda session: setattr(session.database.auditor, "watchful", True),
}


@pytest.mark.parametrize("meanwhile", NOT_READY.values(), ids=NOT_READY)
def test_what_has_come_meanwhile_keeps_a_reply_from_being_ready(
    meanwhile: Callable[[LoneSession], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        asked = bound(READ, b"a")
        session = learnt(LoneSession())
        session.exchange(bound(READ, b"a", b"5"))
        keep, remembered = lookup.Lookup.end_miss, Counter[str]()
        remember = lookup.Lookup.remember

        def kept_then(self: lookup.Lookup, *args: Any, **named: Any) -> Any:
            entry = keep(self, *args, **named)
            assert entry is not None
            meanwhile(session)
            return entry

        def counted(self: lookup.Lookup, *args: Any) -> None:
            remembered["replies"] += 1
            remember(self, *args)

        monkeypatch.setattr(lookup.Lookup, "end_miss", kept_then)
        monkeypatch.setattr(lookup.Lookup, "remember", counted)
        assert session.expressly(asked)
        assert remembered["replies"] == 0

    asyncio.run(play())


@pytest.mark.parametrize("split_at", [None, 3], ids=["whole", "in two pieces"])
def test_the_client_has_its_answer_before_it_is_kept(monkeypatch: pytest.MonkeyPatch, split_at: int | None) -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        keep, shown = session.database.keep, list[bytes]()

        def keeping(*args: Any, **kept: Any) -> Entry | None:
            shown.append(b"".join(session.client.written))
            return keep(*args, **kept)

        monkeypatch.setattr(session.database, "keep", keeping)
        _, got = session.exchange(bound(READ, b"a", b"5"), split_at=split_at)
        assert shown == [got]
        assert got.endswith(READY_FOR_QUERY[TransactionStatus.IDLE])

    asyncio.run(play())


def test_what_is_ready_stays_ready_when_another_statement_is_prepared() -> None:
    async def play() -> None:
        for asked in (simple(READ), bound(READ, b"", b"7"), bound(READ, b"a", b"7")):
            found = kept(asked)
            session = found.session
            for name in (b"another", b"a third"):
                session.exchange(turn(Parse(name, READ, ()), Sync()))
                cut = session.cut
                for _ in range(2):  # the first time, its table is looked for
                    assert session.exchange(asked)[0] == b""
                assert session.cut == cut
                assert found.is_ready

    asyncio.run(play())


def test_what_is_ready_is_so_for_sessions_that_have_prepared_other_statements() -> None:
    async def play() -> None:
        asked = bound(READ, b"a", b"7")
        found = kept(asked)
        other = LoneSession(found.session.database)
        for name in (b"another", b"a"):
            other.exchange(turn(Parse(name, READ, ()), Sync()))
        other.exchange(asked.replace(b"7", b"6"))
        assert Kept(other, asked).is_ready
        assert other.exchange(asked)[0] == b""

    asyncio.run(play())


def test_what_is_not_likely_to_be_read_again_is_not_ready() -> None:
    def unused(session: LoneSession) -> None:
        for economy in session.database.templates.economies._by_identity.values():
            economy.sample.reused = economy.rest.reused = False

    async def play() -> None:
        found = kept(bound(READ, b"a"), prepare=unused)
        assert not found.is_ready
        assert found.session.exchange(found.asked)[0] == b""
        assert found.is_ready

    asyncio.run(play())


def test_a_long_reply_is_put_together_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        monkeypatch.setattr(single_read, "MAX_REPLY_BYTES", 5)
        assert not kept(bound(READ, b"a")).is_ready

    asyncio.run(play())


def test_where_nothing_is_cached_statements_go_the_express_way_all_the_same() -> None:
    async def play() -> None:
        session = LoneSession(manners=["0", "off", None, None, None, "notice"])
        for name, text in ((b"a", READ), (b"b", FORWARDED), (b"w", STATEMENTS[13])):
            session.exchange(turn(Parse(name, text), Sync()))
            for value in (b"1", b"1", b"2"):
                came = session.expressly(bound(text, name, value))
                assert came is not None
                assert came[0] == bound(text, name, value)  # never from memory
        counted = session.database.statistics
        assert (counted.forwarded["consistency_off"], counted.forwarded["current_time"]) == (3, 3)
        assert (counted.misses, counted.kept, counted.hits) == (0, 0, 0)
        assert not session.session._conversation.writes.covered((20_001,), 0)

    asyncio.run(play())
