"""The usual forms of a turn are told by its bytes as they are told by its messages, one by one; and so are its keys."""

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.proxy.session.demand import demand
from services.proxy.session.known_statements import KnownStatements, depends_on_values
from services.proxy.session.names import Names, no_names
from services.proxy.session.planning import Phase, Setting, TurnPlan, plan_turn
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import Prepared, meaning_of
from services.proxy.session.requests import Request, decode_turn, read_requests
from services.proxy.session.templates import Templates
from services.proxy.session.turn_form import NO_VALUES, Bound, read_bound, turn_form
from services.proxy.sql.verdict import NameSpace
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
from tests.unit.proxy.test_planning import STATE
from tests.unit.sql.small_catalog import small_catalog

TEXTS = (
    b"SELECT name FROM users WHERE id = $1",
    b"SELECT name FROM users WHERE id = 7",
    b"SELECT name FROM users WHERE name = 'x' AND id = $1",
    b"SELECT name, clock_timestamp() FROM users WHERE id = $1",
    b"UPDATE users SET name = $1",
    b"DELETE FROM triggered",
    b"SELECT set_config('work_mem', $1, true)",
    b"select /* tidegate_skip */ name from users",
    b"SELECT name FROM users WHERE created > 'now'",
    b"BEGIN",
    b"",
    b"SELECT 1;;",
    b"SELECT 1; SELECT 2",
    b"SELECT \xff",
    b"SELECT 'a",
)
TEMPLATES = Templates()
TEMPLATES.use(small_catalog())
SPACE = NameSpace(STATE.schemas)


def _names() -> Names:
    names = no_names()
    for number, text in enumerate(TEXTS[:6]):
        template = TEMPLATES.find(text, SPACE)
        assert template is not None
        meaning = meaning_of(template, STATE.reading) if number != 4 else None
        names = names.having(b"s%d" % number, Prepared(text, (), b"raw", meaning))
    return names


NAMES = _names()


def _meaning(text: bytes) -> tuple[int, ...] | None:
    template = TEMPLATES.find(text, SPACE)
    return None if template is None else meaning_of(template, STATE.reading)


def turn(*messages: FrontendMessage) -> bytes:
    return b"".join(message.encode() for message in messages)


PARSE, BIND = Parse(b"", TEXTS[0]), Bind(b"", b"", (), (b"7",), ())
DESCRIBE, EXECUTE, SYNC = Describe(Target.PORTAL, b""), Execute(b""), Sync()

_QUERIES = st.builds(Query, st.sampled_from(TEXTS))
_PARSES = st.builds(Parse, st.sampled_from((b"", b"", b"s0")), st.sampled_from(TEXTS), st.sampled_from([(), (23,)]))
_BINDS = st.builds(
    Bind,
    st.sampled_from((b"", b"", b"", b"p")),
    st.sampled_from((b"", b"s0", b"s3", b"s4", b"none")),
    st.sampled_from([(), (0,), (1,), (0, 1)]),
    st.lists(st.sampled_from((b"7", b"", b"now", None, b"\0\0\0\7")), max_size=3).map(tuple),
    st.sampled_from([(), (0,), (0, 0), (1,), (-1, 2)]),
)
_EXECUTES = st.builds(Execute, st.sampled_from((b"", b"", b"p")), st.sampled_from((0, 0, 1, -1, 0x7FFFFFFF)))
_PIECES: st.SearchStrategy[FrontendMessage] = st.one_of(
    _QUERIES,
    _PARSES,
    _BINDS,
    _EXECUTES,
    st.builds(Describe, st.sampled_from(Target), st.sampled_from((b"", b"", b"p"))),
    st.sampled_from([Close(Target.STATEMENT, b"s0"), Sync(), Flush()]),
)


def _usual() -> st.SearchStrategy[list[FrontendMessage]]:
    """Turns that are of a usual form but for what is in their messages."""
    describes = st.sampled_from([[], [DESCRIBE]])
    return st.one_of(
        st.builds(lambda bind, describe, execute: [bind, *describe, execute, SYNC], _BINDS, describes, _EXECUTES),
        st.builds(
            lambda parse, bind, describe, execute: [parse, bind, *describe, execute, SYNC],
            _PARSES,
            _BINDS,
            describes,
            _EXECUTES,
        ),
        st.builds(lambda query: [query], _QUERIES),
    )


def _harmed(data: bytes, at: int, byte: int) -> bytes:
    """Return the bytes with another one somewhere."""
    at %= len(data)
    return data[:at] + bytes((byte,)) + data[at + 1 :]


_SENT = st.one_of(
    st.one_of(_usual(), _usual(), st.lists(_PIECES, min_size=1, max_size=6)).map(lambda found: turn(*found)),
    st.builds(_harmed, _usual().map(lambda found: turn(*found)), st.integers(0, 300), st.integers(0, 255)),
)


def said_by(bind: Bind) -> Bound:
    """Return what a Bind says, by its message; an equal read has an equal number, whichever way it is read."""
    return Bound(bind.parameter_formats, bind.values, bind.result_formats, bind.encode_behind_names())


def read_slowly(data: bytes) -> tuple[Request | None, TurnPlan | None]:
    """Read a turn message by message, and plan it: the only statement that it asks, if it asks just one."""
    messages = decode_turn(data)
    requests = None if messages is None else read_requests(messages, NAMES, None, _meaning)
    if requests is None or len(requests) != 1:
        return None, None
    setting = Setting(NAMES, None, Portals(), STATE, STATE, TEMPLATES, Phase.OUTSIDE)
    return requests[0][0], plan_turn(messages, requests, setting)


@settings(max_examples=60)
@given(_SENT)
@example(turn(PARSE, BIND, EXECUTE, SYNC))
@example(turn(PARSE, BIND, DESCRIBE, EXECUTE, SYNC))
@example(turn(Query(TEXTS[0])))
def test_a_form_says_what_the_messages_say(data: bytes) -> None:
    form = turn_form(data)
    messages = decode_turn(data)
    if form is None or messages is None:
        return
    bound = NO_VALUES if form.simple else read_bound(data, form)
    assert bound is not None
    match messages:
        case [Query(sql)]:
            assert (form.simple, form.parses, form.head) == (True, False, sql)
        case [Parse(statement=b"") as parse, Bind(portal=b"", statement=b"") as bind, *described, Execute(b""), Sync()]:
            assert (form.simple, form.parses, form.head) == (False, True, parse.encode())
        case [Bind(portal=b"") as bind, *described, Execute(b""), Sync()]:
            assert (form.simple, form.parses, form.head) == (False, False, b"\0" + bind.statement)
            assert bind.statement
        case _:
            pytest.fail(f"{messages} are of no usual form")
    if not form.simple:
        assert bound == said_by(bind)
        assert described == ([DESCRIBE] if form.described else [])


@settings(max_examples=40)
@given(st.lists(_SENT, max_size=8))
def test_what_is_known_of_a_statement_gives_the_plan_that_its_turn_gives(turns: list[bytes]) -> None:
    known = KnownStatements(SPACE)
    demanded = demand(TEMPLATES.promise, STATE)
    for data in turns:
        form = turn_form(data)
        if form is None:
            continue
        request, slowly = read_slowly(data)
        found = known.find(form, TEMPLATES, STATE, lambda request=request: request)  # type: ignore[misc]
        if found is None:
            continue
        route, template = found
        if route.refusal:
            assert slowly is None or (slowly.refusal, slowly.effect) == (route.refusal, route.effect)
            continue
        bound = NO_VALUES if form.simple else read_bound(data, form)
        if bound is None or depends_on_values(bound):
            assert slowly is None or not slowly.steps
            continue
        plan = route.plan(form, template, bound, STATE, demanded)
        assert slowly is not None
        assert plan == slowly.steps[0].plan
        assert plan.request == request


def test_a_form_is_found_where_there_is_one() -> None:
    named = Bind(b"", b"s0", (1,), (b"\0\0\0\7", None), (0, 1))
    for described in ((), (DESCRIBE,)):
        assert turn_form(turn(PARSE, BIND, *described, EXECUTE, SYNC)) is not None
        assert turn_form(turn(named, *described, Execute(b"", 5), SYNC)) is not None
    assert turn_form(turn(Query(TEXTS[0]))) is not None


UNUSUAL = {
    "nothing": b"",
    "a Sync": turn(SYNC),
    "an empty query": turn(Query(b"")),
    "the unnamed statement of an earlier turn": turn(BIND, EXECUTE, SYNC),
    "a Parse that another name is bound behind": turn(PARSE, Bind(b"", b"s0", (), (), ()), EXECUTE, SYNC),
    "a Parse under a name": turn(Parse(b"s0", TEXTS[0]), BIND, EXECUTE, SYNC),
    "a portal with a name": turn(PARSE, Bind(b"p", b"", (), (), ()), EXECUTE, SYNC),
    "another portal is run": turn(PARSE, BIND, Execute(b"p"), SYNC),
    "another portal is described": turn(PARSE, BIND, Describe(Target.PORTAL, b"p"), EXECUTE, SYNC),
    "a statement is described": turn(PARSE, BIND, Describe(Target.STATEMENT, b""), EXECUTE, SYNC),
    "a negative row limit": turn(PARSE, BIND, Execute(b"", -1), SYNC),
    "a Flush": turn(PARSE, BIND, EXECUTE, Flush()),
    "two statements": turn(PARSE, BIND, EXECUTE, BIND, EXECUTE, SYNC),
    "two turns": turn(PARSE, BIND, EXECUTE, SYNC) * 2,
    "two queries": turn(Query(TEXTS[0])) * 2,
    "a query with a NUL in it": b"Q\0\0\0\x0eSELECT 1\0\0",
    "a query without its NUL": b"Q\0\0\0\x0cSELECT 1",
    "a Parse that is too long to be kept": turn(Parse(b"", b"SELECT 1" + b" " * 16_384), BIND, EXECUTE, SYNC),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_not_usual_has_no_form(data: bytes) -> None:
    assert turn_form(data) is None


def test_a_part_of_a_turn_has_no_form() -> None:
    for whole in (turn(PARSE, BIND, DESCRIBE, EXECUTE, SYNC), turn(Query(TEXTS[0]))):
        assert not any(turn_form(whole[:end]) for end in range(len(whole)))


def bind_turn(body: bytes) -> bytes:
    """Write a turn whose Bind of the statement `s0` has this behind its names."""
    bind = b"\0s0\0" + body
    return b"B" + struct.pack(">I", len(bind) + 4) + bind + turn(EXECUTE, SYNC)


MALFORMED = {
    "nothing": b"",
    "half a count": b"\0",
    "formats that are not there": b"\0\2\0\0",
    "two formats for one value": b"\0\2\0\0\0\0" + b"\0\1\0\0\0\0" + b"\0\0",
    "a value that is longer than the message": b"\0\0" + b"\0\1\0\0\0\7abc" + b"\0\0",
    "a value of a length below NULL": b"\0\0" + b"\0\1\xff\xff\xff\xfe" + b"\0\0",
    "a value that is not there": b"\0\0" + b"\0\2\0\0\0\0" + b"\0\0",
    "something behind the last format": b"\0\0" + b"\0\0" + b"\0\0" + b"x",
    "more values than are read at a glance": b"\0\0" + b"\0\x41" + b"\0\0\0\0" * 65 + b"\0\0",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_bind_is_not_read(body: bytes) -> None:
    form = turn_form(bind_turn(body))
    assert form is not None
    assert read_bound(bind_turn(body), form) is None


@settings(max_examples=50)
@given(st.binary(max_size=40))
def test_a_bind_is_read_as_its_message_is_or_not_at_all(body: bytes) -> None:
    data = bind_turn(body)
    form = turn_form(data)
    assert form is not None
    messages, bound = decode_turn(data), read_bound(data, form)
    assert (messages is None) is (bound is None)
    if messages is not None:
        assert isinstance(messages[0], Bind)
        assert bound == said_by(messages[0])
