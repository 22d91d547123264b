"""The exact forms of turns that a cache can answer, and that its reply is what Postgres sent, byte for byte."""

import pytest

from services.proxy.session.exchange import Exchange, Segment
from services.proxy.session.names import Names, no_names
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import Prepared
from services.proxy.session.recorder import Recorder
from services.proxy.session.relay import BackendRelay
from services.proxy.session.requests import Request, decode_part, executed_texts, read_requests
from services.proxy.session.statements import SessionStatements
from services.proxy.session.turns import Part, TurnAssembler
from services.shared.pgwire.backend import READY_FOR_QUERY, BindComplete, CommandComplete, NoData, ParseComplete
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.frontend import (
    SYNC,
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
)
from tests.unit.proxy.recorded_turns import RECORDED, recorded_turns

SQL = b"SELECT name FROM shop WHERE id = $1"
PARSE = Parse(b"", SQL, (23,))
BIND = Bind(b"", b"", (), (b"7",), ())
NAMED_BIND = Bind(b"", b"s", (1,), (b"\0\0\0\7",), (1, 1))
DESCRIBE = Describe(Target.PORTAL, b"")
EXECUTE = Execute(b"")
UNNAMED = Prepared(SQL, (23,), PARSE.encode())
NAMED = Prepared(b"SELECT 2", (), b"raw")


def read_request(messages: list[FrontendMessage], names: Names, unnamed: Prepared | None) -> Request | None:
    """Return what a turn asks that asks one thing; None when it asks nothing that a cache can answer."""
    requests = read_requests(messages, names, unnamed)
    if requests is None:
        return None
    ((request, count),) = requests
    assert count == len([message for message in messages if not isinstance(message, Sync)])
    return request


@pytest.fixture
def names() -> Names:
    return no_names().having(b"s", NAMED)


def test_a_simple_query(names: Names) -> None:
    request = read_request([Query(SQL)], names, UNNAMED)
    assert request is not None
    assert (request.text, request.values, request.simple, request.described) == (SQL, (), True, True)
    assert (request.sets_unnamed, request.unnamed, request.depends_on_unnamed) == (True, None, False)


@pytest.mark.parametrize("described", [True, False])
def test_parse_bind_execute(names: Names, described: bool) -> None:
    middle: list[FrontendMessage] = [DESCRIBE] if described else []
    request = read_request([PARSE, BIND, *middle, EXECUTE, Sync()], names, None)
    assert request is not None
    assert (request.text, request.parameter_types, request.values) == (SQL, (23,), (b"7",))
    assert (request.described, request.parses, request.simple) == (described, True, False)
    assert (request.sets_unnamed, request.unnamed, request.depends_on_unnamed) == (True, UNNAMED, False)


def test_bind_of_a_named_statement(names: Names) -> None:
    request = read_request([NAMED_BIND, EXECUTE, Sync()], names, None)
    assert request is not None
    assert (request.text, request.parameter_formats, request.result_formats) == (b"SELECT 2", (1,), (1, 1))
    assert (request.parses, request.sets_unnamed, request.depends_on_unnamed) == (False, False, False)
    assert request.parameter_format(0) == 1


def test_bind_of_the_unnamed_statement_depends_on_an_earlier_turn(names: Names) -> None:
    request = read_request([BIND, DESCRIBE, EXECUTE, Sync()], names, UNNAMED)
    assert request is not None
    assert (request.text, request.depends_on_unnamed, request.sets_unnamed) == (SQL, True, False)


def test_text_formats_are_the_same_however_they_are_asked_for(names: Names) -> None:
    requests = [
        read_request([Bind(b"", b"s", (), (), formats), EXECUTE, Sync()], names, None)
        for formats in ((), (0,), (0, 0), (0, 0, 0))
    ]
    assert {request.result_formats for request in requests if request is not None} == {()}
    other = read_request([Bind(b"", b"s", (), (), (0, 1)), EXECUTE, Sync()], names, None)
    assert other is not None
    assert other.result_formats == (0, 1)


def test_a_row_limit_of_zero_or_below_means_to_the_end(names: Names) -> None:
    for limit in (0, -1):
        request = read_request([PARSE, BIND, Execute(b"", limit), Sync()], names, None)
        assert request is not None
        assert request.row_limit == 0


def test_the_sync_behind_a_row_limit_ends_the_portal_so_the_first_rows_are_the_answer(names: Names) -> None:
    request = read_request([PARSE, BIND, Execute(b"", 1), Sync()], names, None)
    assert request is not None
    assert request.row_limit == 1


NOT_OF_THE_FORM: dict[str, list[FrontendMessage]] = {
    "nothing": [],
    "sync": [Sync()],
    "named portal": [PARSE, Bind(b"p", b"", (), (b"7",), ()), Execute(b"p"), Sync()],
    "another portal bound": [PARSE, Bind(b"p", b"", (), (b"7",), ()), EXECUTE, Sync()],
    "another portal executed": [PARSE, BIND, Execute(b"p"), Sync()],
    "another portal described": [PARSE, BIND, Describe(Target.PORTAL, b"p"), EXECUTE, Sync()],
    "statement described": [PARSE, Describe(Target.STATEMENT, b""), BIND, EXECUTE, Sync()],
    "statement described behind bind": [PARSE, BIND, Describe(Target.STATEMENT, b""), EXECUTE, Sync()],
    "described twice": [PARSE, BIND, DESCRIBE, DESCRIBE, EXECUTE, Sync()],
    "a second one of another form": [PARSE, BIND, EXECUTE, BIND, EXECUTE, EXECUTE, Sync()],
    "a sync before the end": [PARSE, BIND, EXECUTE, Sync(), BIND, EXECUTE, Sync()],
    "executed twice": [PARSE, BIND, EXECUTE, EXECUTE, Sync()],
    "not executed": [PARSE, BIND, Sync()],
    "parsed twice": [PARSE, PARSE, BIND, EXECUTE, Sync()],
    "parsed by name": [Parse(b"t", SQL), Bind(b"", b"t", (), (), ()), EXECUTE, Sync()],
    "parsed without use": [PARSE, NAMED_BIND, EXECUTE, Sync()],
    "unknown name": [Bind(b"", b"unknown", (), (), ()), EXECUTE, Sync()],
    "closed": [PARSE, BIND, EXECUTE, Close(Target.PORTAL, b""), Sync()],
    "flush": [Flush()],
    "flushed before it is run": [PARSE, BIND, Flush()],
    "no sync": [PARSE, BIND, EXECUTE],
    "two queries": [Query(SQL), Query(SQL)],
    "function call": [FunctionCall(1397, (), (), 0)],
}


@pytest.mark.parametrize("form", NOT_OF_THE_FORM)
def test_everything_else_is_forwarded(form: str, names: Names) -> None:
    assert read_request(NOT_OF_THE_FORM[form], names, UNNAMED) is None


def test_an_unnamed_statement_that_is_not_known_is_forwarded(names: Names) -> None:
    assert read_request([BIND, EXECUTE, Sync()], names, None) is None


def test_a_pipeline_asks_several_things(names: Names) -> None:
    requests = read_requests([PARSE, BIND, DESCRIBE, EXECUTE, NAMED_BIND, EXECUTE, BIND, EXECUTE, Sync()], names, None)
    assert requests is not None
    assert [(request.text, count) for request, count in requests] == [(SQL, 4), (b"SELECT 2", 2), (SQL, 2)]
    assert [request.depends_on_unnamed for request, _ in requests] == [False, False, True]


def test_a_part_of_a_turn_ends_with_a_flush(names: Names) -> None:
    requests = read_requests([PARSE, BIND, EXECUTE, Flush()], names, None)
    assert requests is not None
    assert [(request.text, count) for request, count in requests] == [(SQL, 3)]


def test_a_pipeline_is_read_with_the_unnamed_statement_that_it_parses(names: Names) -> None:
    other = Parse(b"", b"SELECT 3")
    requests = read_requests([BIND, EXECUTE, other, BIND, EXECUTE, BIND, EXECUTE, Sync()], names, UNNAMED)
    assert requests is not None
    assert [request.text for request, _ in requests] == [SQL, b"SELECT 3", b"SELECT 3"]


def test_the_reply_to_a_command_has_no_rows(names: Names) -> None:
    simple = read_request([Query(b"BEGIN")], names, None)
    described = read_request([PARSE, BIND, DESCRIBE, EXECUTE, Sync()], names, None)
    bound = read_request([NAMED_BIND, EXECUTE, Sync()], names, None)
    assert simple is not None
    assert described is not None
    assert bound is not None
    assert simple.command_reply("BEGIN") == CommandComplete("BEGIN").encode()
    acknowledged = ParseComplete().encode() + BindComplete().encode()
    assert described.command_reply("BEGIN") == acknowledged + NoData().encode() + simple.command_reply("BEGIN")
    assert bound.command_reply("BEGIN") == BindComplete().encode() + simple.command_reply("BEGIN")


def test_a_portal_is_made_again_from_its_own_statement(names: Names) -> None:
    request = read_request([NAMED_BIND, Execute(b"", 2), Sync()], names, None)
    assert request is not None
    raw, closes = request.rebuild_portal()
    messages = decode_part(_part(raw + SYNC))
    assert messages is not None
    assert sum(isinstance(message, Close) for message in messages) == closes
    _, parse, bind, execute, _, _ = messages
    assert isinstance(parse, Parse)
    assert (parse.sql, parse.statement != b"") == (b"SELECT 2", True)
    assert bind == Bind(b"", parse.statement, (1,), (b"\0\0\0\7",), (1, 1))
    assert execute == Execute(b"", 2)


# -- parts


def _part(raw: bytes) -> Part:
    assembler = TurnAssembler()
    assembler.feed(raw)
    part = assembler.next_part(within_turn=False, copying=False)
    assert part is not None
    return part


def test_a_part_is_decoded() -> None:
    turn: list[FrontendMessage] = [PARSE, BIND, EXECUTE, Sync()]
    assert decode_part(_part(b"".join(message.encode() for message in turn))) == turn


@pytest.mark.parametrize("raw", [b"P\0\0\0\x06ab" + SYNC, b"B\0\0\0\x05\0" + SYNC, b"Q\0\0\0\x05x"])
def test_a_malformed_part_is_left_to_postgres(raw: bytes) -> None:
    assert decode_part(_part(raw)) is None


def test_a_part_that_was_too_long_to_hold_is_not_decoded() -> None:
    part = _part(Query(bytes([120]) * 1_000_000).encode()[:500_000])
    assert decode_part(part) is None


# -- what runs


def test_every_statement_that_runs_is_told(names: Names) -> None:
    other = Parse(b"t", b"INSERT")
    turn: list[FrontendMessage] = [PARSE, BIND, EXECUTE, NAMED_BIND, EXECUTE, other, Bind(b"p", b"t", (), (), ())]
    turn += [Execute(b"p", 5), Close(Target.PORTAL, b"p"), Sync()]
    assert executed_texts(turn, names, None, Portals()) == [SQL, b"SELECT 2", b"INSERT"]
    assert executed_texts([Query(SQL)], names, None, Portals()) == [SQL]
    assert executed_texts([Sync()], names, None, Portals()) == []
    assert executed_texts([BIND, EXECUTE], names, UNNAMED, Portals()) == [SQL]


def test_a_statement_runs_as_it_was_parsed_at_that_moment(names: Names) -> None:
    redone: list[FrontendMessage] = [
        NAMED_BIND,
        EXECUTE,
        Close(Target.STATEMENT, b"s"),
        Parse(b"s", b"DELETE"),
        NAMED_BIND,
        EXECUTE,
        Sync(),
    ]
    assert executed_texts(redone, names, None, Portals()) == [b"SELECT 2", b"DELETE"]


def test_an_empty_statement_is_not_mistaken_for_the_one_before(names: Names) -> None:
    assert executed_texts([Parse(b"", b""), BIND, EXECUTE], names, UNNAMED, Portals()) == [b""]


def test_a_portal_of_an_earlier_turn_runs_what_it_was_bound_from(names: Names) -> None:
    portals = Portals()
    portals.forward([Bind(b"p", b"s", (), (), ()), Execute(b"p", 5), Sync()], names, None)
    assert executed_texts([Execute(b"p", 5), Sync()], names, None, portals) == [b"SELECT 2"]


@pytest.mark.parametrize(
    "turn",
    [
        [EXECUTE, Sync()],
        [PARSE, BIND, Execute(b"p"), Sync()],
        [Bind(b"", b"unknown", (), (), ()), EXECUTE, Sync()],
        [BIND, EXECUTE, Sync()],
        [FunctionCall(1397, (), (), 0)],
    ],
)
def test_what_cannot_be_told_is_not_told(turn: list[FrontendMessage], names: Names) -> None:
    assert executed_texts(turn, names, None, Portals()) is None


# -- replies


@pytest.mark.parametrize("name", RECORDED)
def test_a_reply_is_what_postgres_sent(name: str) -> None:
    """Drivers' own sessions: each turn that a cache could answer is answered with the very bytes of the server."""
    statements = SessionStatements(no_names())
    answered = 0
    for parts, stream in recorded_turns(name):
        request: Request | None = None
        recorder = Recorder(1 << 30)
        segment = Segment((), recorder)
        exchange = Exchange([segment])
        for part in parts:
            messages = decode_part(part)
            if messages is None:
                continue
            if part.first and part.last:
                requests = read_requests(messages, statements.names, statements.unnamed)
                request = requests[0][0] if requests is not None and len(requests) == 1 else None
            assert statements.catch_up(messages) == (b"", [])
            segment.expect(statements.expected(messages))
        assert BackendRelay().feed(stream, exchange) is stream
        assert exchange.done
        statements.settle(segment.settled)
        answer = recorder.answer(described=request is not None and request.described)
        if request is not None and answer is not None and not exchange.failed:
            assert request.reply(answer) + READY_FOR_QUERY[TransactionStatus.IDLE] == stream
            answered += 1
    expected = {"asyncpg-18": 3, "psycopg-18": 2, "scram-18": 1, "future-18": 0}
    assert answered == expected[name]
