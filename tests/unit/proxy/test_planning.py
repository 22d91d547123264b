"""What becomes of a turn before any look at the cache: cacheable with a key, or refused by name; and what it may do."""

import pytest

from services.proxy.planning import ANY_EFFECT, NO_EFFECT, Effect, Plan, plan_turn
from services.proxy.prepared import Prepared
from services.proxy.requests import read_request
from services.proxy.session_state import SessionState
from services.proxy.statements import no_names
from services.proxy.templates import Templates
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from tests.unit.sql.small_catalog import ORDERS, USERS, small_catalog

STATE = SessionState(("pg_catalog", "public"), "00000001", "c0ffee", b"state", "")
READ = b"SELECT name FROM users WHERE id = 7"


@pytest.fixture
def templates() -> Templates:
    templates = Templates()
    templates.use(small_catalog())
    return templates


def planned(
    templates: Templates,
    *messages: FrontendMessage,
    state: SessionState | None = STATE,
    unnamed: Prepared | None = None,
    in_block: bool = False,
) -> Plan:
    names = no_names()
    request = None if in_block else read_request(list(messages), names, unnamed)
    return plan_turn(list(messages), request, names, unnamed, state, templates)


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
    plan = plan_turn(None, None, no_names(), None, STATE, templates)
    assert (bool(plan.refusal), plan.effect) == (True, ANY_EFFECT)


def test_a_statement_behind_a_name_that_is_not_known_may_do_anything(templates: Templates) -> None:
    plan = planned(templates, Bind(b"", b"unknown", (), (), ()), Execute(b""), Sync())
    assert (bool(plan.refusal), plan.effect) == (True, ANY_EFFECT)


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


def test_a_turn_without_a_statement_does_nothing(templates: Templates) -> None:
    assert planned(templates, Sync()).effect == NO_EFFECT
    assert planned(templates, Parse(b"", b"DELETE FROM users"), Sync()).effect == NO_EFFECT


def test_in_a_block_the_effect_is_known_all_the_same(templates: Templates) -> None:
    assert planned(templates, Query(b"DELETE FROM users WHERE id = 7"), in_block=True).effect.writes == frozenset(
        {USERS.oid}
    )
    assert planned(templates, Query(READ), in_block=True).effect == NO_EFFECT


@pytest.mark.parametrize(
    ("text", "session", "names"),
    [
        (b"SET timezone = 'UTC'", True, False),
        (b"DEALLOCATE ALL", True, True),
        (b"discard all", True, True),
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
