"""What goes through: which texts share a skeleton, which answers are usual, and that a session is none the wiser."""

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.proxy.admission.economy import Economy, Keeps, Prices
from services.proxy.session import through, through_statements
from services.proxy.session.stage import Stage
from services.proxy.session.templates import Template
from services.proxy.session.through_statements import (
    analysis_of,
    is_usual_answer,
    skeleton,
    stands_for_its_template,
    statement_name,
)
from services.proxy.session.turn_form import turn_form
from services.proxy.session.whole_answer import whole_answer
from services.proxy.session.write_token import reads_token
from services.proxy.sql.directives import read_directives
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import unanalysable
from services.shared.pgwire.backend import (
    READY_FOR_QUERY,
    BindComplete,
    CommandComplete,
    DataRow,
    NoticeResponse,
    NotificationResponse,
    ParameterStatus,
    ParseComplete,
)
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.frontend import Parse, Sync
from tests.unit.proxy.lone_session import LoneSession, prove_fresh
from tests.unit.proxy.test_express import (
    DESCRIBE,
    EVENTS,
    FORWARDED,
    READ,
    STATEMENTS,
    bound,
    economy_of,
    learnt,
    simple,
    turn,
    what_holds,
)

# -- skeletons

SHARED = [
    b"SELECT a FROM t WHERE id = 7",
    b"SELECT a, clock_timestamp() FROM t WHERE b = 'x' AND c IN (1, 22,333)",
    b'SELECT "a\'b" FROM t WHERE id = 7',
    b"select -5, 'it', ''",
    b"SELECT a FROM t",
]
NOT_SHARED = [
    b"SELECT a FROM t1 WHERE id = 7",
    b'SELECT "a1" FROM t WHERE id = 7',
    b"SELECT a FROM t WHERE b = 'it''s'",
    b"SELECT a FROM t WHERE b = E'x'",
    b"SELECT a FROM t WHERE b = 1.5",
    b"SELECT a FROM t WHERE b = 1e5",
    b"SELECT a FROM t WHERE b = 0x1F",
    b"SELECT a FROM t WHERE b = $$7$$",
    b"SELECT a FROM t WHERE b = 'a'\n'b'",
    b"SELECT a FROM t WHERE b = 7 -- 8",
    b"SELECT a /* plain */ FROM t WHERE b = 7",
    b"SELECT \"'c'\" FROM t WHERE b = 'c'",
    b"SELECT \"a'b\", 'c' , 5",
    b"SELECT $1",
    b"SELECT 'open",
]


@pytest.mark.parametrize("text", SHARED)
def test_a_text_whose_blanks_are_its_literals_shares_its_skeleton(text: bytes) -> None:
    assert stands_for_its_template(text)


@pytest.mark.parametrize("text", NOT_SHARED)
def test_a_text_that_has_other_blanks_or_literals_shares_none(text: bytes) -> None:
    assert not stands_for_its_template(text)


_PIECES = st.sampled_from(
    [
        *"aEexnbU&$\"'.,-+/*_:; \n()",
        "tidegate.token",
        "/*tidegate_skip*/",
        "7",
        "12",
        "'x'",
        "'0'",
        "''",
        "--",
        "/*",
        "*/",
        "$$",
        "E'",
        "tag",
        "\\",
        "é",
        "0x",
    ]
)
_TEXTS = st.lists(_PIECES, max_size=12).map("".join)
_BLANK = re.compile(r"'[^']*'|[0-9]+")


def name_of(text: str) -> bytes:
    form = turn_form(simple(text.encode()))
    return b"" if form is None else statement_name(form)


@settings(max_examples=2000)
@given(_TEXTS, st.data())
@example("a'x'7", None)
def test_texts_of_one_skeleton_are_of_one_template(text: str, data: st.DataObject | None) -> None:
    assume(stands_for_its_template(text.encode()))

    def another(found: re.Match[str]) -> str:
        if not found.group().startswith("'"):
            return "905" if data is None else data.draw(st.from_regex(r"[0-9]{1,4}", fullmatch=True))
        content = "7''" if data is None else data.draw(_TEXTS)
        return "'" + content.replace("'", "") + "'"

    other = _BLANK.sub(another, text)
    assert skeleton(other.encode()) == skeleton(text.encode())
    analysis = Template(lex(text), unanalysable(), Economy(Prices()))
    found = analysis_of(other.encode(), analysis)
    assert found is not None
    assert found.lexed == lex(other)
    if name_of(text) and name_of(text) == name_of(other):  # what hangs on the very text, and not on its template
        assert reads_token(text.encode()) == reads_token(other.encode())
        assert read_directives(text) == read_directives(other)


# -- answers

_READY = READY_FOR_QUERY[TransactionStatus.IDLE]
_ROW, _COMPLETE = DataRow((b"x" * 7,)).encode(), CommandComplete("SELECT 1").encode()
_NOTICE = NoticeResponse((("S", "NOTICE"), ("C", "00000"), ("M", "x"))).encode()
UNUSUAL = [
    b"",
    _READY,
    _ROW + _READY,
    _COMPLETE,
    _COMPLETE + _READY[:-1],
    _COMPLETE + READY_FOR_QUERY[TransactionStatus.IN_BLOCK],
    _COMPLETE + _COMPLETE + _READY,
    _COMPLETE + _ROW + _READY,
    _NOTICE + _COMPLETE + _READY,
    _COMPLETE + ParameterStatus("TimeZone", "UTC").encode() + _READY,
    _COMPLETE + _READY + _NOTICE,
    _ROW[:-1] + _COMPLETE + _READY,
    b"D\0\0\0\0" + _COMPLETE + _READY,
]


@pytest.mark.parametrize("answer", UNUSUAL)
def test_an_unusual_answer_is_told(answer: bytes) -> None:
    assert not is_usual_answer(answer, parsed=False)


_MESSAGES = st.sampled_from(
    [ParseComplete().encode(), BindComplete().encode(), _ROW, _COMPLETE, _NOTICE, _READY, b"n\0\0\0\4", b"s\0\0\0\4"]
)


@given(st.lists(_MESSAGES, max_size=5), st.integers(0, 3))
def test_an_answer_that_can_be_taken_in_one_look_is_usual(messages: list[bytes], cut: int) -> None:
    answer = b"".join([*messages, _COMPLETE, _READY])
    answer = answer[: len(answer) - cut]
    whole = whole_answer(answer)
    assert whole is None or is_usual_answer(answer, parsed=whole.parsed)


# -- sessions

FORMS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "simple": simple,
    "extended": lambda text, value: bound(text, b"", value, DESCRIBE),
    "prepared": lambda text, value: bound(text, b"c", value),
}
UPDATE, INSERT, TRIGGERS = STATEMENTS[13], STATEMENTS[14], STATEMENTS[15]


def learnt_one(text: bytes) -> LoneSession:
    """Return a session that has prepared this statement as well."""
    session = learnt(LoneSession())
    session.exchange(turn(Parse(b"c", text), Sync()))
    return session


def goes_through(session: LoneSession, sent: bytes) -> bool:
    """Have the client send a turn; tell whether it went through."""
    session.session.data_received(sent)
    return session.session._through.under_way is not None


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("text", [FORWARDED, UPDATE, INSERT])
def test_a_known_statement_goes_through_whatever_its_values(text: bytes, form: Callable[[bytes, bytes], bytes]) -> None:
    async def play() -> None:
        session, long = learnt_one(text), learnt_one(text)
        for value in (b"1", b"2", b"333"):
            assert goes_through(session, form(text, value)) == (value != b"1")
            assert what_holds(session)["writes"] == (text == FORWARDED, text == FORWARDED, 0, 0)
            assert session.exchange() == long.exchange(form(text, value)[:7], form(text, value)[7:])
            assert what_holds(session) == what_holds(long)
            prove_fresh(session.database)
            assert what_holds(session)["covered"] == [True, True, True]
            prove_fresh(long.database)
        assert session.database.statistics.forwarded["current_time"] == 3 * (text == FORWARDED)
        assert not goes_through(session, bound(READ, b"a"))

    asyncio.run(play())


def test_what_runs_a_trigger_does_not_go_through() -> None:
    async def play() -> None:
        session = LoneSession()
        for _ in range(3):
            assert not goes_through(session, bound(TRIGGERS, b""))
            session.exchange()

    asyncio.run(play())


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_of_a_write_that_goes_through_the_rows_are_known(form: Callable[[bytes, bytes], bytes]) -> None:
    async def play() -> None:
        session = learnt_one(UPDATE)
        for value in (b"1", b"2", b"3"):
            session.exchange(bound(READ, b"a", value))
        for value in (b"1", b"2"):
            assert goes_through(session, form(UPDATE, value)) == (value == b"2")
            session.exchange()
        assert [session.exchange(bound(READ, b"a", value))[0] != b"" for value in (b"1", b"2", b"3")] == [1, 1, 0]
        prove_fresh(session.database)
        assert session.exchange(bound(READ, b"a", b"2"))[0] == b""

    asyncio.run(play())


def test_a_literal_that_names_the_token_is_seen() -> None:
    async def play() -> None:
        session = LoneSession()
        for setting in (b"timezone", b"datestyle"):
            asked = simple(b"SELECT current_setting('" + setting + b"')")
            assert goes_through(session, asked) == (setting == b"datestyle")
            session.exchange()
        assert not goes_through(session, simple(b"SELECT current_setting('Tidegate.token')"))
        assert b"set_config" in session.exchange()[0]

    asyncio.run(play())


def test_an_answer_without_the_acknowledgement_of_its_parse_is_looked_at() -> None:
    answer = BindComplete().encode() + _COMPLETE + _READY
    assert is_usual_answer(answer, parsed=False)
    assert not is_usual_answer(answer, parsed=True)
    assert is_usual_answer(ParseComplete().encode() + answer, parsed=True)


def test_a_session_whose_standby_was_promoted_asks_for_its_state() -> None:
    """A write that succeeds where a standby was believed: behind a pooler only that tells."""

    async def play() -> None:
        session = learnt_one(UPDATE)
        session.exchange(bound(READ, b"a", b"5"))
        session.exchange(bound(UPDATE, b"c", b"1"))
        prove_fresh(session.database)
        assert session.exchange(bound(READ, b"a", b"5"))[0] == b""
        keeper = session.session._conversation.keeper
        keeper.on_standby, keeper.backend = True, 4711
        assert goes_through(session, bound(UPDATE, b"c", b"2"))
        session.exchange()
        assert keeper.state is None
        assert not what_holds(session)["armed without its state"]
        assert b"json_build_object" in session.exchange(bound(READ, b"a", b"5"))[0]

    asyncio.run(play())


def test_an_answer_that_comes_too_late_is_of_no_interest() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(bound(FORWARDED, b"b"))
        assert goes_through(session, bound(FORWARDED, b"b", b"8"))
        answer = session.postgres.answer(session.upstream.take())
        session.session.connection_lost(None)
        session.session.upstream_received(answer)
        assert session.client.take() == b""
        assert session.session._turns.stage is Stage.CLOSED

    asyncio.run(play())


def test_a_template_that_was_forgotten_is_learnt_again() -> None:
    async def play() -> None:
        session = LoneSession()
        templates = session.database.templates
        for value in (b"1", b"2"):
            session.exchange(simple(READ, value))
        for forgets in (templates._by_text, templates._by_template, templates.economies._by_identity):
            forgets.clear()  # as where there are many
        for value in (b"3", b"4"):
            session.exchange(simple(READ, value))
        (known,) = session.session._replies.through.values()
        assert known is not None
        assert known.template.economy is economy_of(session, READ.replace(b"$1", b"7"))

    asyncio.run(play())


def test_a_write_in_another_encoding_may_be_of_any_row() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        by_name = b"UPDATE users SET name = 'x' WHERE name = $1"
        read = b"SELECT name FROM users WHERE name = $1"
        for value in (b"a", b"b"):
            session.exchange(simple(by_name, value))
            session.exchange(bound(read, b"", value))
        prove_fresh(session.database)
        assert session.exchange(bound(read, b"", b"b"))[0] == b""
        assert goes_through(session, simple(by_name, b"\xe9"))
        session.exchange()
        assert session.exchange(bound(read, b"", b"b"))[0] != b""

    asyncio.run(play())


def test_where_nothing_is_cached_reads_go_through() -> None:
    async def play() -> None:
        session = learnt(LoneSession(manners=["0", "off", None, None, None, "notice"]))
        for value in (b"1", b"2"):
            assert goes_through(session, bound(READ, b"a", value)) == (value == b"2")
            session.exchange()
        assert session.database.statistics.forwarded["consistency_off"] == 2

    asyncio.run(play())


@pytest.mark.parametrize(
    ("text", "read"),
    [(READ.replace(b"$1", b"7"), lambda v: simple(READ, v)), (READ, lambda v: bound(READ, b"a", v))],
    ids=["simple", "prepared"],
)
def test_a_read_goes_through_while_caching_it_does_not_pay(text: bytes, read: Callable[[bytes], bytes]) -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        values = iter(b"%d" % number for number in range(200, 1200))
        for value in itertools.islice(values, 3):
            assert not goes_through(session, read(value))
            session.exchange()
        economy = economy_of(session, text)
        economy.keeps = Keeps.SAMPLE
        through_: list[bool] = []
        while len(through_) < 40 or all(through_):  # one key in sixteen is cached all the same, by chance none of many
            through_.append(goes_through(session, read(next(values))))
            session.exchange()
        assert 25 < sum(through_) == economy.turned_away < len(through_)
        counted = session.database.statistics
        assert counted.forwarded["does_not_pay"] == economy.turned_away
        assert counted.misses == 3 + len(through_)
        economy.keeps = Keeps.ALL
        assert not goes_through(session, read(b"1"))

    asyncio.run(play())


def test_a_read_goes_through_the_first_time_where_most_are_never_asked_for_again() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        economy = economy_of(session, READ)
        economy.keeps = Keeps.SEEN_BEFORE
        counted = session.database.statistics
        values = [b"%d" % number for number in range(200, 300)]

        def comes(value: bytes) -> bool:
            through_ = goes_through(session, bound(READ, b"a", value))
            session.exchange()
            return through_

        first, again = [comes(value) for value in values], [comes(value) for value in values]
        assert sum(first) > 70  # one key in sixteen is kept at once
        assert sum(again) < 3  # two may want the same cell
        assert counted.forwarded["first_sight"] == economy.turned_away
        assert 0 <= economy.turned_away - sum(first) - sum(again) <= 1  # the first of all is looked at

    asyncio.run(play())


OWN = b"UPDATE users SET name = 'x' WHERE id = 7"


def test_what_an_own_write_keeps_from_the_cache_goes_through_until_more_is_covered() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        counted = session.database.statistics

        def comes(value: bytes) -> bool:
            asked = bound(READ, b"a", value)
            through_ = goes_through(session, asked)
            session.exchange()
            return through_

        comes(b"8")
        session.exchange(turn(Parse(b"another", READ, ()), Sync()))
        session.exchange(bound(READ, b"another", b"8"))
        session.exchange(simple(OWN))
        assert [comes(b"7") for _ in range(2)] == [False, True]
        assert goes_through(session, bound(READ, b"another", b"7"))  # the same read, by another name
        session.exchange()
        assert counted.forwarded["own_write"] == 3
        hits, misses = counted.hits, counted.misses
        assert not comes(b"8")
        assert (counted.hits, counted.misses) == (hits + 1, misses)
        prove_fresh(session.database)
        assert [comes(b"7") for _ in range(2)] == [False, False]
        assert counted.forwarded["own_write"] == 3
        assert (counted.hits, counted.misses) == (hits + 2, misses + 1)

    asyncio.run(play())


def test_it_is_served_all_the_same_while_postgres_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(simple(OWN))
        asked = bound(READ, b"a", b"7")
        assert not goes_through(session, asked)
        session.exchange()
        monkeypatch.setattr(type(session.database.outage), "serves", True)
        assert not goes_through(session, asked)

    asyncio.run(play())


def test_few_reads_are_remembered_behind_own_writes() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        way = session.session._through
        for number in range(20):
            way.note_own_write(number)
        assert way._behind_writes == tuple(range(19, 3, -1))

    asyncio.run(play())


class Meanwhile(NamedTuple):
    """What comes between a turn that went through and its answer."""

    happens: Callable[[LoneSession], object]


def sent_ahead(session: LoneSession) -> None:
    session.session.data_received(bound(READ, b"a", b"5") + bound(FORWARDED, b"", b"6"))


def half_of_a_turn(session: LoneSession) -> None:
    session.session.data_received(simple(READ, b"5")[:4])
    session.session.data_received(simple(READ, b"5")[4:])


MEANWHILE = EVENTS | {
    "nothing": lambda _: None,
    "the client sends ahead": sent_ahead,
    "the client sends half of a turn": half_of_a_turn,
    "the auditor wants to see": lambda session: session.session.look_again(),
    "a setting changes": lambda session: session.session.forget_state(),
    "the client is full": lambda session: session.session.pause_writing(),
    "Postgres is full": lambda session: session.session.upstream_full(full=True),
}
ANSWERS = [b"2", b"fails", b"bind_fails", b"says_so", b"reports", b"notifies", b"twice", b"x" * 300]


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(FORMS)),
    st.sampled_from([FORWARDED, FORWARDED, UPDATE, INSERT]),
    st.sampled_from(ANSWERS),
    st.sampled_from(sorted(MEANWHILE)),
    st.one_of(st.none(), st.integers(1, 200)),
)
def test_a_session_is_none_the_wiser(
    form: str, text: bytes, value: bytes, meanwhile: str, split_at: int | None
) -> None:
    """Whatever comes between the turn and its answer, and however that comes, as behind a turn of the long way."""

    async def play() -> None:
        sessions = learnt_one(text), learnt_one(text)
        came: list[object] = []
        for session, is_long in zip(sessions, (False, True), strict=True):
            asked = FORMS[form](text, value)
            session.exchange(FORMS[form](text, b"9" if value.isdigit() else b"y"))
            session.exchange(bound(READ, b"", b"4"))
            if is_long:
                session.session.look_again()
            assert goes_through(session, asked) is not is_long
            MEANWHILE[meanwhile](session)
            first = session.exchange(split_at=split_at)
            session.session.resume_writing()
            session.session.upstream_full(full=False)
            behind = [session.exchange(one) for one in (bound(READ, b"a"), again(), simple(FORWARDED), again())]
            seen = what_holds(session)
            prove_fresh(session.database)
            came.append((first, behind, seen, session.exchange(bound(READ, b"a")), what_holds(session)))
        assert came[0] == came[1]

    asyncio.run(play())


def again() -> bytes:
    """A turn with the unnamed statement as it was left."""
    return bound(READ, b"", b"3").replace(Parse(b"", READ).encode(), b"")


def test_who_wants_to_look_at_the_next_turn_does_so_behind_one_that_went_through() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(bound(FORWARDED, b"b"))
        assert goes_through(session, bound(FORWARDED, b"b", b"8"))
        session.session.look_again()
        session.exchange()
        assert session.expressly(bound(FORWARDED, b"b", b"9")) is None
        assert goes_through(session, bound(FORWARDED, b"b", b"8"))

    asyncio.run(play())


def test_an_answer_behind_the_rest_of_a_message_is_looked_at() -> None:
    """The rest of what is cut here reads like a BindComplete, with the number of the backend for its length."""

    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(bound(FORWARDED, b"b"))
        notification = NotificationResponse(46, "n" * 20, "x" * 20).encode()
        session.session.upstream_received(notification[:4])
        assert goes_through(session, bound(FORWARDED, b"b", b"8"))
        answer = session.postgres.answer(session.upstream.take())
        assert is_usual_answer(notification[4:] + answer, parsed=False)
        session.session.upstream_received(notification[4:] + answer)
        assert session.client.take() == notification + answer

    asyncio.run(play())


def test_a_write_behind_what_looks_like_a_literal_does_not_go_through() -> None:
    async def play() -> None:
        session = LoneSession()
        harmless = b"SELECT clock_timestamp() --'7'"
        hidden = harmless.replace(b"7", b"\n; UPDATE users SET name = 7 --")
        assert skeleton(harmless) == skeleton(hidden)
        for _ in range(2):
            session.exchange(simple(harmless))
        assert not goes_through(session, simple(hidden))
        session.exchange()
        assert not session.session._conversation.writes.covered((20_001,), 0)

    asyncio.run(play())


def test_a_session_that_is_to_end_ends_behind_the_answer() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(bound(FORWARDED, b"b"))
        assert goes_through(session, bound(FORWARDED, b"b", b"8"))
        session.session.drain()
        assert not session.client.closed
        _, came = session.exchange()
        assert b"SELECT 1" in came
        assert b"57P01" in came
        assert session.client.closed

    asyncio.run(play())


def test_the_statements_that_go_through_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        monkeypatch.setattr(through, "MOST_STATEMENTS", 3)
        session = LoneSession()
        for number in range(10):
            session.exchange(simple(b"SELECT clock_timestamp() AS c" + b"x" * number))
            assert 1 <= len(session.session._replies.through) <= 3

    asyncio.run(play())


def test_a_long_text_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        monkeypatch.setattr(through_statements, "MAX_SKELETON_BYTES", 10)
        session = LoneSession()
        for _ in range(3):
            assert not goes_through(session, simple(FORWARDED))
            session.exchange()
        assert not session.session._replies.through

    asyncio.run(play())


def test_what_does_not_go_through_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        asked: list[bytes] = []

        def counted(text: bytes) -> bool:
            asked.append(text)
            return stands_for_its_template(text)

        monkeypatch.setattr(through, "stands_for_its_template", counted)
        session = LoneSession()
        for text in (FORWARDED.replace(b"name,", b"name AS n1,"), READ):
            for value in (b"1", b"2", b"3"):
                assert not goes_through(session, simple(text, value))
                session.exchange()
        assert len(asked) == 2

    asyncio.run(play())


def test_another_catalog_is_looked_at_anew() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        for _ in range(2):
            session.exchange(simple(FORWARDED))
        EVENTS["another catalog"](session)
        assert not goes_through(session, simple(FORWARDED))
        session.exchange()
        session.exchange(simple(FORWARDED))
        assert goes_through(session, simple(FORWARDED))

    asyncio.run(play())


def test_a_sync_that_is_left_over_is_no_turn_that_goes_through() -> None:
    async def play() -> None:
        session = learnt(LoneSession())
        session.exchange(bound(FORWARDED, b"b"))
        assert not goes_through(session, turn(Sync()))

    asyncio.run(play())
