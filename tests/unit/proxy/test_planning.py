"""What becomes of a turn before any look at the cache: cacheable with a key, or refused by name; and what it may do."""

from dataclasses import replace

import pytest

from services.proxy.cache.freshness import lasting
from services.proxy.session.block import HeldBlock
from services.proxy.session.follow_up import FollowUp
from services.proxy.session.names import no_names
from services.proxy.session.planning import (
    ANY_EFFECT,
    NO_EFFECT,
    Effect,
    Phase,
    Plan,
    Setting,
    TurnPlan,
    plan_turn,
)
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import LookUp, Prepared
from services.proxy.session.requests import read_requests
from services.proxy.session.state import SessionState
from services.proxy.session.templates import Promise, Templates
from services.proxy.session.turn_summary import summary
from services.proxy.sql.snapshot import Policy
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from services.shared.runtime.settings import Consistency
from tests.unit.sql.small_catalog import ORDERS, USERS, small_catalog, table

STATE = SessionState(("pg_catalog", "public"), "00000001", "c0ffee", b"state", "")
READ = b"SELECT name FROM users WHERE id = 7"
SECURED = b"SELECT v FROM secured WHERE id = 7"
_SECURED = table(20_400, "secured", row_security=True)


@pytest.fixture
def templates() -> Templates:
    templates = Templates()
    policies = {_SECURED.oid: (Policy("by_tenant", True, "v = ('')::text", ("app.Tenant",)),)}
    templates.use(small_catalog(_SECURED, policies=policies))
    return templates


def turn(
    templates: Templates,
    *messages: FrontendMessage,
    state: SessionState | None = STATE,
    unnamed: Prepared | None = None,
    last_state: SessionState | None = None,
    phase: Phase = Phase.OUTSIDE,
    may_hold: bool = True,
) -> TurnPlan:
    setting = Setting(no_names(), unnamed, Portals(), state, last_state, templates, phase, may_hold)
    requests = read_requests(messages, setting.names, unnamed)
    return plan_turn(list(messages), requests, setting)


def planned(
    templates: Templates,
    *messages: FrontendMessage,
    state: SessionState | None = STATE,
    unnamed: Prepared | None = None,
) -> Plan:
    """Plan a turn of one statement."""
    found = turn(templates, *messages, state=state, unnamed=unnamed, may_hold=False)
    if not found.steps:
        return Plan(found.refusal, found.effect)
    (step,) = found.steps
    assert step.plan is not None
    return step.plan


def test_a_cacheable_read_has_a_key(templates: Templates) -> None:
    plan = planned(templates, Query(READ))
    assert (plan.refusal, plan.effect) == ("", NO_EFFECT)
    assert plan.template is not None
    assert plan.template.analysis.relations == (USERS.oid,)
    assert len(plan.key) == 20


def test_texts_that_mean_the_same_share_a_key_and_others_do_not(templates: Templates) -> None:
    key = planned(templates, Query(READ)).key
    assert planned(templates, Query(b"select name  from USERS where id = 7 -- again")).key == key
    assert planned(templates, Query(b"SELECT name FROM users WHERE id = 8")).key != key
    assert planned(templates, Query(b"SELECT name FROM users WHERE id = '7'")).key != key
    other = SessionState(STATE.schemas, "00000001", "c0ffee", b"other", "")
    assert planned(templates, Query(READ), state=other).key != key


def test_another_catalog_is_another_key(templates: Templates) -> None:
    key = planned(templates, Query(READ)).key
    templates.use(small_catalog(relation_parts={USERS.oid: "a column more"}))
    assert planned(templates, Query(READ)).key != key


@pytest.mark.parametrize("refusal", ["standby", "temporary_schema"])
def test_the_sessions_state_may_refuse(templates: Templates, refusal: str) -> None:
    plan = planned(templates, Query(READ), state=SessionState(STATE.schemas, "", "", b"state", refusal))
    assert (plan.refusal, plan.key) == (refusal, b"")


def test_without_a_state_no_name_means_anything_certain(templates: Templates) -> None:
    plan = planned(templates, Query(READ), state=None)
    assert (bool(plan.refusal), plan.key, plan.effect.writes) == (True, b"", None)


@pytest.mark.parametrize(
    "messages",
    [
        [Query(b"SELECT name FROM users WHERE created > 'now'")],
        [Query(b"SELECT name FROM users WHERE created > E'n\\x6fw'")],
        [
            Parse(b"", b"SELECT name FROM users WHERE created > $1"),
            Bind(b"", b"", (), (b"yesterday",), ()),
            Execute(b""),
            Sync(),
        ],
    ],
)
def test_what_speaks_of_now_is_refused(templates: Templates, messages: list[FrontendMessage]) -> None:
    assert planned(templates, *messages).refusal == "relative_time_input"


def test_without_a_catalog_nothing_is_known() -> None:
    plan = planned(Templates(), Query(READ))
    assert (bool(plan.refusal), plan.effect) == (True, ANY_EFFECT)


def test_what_could_not_be_read_may_do_anything(templates: Templates) -> None:
    plan = plan_turn(None, None, Setting(no_names(), None, Portals(), STATE, None, templates))
    assert (bool(plan.refusal), plan.effect) == (True, ANY_EFFECT)


def test_a_statement_behind_a_name_that_is_not_known_may_do_anything(templates: Templates) -> None:
    plan = planned(templates, Bind(b"", b"unknown", (), (), ()), Execute(b""), Sync())
    assert (bool(plan.refusal), plan.effect) == (True, ANY_EFFECT._replace(token=True))


def test_the_effect_of_a_turn_is_that_of_all_its_statements(templates: Templates) -> None:
    insert = Parse(b"", b"INSERT INTO users (id) VALUES ($1)")
    bind = Bind(b"", b"", (), (b"7",), ())
    plan = planned(templates, insert, bind, Execute(b""), bind, Execute(b""), Sync())
    assert plan.refusal
    assert plan.effect.writes == frozenset({USERS.oid})
    into_orders = Parse(b"", b"INSERT INTO orders (id) VALUES ($1)")
    plan = planned(templates, insert, bind, Execute(b""), into_orders, bind, Execute(b""), Sync())
    assert plan.effect.writes == frozenset({USERS.oid, ORDERS.oid})


def test_the_unnamed_statement_of_an_earlier_turn_runs(templates: Templates) -> None:
    earlier = Prepared(b"INSERT INTO users (id) VALUES ($1)", (), b"raw", (USERS.oid,))
    plan = planned(templates, Bind(b"", b"", (), (b"7",), ()), Execute(b"", 5), Sync(), unnamed=earlier)
    assert plan.effect.writes == frozenset({USERS.oid})


def test_a_statement_whose_names_mean_nobody_knows_what_may_write_anything_but_is_no_ddl(templates: Templates) -> None:
    def effect(text: bytes) -> Effect:
        messages = Bind(b"", b"", (), (), ()), Execute(b""), Sync()
        return turn(templates, *messages, unnamed=Prepared(text, (), b"raw", LookUp(("public",), 1, 0))).effect

    assert effect(READ) == Effect(None, session=True)
    assert effect(b"PREPARE s AS SELECT 1") == Effect(None, session=True, names=True)
    assert effect(b"CREATE TABLE fresh (id int)") == Effect(None, session=True, schema=True)


def test_a_turn_without_a_statement_does_nothing(templates: Templates) -> None:
    assert planned(templates, Sync()).effect == NO_EFFECT
    assert planned(templates, Parse(b"", b"DELETE FROM users"), Sync()).effect == NO_EFFECT


def test_in_a_block_of_postgres_the_effect_is_known_all_the_same(templates: Templates) -> None:
    plan = turn(templates, Query(b"DELETE FROM users WHERE id = 7"), phase=Phase.UPSTREAM)
    assert (plan.refusal, plan.effect.writes) == ("in_transaction", frozenset({USERS.oid}))
    assert turn(templates, Query(READ), phase=Phase.UPSTREAM) == TurnPlan(refusal="in_transaction", effect=NO_EFFECT)


def test_behind_a_trigger_in_a_block_a_statement_may_write_anything_but_is_no_ddl(templates: Templates) -> None:
    for text in (READ, b"DELETE FROM users WHERE id = 7"):
        plan = turn(templates, Query(text), state=None, last_state=STATE, phase=Phase.UPSTREAM)
        assert plan.effect == Effect(None, session=True)
    for text in (b"CREATE TABLE t ()", b"DO $$BEGIN END$$"):
        assert turn(templates, Query(text), state=None, last_state=STATE, phase=Phase.UPSTREAM).effect.schema


# -- blocks


def kinds(plan: TurnPlan) -> list[str]:
    return ["read" if step.block is None else step.block.step.value for step in plan.steps]


def extended(*texts: bytes) -> list[FrontendMessage]:
    messages: list[FrontendMessage] = []
    for text in texts:
        messages += [Parse(b"", text), Bind(b"", b"", (), (), ()), Execute(b"")]
    return [*messages, Sync()]


@pytest.mark.parametrize(
    ("text", "phase", "expected"),
    [
        (b"BEGIN", Phase.OUTSIDE, ["begin"]),
        (b"BEGIN", Phase.HELD, []),  # Postgres warns
        (b"BEGIN", Phase.FAILED, []),
        (b"BEGIN", Phase.UPSTREAM, []),
        (b"BEGIN ISOLATION LEVEL SERIALIZABLE", Phase.OUTSIDE, []),
        (b"COMMIT", Phase.OUTSIDE, []),  # Postgres warns
        (b"COMMIT", Phase.HELD, ["commit"]),
        (b"COMMIT", Phase.FAILED, ["commit"]),
        (b"COMMIT", Phase.UPSTREAM, []),
        (b"ROLLBACK", Phase.HELD, ["rollback"]),
        (b"ROLLBACK AND CHAIN", Phase.HELD, []),
        (b"SAVEPOINT a", Phase.HELD, []),
        (b"SET LOCAL timezone = 'UTC'", Phase.HELD, []),
        (READ, Phase.HELD, ["read"]),
        (READ, Phase.FAILED, []),
        (READ, Phase.UPSTREAM, []),
        (b"DELETE FROM users", Phase.HELD, []),
    ],
)
def test_what_is_done_here_depends_on_where_the_session_is(
    templates: Templates, text: bytes, phase: Phase, expected: list[str]
) -> None:
    for messages in ([Query(text)], extended(text)):
        plan = turn(templates, *messages, phase=phase)
        assert kinds(plan) == expected
        assert bool(plan.refusal) != bool(plan.steps)


def _set_in_block(templates: Templates, *texts: bytes, phase: Phase = Phase.HELD) -> TurnPlan:
    state = replace(STATE, settings=(("app.Tenant", b"digest"), ("app.other", None)))
    return turn(templates, *extended(*texts), state=state, phase=phase)


def test_what_a_block_sets_is_held_until_it_ends(templates: Templates) -> None:
    texts = (b"BEGIN", b"SET LOCAL app.tenant = 'a'", SECURED, b"SELECT set_config('app.tenant', 'b', true)", SECURED)
    plan = _set_in_block(templates, *texts, b"COMMIT", SECURED, phase=Phase.OUTSIDE)
    assert [step.setting is not None for step in plan.steps] == [False, True, False, True, False, False, False]
    keys = [step.plan.key for step in plan.steps if step.plan is not None]
    assert len(set(keys)) == 3
    assert keys[2] == _set_in_block(templates, SECURED, phase=Phase.OUTSIDE).steps[0].plan.key  # type: ignore[union-attr]
    named = [step.setting for step in plan.steps if step.setting is not None]
    assert [(held.name, held.value, held.column) for held in named] == [
        ("app.tenant", b"a", ""),
        ("app.tenant", b"b", "set_config"),
    ]
    assert "'a'" not in repr(plan.steps[1].setting)


@pytest.mark.parametrize(
    "text",
    [
        b"SET LOCAL app.other = 'x'",  # it is not there: Postgres would leave it behind, empty
        b"SET LOCAL app.unread = 'x'",
        b"SET app.tenant = 'x'",
    ],
)
def test_what_postgres_has_to_set_sends_the_block(templates: Templates, text: bytes) -> None:
    assert not _set_in_block(templates, text).steps


@pytest.mark.parametrize("phase", [Phase.OUTSIDE, Phase.FAILED, Phase.UPSTREAM])
def test_nothing_is_set_without_a_block_that_is_held_back(templates: Templates, phase: Phase) -> None:
    assert not _set_in_block(templates, b"SET LOCAL app.tenant = 'x'", phase=phase).steps


def test_a_setting_that_the_session_was_not_asked_for_leaves_its_state_unknown(templates: Templates) -> None:
    assert planned(templates, Query(SECURED)).refusal == "session_state_unknown"


def test_a_plan_says_on_which_catalog_it_rests(templates: Templates) -> None:
    assert planned(templates, Query(READ)).catalog == 1
    templates.use(small_catalog())
    assert planned(templates, Query(READ)).catalog == 2


def test_a_begin_is_not_held_back_where_nothing_would_be_cached(templates: Templates) -> None:
    begin = Query(b"BEGIN")
    refused = SessionState(STATE.schemas, "", "", b"state", "standby")
    assert not turn(templates, begin, may_hold=False).steps
    assert not turn(templates, begin, state=None).steps
    assert not turn(templates, begin, state=refused).steps


@pytest.mark.parametrize(
    ("texts", "phase", "expected"),
    [
        ((READ, READ), Phase.OUTSIDE, ["read", "read"]),
        ((b"BEGIN", READ), Phase.OUTSIDE, ["begin", "read"]),
        ((READ, b"BEGIN", READ, b"COMMIT", READ), Phase.OUTSIDE, ["read", "begin", "read", "commit", "read"]),
        ((READ, b"COMMIT", b"BEGIN"), Phase.HELD, ["read", "commit", "begin"]),
        ((b"ROLLBACK", READ), Phase.FAILED, ["rollback", "read"]),
        ((b"BEGIN", b"BEGIN"), Phase.OUTSIDE, []),
        ((READ, b"COMMIT"), Phase.OUTSIDE, []),
        ((READ, b"DELETE FROM users"), Phase.OUTSIDE, []),
        ((b"BEGIN", READ, b"INSERT INTO users (id) VALUES (1)"), Phase.OUTSIDE, []),
    ],
)
def test_a_pipeline_is_taken_apart_if_all_of_it_can_be_done_here(
    templates: Templates, texts: tuple[bytes, ...], phase: Phase, expected: list[str]
) -> None:
    plan = turn(templates, *extended(*texts), phase=phase)
    assert kinds(plan) == expected
    assert [step.message_count for step in plan.steps] == [3] * len(expected)


def test_a_pipeline_that_is_forwarded_has_the_effect_of_all_of_it(templates: Templates) -> None:
    plan = turn(templates, *extended(READ, b"DELETE FROM users WHERE id = 7", b"SET timezone = 'UTC'"))
    assert (plan.effect.writes, plan.effect.session) == (frozenset({USERS.oid}), True)


def test_what_runs_nothing_need_not_be_in_its_block(templates: Templates) -> None:
    assert turn(templates, Parse(b"s", READ), Sync(), phase=Phase.HELD).runs_nothing
    assert turn(templates, Sync(), phase=Phase.HELD).runs_nothing
    assert turn(templates, Query(b" ; -- a ping"), phase=Phase.HELD).runs_nothing
    assert not turn(templates, *extended(b"", b"DELETE FROM users"), phase=Phase.HELD).runs_nothing
    assert not turn(templates, Parse(b"s", READ), Bind(b"", b"s", (), (), ()), Sync(), phase=Phase.HELD).runs_nothing


@pytest.mark.parametrize(
    ("texts", "phase", "block", "expected"),
    [
        ((b"BEGIN",), Phase.OUTSIDE, HeldBlock(b"BEGIN"), (False, FollowUp(begins=b"BEGIN"))),
        ((b"COMMIT",), Phase.HELD, None, (True, FollowUp(ends=True))),
        ((READ,), Phase.HELD, HeldBlock(b"BEGIN"), (True, FollowUp(reads=True))),
        ((READ,), Phase.OUTSIDE, None, (False, None)),
        ((b"BEGIN", READ), Phase.OUTSIDE, HeldBlock(b"BEGIN"), (False, FollowUp(begins=b"BEGIN", reads=True))),
        ((b"BEGIN", READ, b"COMMIT"), Phase.OUTSIDE, None, (False, None)),
        ((READ, b"COMMIT", b"BEGIN"), Phase.HELD, HeldBlock(b"BEGIN"), (True, FollowUp(begins=b"BEGIN", ends=True))),
    ],
)
def test_a_turn_is_summed_up_for_when_it_comes_again(
    templates: Templates,
    texts: tuple[bytes, ...],
    phase: Phase,
    block: HeldBlock | None,
    expected: tuple[bool, FollowUp | None],
) -> None:
    named = [Prepared(text, (), b"raw", None) for text in texts]
    plan = turn(templates, *extended(*texts), phase=phase)
    held_before, follow_up = summary(plan.steps, block)
    assert held_before == expected[0]
    last = plan.steps[-1].request
    assert follow_up == replace(
        expected[1] or FollowUp(),
        sets_unnamed=True,
        unnamed=last.unnamed,
        portal=last if expected[1] is not None and expected[1].reads else None,
    )
    assert last.unnamed is not None
    assert last.unnamed.text == named[-1].text


@pytest.mark.parametrize(
    ("text", "session", "names"),
    [
        (b"SET timezone = 'UTC'", True, False),
        (b"DEALLOCATE ALL", True, False),  # what is only removed does nothing when it is used
        (b"discard all", True, False),
        (b"CALL p()", True, True),
        (b"PREPARE s AS SELECT 1", True, True),
        (b"DO $$BEGIN END$$", True, True),
        (b"BEGIN", False, False),
        (b"SELECT prepare FROM users", False, False),
    ],
)
def test_what_changes_the_session_and_what_names_mean(
    templates: Templates, text: bytes, session: bool, names: bool
) -> None:
    effect = planned(templates, Query(text)).effect
    assert (effect.session, effect.names) == (session, names)


def test_effects_add_up() -> None:
    one, two = Effect(frozenset({1}), session=True), Effect(frozenset({2}), schema=True, names=True)
    assert one.union(two) == Effect(frozenset({1, 2}), session=True, schema=True, names=True)
    assert one.union(ANY_EFFECT) == ANY_EFFECT
    assert NO_EFFECT.union(one) == one


_SESSION, _BOUNDED, _STRONG = Consistency.SESSION, Consistency.BOUNDED, Consistency.STRONG


@pytest.mark.parametrize(
    ("comment", "level", "bound"),
    [
        ("traceparent='00-5bd6'", _BOUNDED, 1.0),
        ("tidegate_consistency='strong'", _STRONG, 1.0),
        ("tidegate_consistency='session', tidegate_max_staleness='2s'", _SESSION, 2.0),
        ("tidegate_max_staleness='200ms'", _BOUNDED, 0.2),
        ("tidegate_max_staleness='0'", _BOUNDED, 0.0),
    ],
)
def test_a_comment_says_how_fresh_its_statement_has_to_be(comment: str, level: Consistency, bound: float) -> None:
    templates = Templates(Promise(_BOUNDED, 1.0))
    templates.use(small_catalog())
    found = planned(templates, Query(READ + f" /* {comment} */".encode())).demand
    assert (found.level, found.max_staleness, found.span) == (level, bound, lasting(bound))


@pytest.mark.parametrize(
    ("comment", "refusal"),
    [
        ("tidegate_skip='1'", "skipped"),
        ("tidegate_consistency='off'", "skipped"),
        ("tidegate_max_stale='1s'", "unknown_directive"),
        ("tidegate_max_staleness='2h'", "unknown_directive"),
        ("tidegate_consistency='stronger'", "unknown_directive"),
    ],
)
def test_a_comment_may_have_its_statement_forwarded(templates: Templates, comment: str, refusal: str) -> None:
    assert planned(templates, Query(READ + f" /* {comment} */".encode())).refusal == refusal


def test_a_comment_changes_no_key(templates: Templates) -> None:
    commented = planned(templates, Query(READ + b" /* traceparent='00-1', tidegate_consistency='bounded' */"))
    assert commented.key == planned(templates, Query(READ)).key != b""
