"""What goes through in transaction blocks, and that a session is none the wiser there either."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.session.block import HeldBlock, prelude, usual_beginning
from services.proxy.session.conversation import OUTSIDE_BLOCK
from services.proxy.session.through import WayThrough
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.frontend import Bind, Execute, Parse, Sync
from tests.unit.proxy.lone_session import LoneSession, lone_database, prove_fresh
from tests.unit.proxy.scripted_postgres import ScriptedPostgres
from tests.unit.proxy.test_express import (
    EVENTS,
    FORWARDED,
    READ,
    STATEMENTS,
    Played,
    Way,
    bound,
    learnt,
    play_alike,
    plays,
    simple,
    turn,
    what_holds,
)
from tests.unit.proxy.test_known_statements import POLICIES, SECURED
from tests.unit.proxy.test_through import FORMS, INSERT, UPDATE, goes_through, learnt_one
from tests.unit.sql.small_catalog import small_catalog

BEGIN, COMMIT, ROLLBACK = simple(b"BEGIN"), simple(b"COMMIT"), simple(b"ROLLBACK")
SAVEPOINT = simple(b"SAVEPOINT s")


@pytest.fixture(autouse=True, scope="module")
def nothing_behind_own_writes() -> Iterator[None]:
    """What an own write kept from the cache is looked at again: that it need not be shows in what is counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WayThrough, "note_own_write", lambda way, number: None)
        yield


_SEEN = READY_FOR_QUERY[TransactionStatus.IN_BLOCK]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("text", [READ, FORWARDED, UPDATE, INSERT])
def test_in_a_block_of_postgres_everything_that_is_known_goes_through(
    text: bytes, form: Callable[[bytes, bytes], bytes]
) -> None:
    async def play() -> None:
        session = learnt_one(text)
        session.exchange(BEGIN)
        session.exchange(simple(FORWARDED))  # which brings the BEGIN upstream
        for value in (b"1", b"2", b"3"):
            assert goes_through(session, form(text, value)) == (value != b"1")
            assert session.exchange()[1].endswith(_SEEN)
        assert session.database.statistics.forwarded["in_transaction"] == 3
        assert session.database.statistics.hits == 0

    asyncio.run(play())


@pytest.mark.parametrize("end", [COMMIT, ROLLBACK, bound(b"COMMIT", b"")])
def test_what_ends_it_goes_through_and_from_then_on_what_it_wrote_waits_to_be_covered(end: bytes) -> None:
    async def play() -> None:
        session = learnt_one(UPDATE)
        read = bound(READ, b"a", b"7")
        for round_ in range(3):
            session.exchange(read)
            session.exchange(BEGIN)
            session.exchange(bound(UPDATE, b"c", b"7"))
            prove_fresh(session.database)  # which is too early
            assert goes_through(session, end) == (round_ > 0)
            assert session.exchange()[1].endswith(READY_FOR_QUERY[TransactionStatus.IDLE])
            prove_fresh(session.database)
            assert session.exchange(read)[0] == b""
            session.exchange(BEGIN)
            session.exchange(bound(UPDATE, b"c", b"7"))
            prove_fresh(session.database)
            assert goes_through(session, end)
            session.exchange()
            assert session.exchange(read)[0] == read
            prove_fresh(session.database)

    asyncio.run(play())


def test_a_block_is_begun_and_ended_here_while_own_writes_wait_to_be_covered() -> None:
    async def play() -> None:
        session = learnt_one(UPDATE)
        for begin, end in ((BEGIN, COMMIT), (bound(b"BEGIN", b""), bound(b"ROLLBACK", b""))):
            session.exchange(begin)
            session.exchange(end)
            session.exchange(bound(UPDATE, b"c", b"7"))
            cut = session.cut
            assert session.exchange(begin)[0] == b""
            assert session.exchange(end)[0] == b""
            assert session.cut == cut

    asyncio.run(play())


def knows_its_state(session: LoneSession) -> bool:
    return session.session._conversation.keeper.state is not None


def test_settings_that_a_block_may_have_undone_are_asked_for_again() -> None:
    async def play() -> None:
        session = learnt_one(UPDATE)
        for round_ in range(3):
            session.exchange(BEGIN)
            session.exchange(bound(UPDATE, b"c", b"7"))
            session.session.forget_state()
            session.exchange(turn(Parse(b"d%d" % round_, READ), Sync()))  # for whose sake they are asked for in it
            assert knows_its_state(session)
            assert goes_through(session, COMMIT) == (round_ > 0)
            session.exchange()
            assert not knows_its_state(session)
            assert b"json_build_object" in session.exchange(bound(READ, b"a", b"7"))[0]

    asyncio.run(play())


def test_settings_that_a_savepoint_may_have_undone_are_not_relied_on() -> None:
    async def play() -> None:
        session = learnt_one(UPDATE)
        session.exchange(BEGIN)
        session.exchange(SAVEPOINT)
        session.exchange(simple(STATEMENTS[17]))
        session.exchange(turn(Parse(b"d", READ), Sync()))  # for whose sake they are asked for
        assert knows_its_state(session)
        session.exchange(simple(b"ROLLBACK TO s"))
        assert not knows_its_state(session)

    asyncio.run(play())


def test_a_block_that_is_over_unexpectedly_is_over() -> None:
    async def play() -> None:
        session = learnt_one(UPDATE)
        session.exchange(BEGIN)
        session.exchange(bound(UPDATE, b"c", b"7"))
        session.exchange(bound(UPDATE, b"c", b"7"))
        assert goes_through(session, bound(UPDATE, b"c", b"8"))
        answer = session.postgres.answer(session.upstream.take()).replace(
            _SEEN, READY_FOR_QUERY[TransactionStatus.IDLE]
        )
        session.session.upstream_received(answer)
        assert session.client.take() == answer
        assert session.session._conversation.status == OUTSIDE_BLOCK

    asyncio.run(play())


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("begin", [BEGIN, bound(b"BEGIN", b""), simple(b"START TRANSACTION READ WRITE")])
@pytest.mark.parametrize("read", [False, True])
def test_a_begin_that_was_held_back_goes_in_front(
    begin: bytes, form: Callable[[bytes, bytes], bytes], *, read: bool
) -> None:
    async def play() -> None:
        session = learnt_one(UPDATE)
        session.exchange(bound(READ, b"a", b"5"))
        for round_ in range(3):
            session.exchange(begin)
            if read:
                assert session.exchange(bound(READ, b"a", b"5"))[0] == b""
            assert goes_through(session, form(UPDATE, b"7")) == (round_ > 0)
            assert session.exchange()[1].endswith(_SEEN)
            assert session.database.statistics.blocks_sent == round_ + 1
            session.exchange(COMMIT)
            prove_fresh(session.database)

    asyncio.run(play())


def test_behind_what_is_set_for_a_block_and_where_its_answer_may_be_here_a_turn_is_looked_at() -> None:
    async def play() -> None:
        database = lone_database()
        database.templates.use(small_catalog(SECURED, policies=POLICIES))
        session = learnt(LoneSession(database, policies=["one"]))
        session.exchange(turn(Parse(b"c", UPDATE), Sync()))
        for _ in range(3):
            session.exchange(BEGIN)
            assert session.exchange(simple(b"SET LOCAL app.tenant = 'two'"))[0] == b""
            assert not goes_through(session, bound(UPDATE, b"c", b"7"))
            assert b"SET LOCAL" in session.exchange()[0]
            session.exchange(COMMIT)
            session.exchange(BEGIN)
            assert not goes_through(session, bound(READ, b"a", b"7"))
            session.exchange()
            session.exchange(COMMIT)
            prove_fresh(session.database)

    asyncio.run(play())


@pytest.mark.parametrize("begin", [b"BEGIN", b" begin work", b"start transaction", b"START TRANSACTION READ ONLY"])
@pytest.mark.parametrize("read", [False, True])
def test_the_answer_to_a_beginning_is_known_in_advance(begin: bytes, *, read: bool) -> None:
    first = usual_beginning(begin, read=read)
    said = ScriptedPostgres().answer(prelude(HeldBlock(b"BEGIN", read=read), ()).raw + Sync().encode())
    tag = b"START TRANSACTION" if b"start" in begin.lower() else b"BEGIN"
    assert first.answer.count(tag + b"\0") == 1
    if tag == b"BEGIN" and not read:
        assert first.answer + READY_FOR_QUERY[TransactionStatus.IN_BLOCK] == said
    assert first.closes == prelude(HeldBlock(begin, read=read), ()).closes


def practised_in_blocks(end: bytes) -> LoneSession:
    """Return a session that knows what begins a block, what is run in it and what ends it."""
    session = learnt_one(UPDATE)
    for _ in range(2):
        for sent in (BEGIN, bound(UPDATE, b"c", b"7"), bound(UPDATE, b"c", b"8"), end):
            session.exchange(sent)
    return session


def test_a_block_that_has_failed_or_changed_the_catalog_or_a_setting_goes_the_long_way() -> None:
    async def play() -> None:
        for happens in (STATEMENTS[16], STATEMENTS[17], b"SELECT fails", STATEMENTS[15]):
            session = practised_in_blocks(ROLLBACK)
            session.exchange(BEGIN)
            assert goes_through(session, bound(UPDATE, b"c", b"9"))
            session.exchange()
            session.exchange(simple(happens))
            assert not goes_through(session, bound(UPDATE, b"c", b"9"))
            session.exchange()
            assert not goes_through(session, ROLLBACK)
            session.exchange()

    asyncio.run(play())


def test_who_wants_to_look_at_the_next_turn_does_so_behind_a_block() -> None:
    async def play() -> None:
        session = practised_in_blocks(COMMIT)
        session.exchange(BEGIN)
        assert goes_through(session, bound(UPDATE, b"c", b"7"))
        session.session.look_again()
        session.exchange()
        assert session.expressly(bound(UPDATE, b"c", b"7")) is None

    asyncio.run(play())


# -- that it makes no difference


def _happens(event: str, session: LoneSession) -> None:
    """Have something happen, behind which no reply is ready: that one outlasts it here shows nothing."""
    EVENTS[event](session)
    EVENTS["no reply is ready"](session)


_AGAIN = turn(Bind(b"", b"", (), (b"3",), ()), Execute(b""), Sync())
_READ_HERE = bound(READ, b"")
SCENES: dict[str, tuple[bytes, ...]] = {
    f"{first} with {value!r} behind {begin[:30]!r}": (
        _READ_HERE,
        begin,
        form(UPDATE, value),
        _AGAIN,
        COMMIT,
        _READ_HERE,
    )
    for first, form in FORMS.items()
    for begin in (BEGIN, bound(b"BEGIN", b""), simple(b"BEGIN NOT DEFERRABLE"))
    for value in (b"7", b"fails", b"bind_fails", b"says_so", b"reports")
}


@pytest.mark.parametrize("split_at", [None, 1, 20, 45, 60, 75, 90])
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_first_turn_of_a_block_leaves_no_trace_but_its_own(scene: tuple[bytes, ...], split_at: int | None) -> None:
    async def play() -> None:
        quick, long = _practised(), _practised()
        for sent in scene:
            chunks = (sent,) if long.inside_turn else (sent[:3], sent[3:])
            assert quick.exchange(sent, split_at=split_at) == long.exchange(*chunks)
            assert _what_holds(quick) == _what_holds(long)

    asyncio.run(play())


_TEXTS = (READ, FORWARDED, UPDATE, INSERT, STATEMENTS[2])
_VALUES = (b"1", b"7", b"fails", b"bind_fails", b"says_so", b"reports", b"notifies", b"twice", b"x" * 300)


def _statements() -> st.SearchStrategy[bytes]:
    texts, values = st.sampled_from(_TEXTS), st.one_of(st.sampled_from(_VALUES[:2]), st.sampled_from(_VALUES))
    limits = st.sampled_from([0, 0, 0, 1])
    return st.one_of(
        st.builds(simple, texts, values),
        st.builds(lambda text, value, limit: bound(text, b"", value, limit=limit), texts, values, limits),
        st.builds(lambda name, value, limit: bound(READ, name, value, limit=limit), _NAMED, values, limits),
    )


_NAMED = st.sampled_from([b"a", b"b", b"c"])
_STEPS = st.one_of(
    _statements(),
    _statements(),
    _statements(),
    st.sampled_from([BEGIN, BEGIN, COMMIT, ROLLBACK, SAVEPOINT, bound(b"BEGIN", b""), bound(b"COMMIT", b"")]),
    st.sampled_from(
        [
            simple(STATEMENTS[17]),
            simple(b"SET LOCAL work_mem = '64MB'"),
            simple(STATEMENTS[16]),
            simple(STATEMENTS[15]),
            _AGAIN,
            turn(Parse(b"d", READ), Sync()),
        ]
    ),
    st.sampled_from(sorted(EVENTS)),
)


def _practised() -> LoneSession:
    """Return a session that has met all of these statements, in a block and outside of one."""
    session = learnt(LoneSession())
    session.exchange(turn(Parse(b"c", UPDATE), Sync()))
    known = [form(text) for text in _TEXTS for form in (simple, lambda text: bound(text, b""))]
    for first in (*known, *(bound(UPDATE, name) for name in (b"a", b"b", b"c"))):
        for one in (first, BEGIN, first, COMMIT):
            session.exchange(one)
    for end in (COMMIT, ROLLBACK, bound(b"COMMIT", b"")):
        for one in (BEGIN, simple(UPDATE), *known, end):
            session.exchange(one)
    prove_fresh(session.database)
    return session


def _what_holds(session: LoneSession) -> dict[str, object]:
    """Return the same as elsewhere, but for what a portal would run that Postgres has not."""
    conversation = session.session._conversation
    outside = conversation.status == OUTSIDE_BLOCK
    more = {"written": conversation.writes.under_way._replace(rows=()), "expected": conversation.statements._expected}
    return what_holds(session) | more | ({"portals": None} if outside else {})


@settings(max_examples=150)
@given(plays(_STEPS, most=16))
def test_a_session_is_none_the_wiser_in_a_block(played: list[Played]) -> None:
    async def play() -> None:
        begun: Played = BEGIN, Way(None, None), Way(1, None)
        play_alike([begun, *played], (_practised(), _practised()), _happens, _what_holds)

    asyncio.run(play())
