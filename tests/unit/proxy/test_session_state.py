"""What Postgres said about a session: what changes an answer is in its key, what is not understood is refused."""

import json
from typing import Any

import pytest

from services.proxy.session import state as session_state
from services.proxy.session.requests import decode_part
from services.proxy.session.state import SessionState, SharedStates, parse_state, state_query, state_request
from services.proxy.session.turns import TurnAssembler
from services.shared.pgwire.frontend import Bind, Close, FrontendMessage, Parse, Target
from services.shared.runtime.settings import Consistency

SETTINGS = dict.fromkeys(session_state._SETTINGS, "x") | {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "default_transaction_isolation": "read committed",
}


def found(**changed: Any) -> dict[str, Any]:
    settings = SETTINGS | {name: value for name, value in changed.items() if name in SETTINGS}
    return {
        "user": "alice",
        "login": "alice",
        "database": "shop",
        "temporary": 0,
        "schemas": ["pg_catalog", "public"],
        "standby": False,
        "listens": False,
        "timeline": "00000001",
        "canary": "c0ffee",
        "settings": list(settings.values()),
        "manners": ["0", None, None, None, None, "notice"],
        "policies": [],
    } | {name: value for name, value in changed.items() if name not in SETTINGS}


def parsed(**changed: Any) -> SessionState:
    return parse_state(json.dumps(found(**changed)).encode())


def test_the_state_as_postgres_tells_it() -> None:
    state = parsed()
    assert state.schemas == ("pg_catalog", "public")
    assert (state.timeline, state.canary, state.refusal) == ("00000001", "c0ffee", "")
    assert state == parsed()


@pytest.mark.parametrize(
    "changed",
    [
        {"user": "bob"},
        {"login": "bob"},
        {"database": "other"},
        {"schemas": ["public", "pg_catalog"]},
        {"schemas": ["pg_catalog,public"]},
        {"timeline": "00000002"},
        {"canary": "another"},
        {"TimeZone": "Europe/Berlin"},
        {"DateStyle": None},
        *({setting: "other"} for setting in SETTINGS),
    ],
    ids=str,
)
def test_all_that_can_change_an_answer_is_in_the_key(changed: dict[str, Any]) -> None:
    assert parsed(**changed).key != parsed().key


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"standby": True}, "standby"),
        ({"temporary": 16_500}, "temporary_schema"),
        ({"schemas": None}, "temporary_schema"),
        ({"client_encoding": "LATIN1"}, "client_encoding"),
        ({"client_encoding": None}, "client_encoding"),
        ({"standard_conforming_strings": "off"}, "nonstandard_strings"),
        ({"array_nulls": "off"}, "nonstandard_arrays"),
        ({"TimeZone": "<x>-100"}, "far_time_zone"),
        ({"TimeZone": "<+100>-100"}, "far_time_zone"),
        ({"TimeZone": "x15:59y"}, "far_time_zone"),
        ({"TimeZone": "x5y100,M3.2.0,M11.1.0"}, "far_time_zone"),
        ({"default_transaction_isolation": "serializable"}, "isolation_level"),
        ({"default_transaction_isolation": "repeatable read"}, "isolation_level"),
        ({"manners": ["0", "off", None, None, None, "notice"]}, "consistency_off"),
        ({"manners": ["0", "OFF", None, None, None, "notice"]}, "consistency_off"),
        ({"manners": ["0", "sometimes", None, None, None, "notice"]}, "unknown_consistency"),
        ({"manners": ["0", None, "soon", None, None, "notice"]}, "unknown_max_staleness"),
        ({"manners": ["0", None, "2h", None, None, "notice"]}, "unknown_max_staleness"),
        ({"manners": ["0", "off", "soon", None, None, "notice"]}, "consistency_off"),
        ({"manners": ["0", "strong", "0", None, None, "notice"]}, ""),
    ],
)
def test_sessions_whose_statements_are_not_cached(changed: dict[str, Any], refusal: str) -> None:
    assert parsed(**changed).refusal == refusal


@pytest.mark.parametrize(
    "time_zone",
    ["UTC", "Asia/Kathmandu", "Etc/GMT-14", "EST5EDT", "EST5EDT,M3.2.0,M11.1.0", "<+05:45>-05:45", "<-20>+5", None],
)
def test_time_zones_that_tags_take_into_account(time_zone: str | None) -> None:
    assert parsed(TimeZone=time_zone).refusal == ""


def test_without_a_canary_the_session_belongs_to_no_history() -> None:
    assert parsed(canary=None).canary == ""


@pytest.mark.parametrize(
    "row",
    [b"", b"\xff", b"7", b"[]", b"{}", b"null", json.dumps(found(settings=[])).encode(), b'{"settings": 7}'],
)
def test_what_is_not_the_answer_is_refused(row: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_state(row)


def test_bytes_of_another_encoding_do_no_harm() -> None:
    row = json.dumps(found(client_encoding="LATIN1")).encode().replace(b"alice", b"ali\xe7e")
    assert parse_state(row).refusal == "client_encoding"


def test_the_question_asks_for_one_cache_and_cannot_be_broken_out_of() -> None:
    assert b"'it''s'::pg_catalog.text" in state_query("it's")


def test_the_question_means_the_same_and_warns_of_nothing_whatever_strings_are_like_in_the_session() -> None:
    assert b"\\" not in state_query("default")  # standard_conforming_strings and escape_string_warning


def test_the_question_is_one_turn_that_leaves_the_unnamed_statement_alone() -> None:
    assembler = TurnAssembler()
    assembler.feed(state_request("default"))
    part = assembler.next_part(within_turn=False, copying=False)
    assert part is not None
    assert part.last
    assert assembler.between_turns
    assert bytes(kind for kind, _, _ in part.messages) == b"CPBECCS"
    messages = decode_part(part)
    assert messages is not None
    names = [_statement(message) for message in messages]
    assert b"" not in names
    assert set(names) == {b"tidegate_state", None}


def _statement(message: FrontendMessage) -> bytes | None:
    match message:
        case Parse(statement) | Bind(_, statement) | Close(Target.STATEMENT, statement):
            return statement
        case _:
            return None


@pytest.mark.parametrize(
    ("shown", "seconds"), [("0", 0), ("250ms", 0.25), ("5s", 5), ("2min", 120), ("1h", 3600), ("3d", 259_200)]
)
def test_the_statement_timeout_in_seconds(shown: str, seconds: float) -> None:
    assert parsed(manners=[shown, None, None, None, None, "notice"]).statement_timeout == seconds


@pytest.mark.parametrize(
    ("value", "level"), [(None, None), ("", None), ("bounded", Consistency.BOUNDED), ("Session", Consistency.SESSION)]
)
def test_the_level_that_the_session_asks_for(value: str | None, level: Consistency | None) -> None:
    state = parsed(manners=["0", value, None, None, None, "notice"])
    assert (state.consistency, state.refusal) == (level, "")


def test_how_a_session_is_served_is_not_in_the_key() -> None:
    assert parsed(manners=["5s", "bounded", None, "1s", None, "debug1"]).key == parsed().key
    assert parsed(manners=["0", None, None, None, None, "debug1"]).debugs
    assert not parsed(manners=["0", None, None, None, None, "log"]).debugs
    assert parsed(listens=True).listens
    assert parsed(listens=True).key == parsed().key


def test_sessions_that_differ_in_nothing_share_one_state() -> None:
    states = SharedStates()

    def read(**changed: Any) -> SessionState:
        return states.read(json.dumps(found(**changed)).encode())

    assert read() is read()
    assert read(TimeZone="UTC") != read()
    assert read(temporary=1) != read()  # not in the key, but in what follows from it
    for number in range(300):  # however many there are, only so many are remembered
        assert read(IntervalStyle=str(number)).refusal == ""
    assert read() == parsed()


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("", None), ("0", 0.0), ("250ms", 0.25), ("10min", 600.0), ("a while", 0.0)]
)
def test_how_old_by_the_clock_an_answer_may_be_in_the_session(value: str | None, seconds: float | None) -> None:
    assert parsed(manners=["0", None, None, value, None, "notice"]).ageing_ttl == seconds
