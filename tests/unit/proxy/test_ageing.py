"""For how long an answer may be served that ages: by whom it is asked for, where, and what the statement asks for."""

from dataclasses import replace

import pytest

from services.proxy.cache.boot_identity import boot_clock_identity
from services.proxy.session.answer_tags import answer_tags
from services.proxy.session.names import no_names
from services.proxy.session.planning import Phase, Plan, Setting, plan_turn
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import Prepared, meaning_of
from services.proxy.session.requests import read_requests
from services.proxy.session.state import SessionState
from services.proxy.session.templates import Promise, Templates
from services.shared.keyspace.canonical import TypeOid
from services.shared.pgwire.frontend import Bind, Execute, Flush, FrontendMessage, Parse, Query, Sync
from services.shared.relation import relation_tag
from services.shared.runtime.settings import Consistency
from tests.unit.sql.small_catalog import column, small_catalog, table

STATE = SessionState(("pg_catalog", "public"), "00000001", "c0ffee", b"state", "")
PROMISE = Promise(Consistency.SESSION, 1.0, ageing_ttl=30.0, clock=b"this machine's")
STEADY = b"SELECT name FROM users"
NOW = b"SELECT name, now() FROM users"
BY_PARAMETER = b"SELECT name FROM users WHERE created > $1"
BY_LITERAL = b"SELECT name FROM users WHERE created > 'today'"
OF_VIEW = b"SELECT v FROM made"


def parsed(text: bytes, *values: bytes) -> list[FrontendMessage]:
    """Return one statement of the extended protocol, without the Sync."""
    return [Parse(b"", text), Bind(b"", b"", (), values, ()), Execute(b"")]


def planned(
    *messages: FrontendMessage,
    promise: Promise = PROMISE,
    phase: Phase = Phase.OUTSIDE,
    whole: bool = True,
    unnamed: bytes | None = None,
    state: SessionState = STATE,
) -> Plan:
    """Plan the last statement of a turn."""
    templates = Templates(promise)
    templates.use(small_catalog(table(20_300, "made", kind="m", publication_entry=None)))
    before = None
    if unnamed is not None:
        meaning = templates.find(unnamed, Setting(no_names(), None, Portals(), STATE, None, templates).name_space)
        assert meaning is not None
        before = Prepared(unnamed, (), b"", meaning_of(meaning, STATE.reading))
    setting = Setting(no_names(), before, Portals(), state, None, templates, phase, whole=whole)
    turn = plan_turn(list(messages), read_requests(messages, setting.names, before), setting)
    if not turn.steps:
        return Plan(turn.refusal, turn.effect)
    plan = turn.steps[-1].plan
    assert plan is not None
    return plan


@pytest.mark.parametrize(
    ("messages", "ttl"),
    [
        ([Query(STEADY)], float("inf")),
        ([Query(NOW)], 30.0),
        ([*parsed(NOW), Sync()], 30.0),
        ([*parsed(BY_PARAMETER, b"2026-01-01"), Sync()], float("inf")),
        ([*parsed(BY_PARAMETER, b"yesterday"), Sync()], 30.0),
        ([Query(BY_LITERAL)], 30.0),
        ([*parsed(BY_LITERAL), Sync()], 30.0),
        ([Query(OF_VIEW)], 30.0),
        ([Query(NOW + b" /* tidegate_ageing_ttl='5s' */")], 5.0),
        ([Query(NOW + b" /* tidegate_ageing_ttl='1h' */")], 30.0),
        ([Query(NOW + b" /* tidegate_max_staleness='2s' */")], 2.0),
        ([Query(NOW + b" /* tidegate_max_staleness='2s', tidegate_ageing_ttl='200ms' */")], 0.2),
        ([Query(NOW + b" /* tidegate_consistency='session' */")], 1.0),
        ([Query(STEADY + b" /* tidegate_ageing_ttl='0' */")], float("inf")),
    ],
)
def test_what_ages_has_a_time_and_nothing_else_has(messages: list[FrontendMessage], ttl: float) -> None:
    plan = planned(*messages)
    assert (plan.refusal, plan.ttl, plan.ages) == ("", ttl, ttl != float("inf"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [(NOW, "current_time"), (BY_LITERAL, "relative_time_input"), (OF_VIEW, "materialized_view")],
)
def test_by_default_nothing_that_ages_is_cached(text: bytes, reason: str) -> None:
    plan = planned(Query(text), promise=replace(PROMISE, ageing_ttl=0.0))
    assert (plan.refusal, plan.key) == (reason, b"")


@pytest.mark.parametrize("text", [NOW, BY_LITERAL])
def test_inside_a_transaction_the_clock_stands_still(text: bytes) -> None:
    assert planned(Query(text), phase=Phase.HELD).refusal == "frozen_now"
    assert planned(*parsed(text), *parsed(STEADY), Sync()).refusal == "frozen_now"
    assert planned(*parsed(STEADY), *parsed(text), Sync()).refusal == "frozen_now"
    assert planned(*parsed(b"BEGIN"), *parsed(text), Sync()).refusal == "frozen_now"
    assert planned(*parsed(text), Flush(), whole=False).refusal == "frozen_now"
    assert planned(*parsed(text), Sync(), whole=False).refusal == "frozen_now"


def test_a_materialized_view_is_read_where_a_table_is() -> None:
    assert planned(Query(OF_VIEW), phase=Phase.HELD).refusal == ""
    assert planned(*parsed(OF_VIEW), *parsed(OF_VIEW), Sync()).refusal == ""
    assert planned(*parsed(OF_VIEW), Flush(), whole=False).refusal == ""


def test_a_literal_means_what_it_meant_when_it_was_parsed() -> None:
    again: list[FrontendMessage] = [Bind(b"", b"", (), (), ()), Execute(b""), Sync()]
    assert planned(*again, unnamed=BY_LITERAL).refusal == "relative_time_input"
    assert planned(*again, unnamed=NOW).refusal == ""


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ("tidegate_ageing_ttl='0'", "skipped"),
        ("tidegate_max_staleness='0'", "skipped"),
        ("tidegate_consistency='strong'", "current_time"),
        ("tidegate_ageing_ttl='soon'", "unknown_directive"),
    ],
)
def test_a_statement_may_ask_for_none(comment: str, reason: str) -> None:
    assert planned(Query(NOW + f" /* {comment} */".encode())).refusal == reason


@pytest.mark.parametrize(
    ("of_session", "of_statement", "ttl"), [(5.0, "", 5.0), (60.0, "", 30.0), (5.0, "2s", 2.0), (2.0, "5s", 2.0)]
)
def test_of_what_cache_session_and_statement_say_the_least_counts(
    of_session: float, of_statement: str, ttl: float
) -> None:
    comment = f" /* tidegate_ageing_ttl='{of_statement}' */".encode() if of_statement else b""
    state = replace(STATE, ageing_ttl=of_session)
    assert planned(Query(NOW + comment), state=state).ttl == ttl
    assert planned(Query(NOW + comment), state=replace(STATE, ageing_ttl=0.0)).refusal == "skipped"
    assert planned(Query(STEADY + comment), state=replace(STATE, ageing_ttl=0.0)).refusal == ""


def test_only_who_reads_the_same_clock_shares_what_ages() -> None:
    elsewhere = replace(PROMISE, clock=b"another machine's")
    assert planned(Query(NOW)).key == planned(Query(NOW + b" -- again")).key
    assert planned(Query(NOW)).key != planned(Query(NOW), promise=elsewhere).key
    assert planned(Query(STEADY)).key == planned(Query(STEADY), promise=elsewhere).key


def test_this_machine_has_a_clock_with_a_name() -> None:
    assert boot_clock_identity() == boot_clock_identity()
    assert len(boot_clock_identity()) >= 36  # a boot id is a UUID


@pytest.mark.parametrize(
    ("condition", "is_narrow"),
    [
        ("created > '2026-01-01 00:00:00+00'", True),
        ("created > 'yesterday'", False),
        ("created BETWEEN 'yesterday' AND 'today'", False),
        ("created > now() - interval '1 day'", False),
        ("day = '2026-01-01'", True),
        ("day = 'today'", False),
        ("day IN ('2026-01-01', 'tomorrow')", False),
        ("day = current_date", False),
        ("day = current_date AND id = 7", True),
        ("day = 'now' AND id = 7", True),
        ("id = 7 OR id = 8", True),
        ("id = 7 OR day = current_date", False),
        ("id = 7 OR day = 'today'", False),
        ("id = 7 OR created > 'yesterday'", False),
        ("(id = 7 AND day = 'today') OR (id = 8 AND created < now())", True),
    ],
)
def test_a_moment_relative_to_now_is_no_value_of_a_tag(condition: str, *, is_narrow: bool) -> None:
    """Row changes say which day it is: they would never meet a tag that says `today`."""
    day = replace(column("day", "date"), type_oid=TypeOid.DATE)
    columns = (column("id", "int4"), day, column("created", "timestamptz"))
    names = frozenset(each.name for each in columns)
    days = table(20_301, "days", *columns, identity="f", identity_columns=names)
    templates = Templates(PROMISE)
    templates.use(small_catalog(days))
    text = f"SELECT * FROM days WHERE {condition}".encode()
    setting = Setting(no_names(), None, Portals(), STATE, None, templates)
    (step,) = plan_turn([Query(text)], read_requests([Query(text)], setting.names, None), setting).steps
    assert step.plan is not None
    assert step.plan.template is not None
    found = answer_tags(step.plan.template.analysis, step.plan.template.lexed, step.request, b"")
    assert (relation_tag(days.oid) not in found.tags) == is_narrow
