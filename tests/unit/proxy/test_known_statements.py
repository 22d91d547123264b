"""What is known of statements by what names them: found once, as long as nothing it rests on is another."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.proxy.session.demand import demand
from services.proxy.session.known_statements import KnownStatements, depends_on_values
from services.proxy.session.names import Names, no_names
from services.proxy.session.planning import Effect, Plan
from services.proxy.session.prepared import Prepared, meaning_of
from services.proxy.session.requests import Request, decode_turn, read_requests
from services.proxy.session.state import SessionState
from services.proxy.session.templates import USUAL, Templates
from services.proxy.session.turn_form import NO_VALUES, Bound, read_bound, turn_form
from services.proxy.sql.snapshot import Policy
from services.proxy.sql.verdict import NameSpace
from services.shared.pgwire.frontend import Bind, Execute, Parse, Query, Sync
from services.shared.runtime.settings import Consistency
from tests.unit.proxy.test_planning import STATE
from tests.unit.sql.small_catalog import USERS, small_catalog, table

READ = b"SELECT name FROM users WHERE id = $1"
SECURED = table(20_400, "secured", row_security=True)
POLICIES = {SECURED.oid: (Policy("by_tenant", True, "v = ('')::text", ("app.Tenant",)),)}


class Worker:
    """The templates of a worker, and what it knows of the statements of one kind of session."""

    def __init__(self, templates: Templates | None = None) -> None:
        self.templates = templates or Templates()
        if not self.templates.number:
            self.templates.use(small_catalog(SECURED, policies=POLICIES))
        self.known = KnownStatements(NameSpace(STATE.schemas))
        self.read = 0  # how often a turn was read message by message
        self.names: Names = no_names()

    def prepare(self, name: bytes, text: bytes, *, reading: int = STATE.reading, names: bool = True) -> None:
        template = self.templates.find(text, NameSpace(STATE.schemas))
        assert template is not None
        meaning = meaning_of(template, reading) if names else None
        self.names = self.names.having(name, Prepared(text, (), b"raw", meaning))

    def plan(self, data: bytes, state: SessionState = STATE) -> Plan | str | None:
        """Plan a turn: a read, or why it is forwarded; None where nothing is known without planning it all."""
        form = turn_form(data)
        assert form is not None

        def read() -> Request | None:
            self.read += 1
            messages = decode_turn(data)
            found = None if messages is None else read_requests(messages, self.names, None)
            return found[0][0] if found else None

        found = self.known.find(form, self.templates, state, read)
        if found is None:
            return None
        route, template = found
        if route.refusal:
            return route.refusal
        bound = NO_VALUES if form.simple else read_bound(data, form)
        assert bound is not None
        return route.plan(form, template, bound, state, demand(self.templates.promise, state))

    def effect(self, data: bytes) -> Effect:
        form = turn_form(data)
        assert form is not None
        found = self.known.find(form, self.templates, STATE, lambda: None)
        assert found is not None
        return found[0].effect

    def key(self, data: bytes, state: SessionState = STATE) -> bytes:
        plan = self.plan(data, state)
        assert isinstance(plan, Plan)
        return plan.key


def simple(text: bytes) -> bytes:
    return Query(text).encode()


def extended(text: bytes, value: bytes = b"7") -> bytes:
    messages = (Parse(b"", text), Bind(b"", b"", (), (value,), ()), Execute(b""), Sync())
    return b"".join(message.encode() for message in messages)


def named(name: bytes, value: bytes = b"7") -> bytes:
    messages = (Bind(b"", name, (), (value,), ()), Execute(b""), Sync())
    return b"".join(message.encode() for message in messages)


def test_a_statement_is_looked_at_once_whatever_its_values_are() -> None:
    worker = Worker()
    worker.prepare(b"s", READ)
    turns: list[Callable[[bytes], bytes]] = [
        lambda value: simple(READ.replace(b"$1", value)),
        lambda value: extended(READ, value),
        lambda value: named(b"s", value),
    ]
    for turn in turns:
        before = worker.read
        assert len({worker.key(turn(value)) for value in (b"1", b"2", b"3", b"1")}) == 3
        assert worker.read == before + 1


def test_another_catalog_has_all_looked_at_again() -> None:
    worker = Worker()
    worker.prepare(b"s", READ)
    turns = (simple(b"SELECT name FROM users WHERE id = 7"), extended(READ), named(b"s"))
    before = [worker.key(turn) for turn in turns]
    worker.templates.use(small_catalog(relation_parts={USERS.oid: "another column"}))
    assert not {worker.key(turn) for turn in turns} & set(before)
    assert worker.read == 6


def test_what_was_a_read_is_not_one_by_another_catalog() -> None:
    worker = Worker()
    worker.prepare(b"s", READ)
    turns = (simple(b"SELECT name FROM users WHERE id = 7"), extended(READ), named(b"s"))
    assert all(isinstance(worker.plan(turn), Plan) for turn in turns)
    foreign = replace(USERS, kind="f")
    worker.templates.use(
        small_catalog(
            relations={
                (one.schema, one.name): one for one in small_catalog().relations.values() if one.oid != USERS.oid
            }
            | {("public", "users"): foreign}
        )
    )
    assert not any(isinstance(worker.plan(turn), Plan) for turn in turns)


def test_a_name_that_means_what_nobody_knows_is_not_known() -> None:
    worker = Worker()
    worker.prepare(b"unknown", READ, names=False)
    worker.prepare(b"otherwise", b"SELECT name FROM users WHERE created > '01/02/2024' AND id = $1", reading=7)
    assert worker.plan(named(b"unknown")) is None
    assert worker.plan(named(b"otherwise")) is None
    assert worker.plan(named(b"nothing")) is None


def test_a_prepared_statement_goes_on_to_mean_the_relation_that_it_meant() -> None:
    worker = Worker()
    worker.prepare(b"s", READ)
    assert isinstance(worker.plan(named(b"s")), Plan)
    shadow = table(20_999, "users", schema="pg_catalog")
    relations = {**small_catalog().relations, ("pg_catalog", "users"): shadow}
    worker.templates.use(small_catalog(shadow, relations=relations))
    assert worker.plan(named(b"s")) is None


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT name FROM users WHERE id = $1 /* tidegate_skip */",
        b"SELECT name FROM users WHERE id = $1 /* tidegate_nonsense */",
        b"SELECT current_setting('tidegate.token'), $1",
        b"SELECT name FROM users WHERE created > 'now' AND id = $1",
        b"SELECT set_config('work_mem', $1, false)",
        b"SELECT $1; SELECT 2",
        b"CREATE TABLE late AS SELECT $1",
        b"SELECT $1 INTO late",
        b"CALL something($1)",
        b"EXPLAIN SELECT $1",
        b"SELECT 'not closed",
    ],
)
def test_what_more_has_to_be_asked_of_is_planned_each_time(text: bytes) -> None:
    worker = Worker()
    worker.prepare(b"s", text)
    for turn in (simple(text.replace(b"$1", b"7")), extended(text), named(b"s")):
        assert worker.plan(turn) is None


def test_what_asks_for_something_is_not_taken_for_a_text_of_its_template_that_does_not() -> None:
    worker = Worker()
    plain, asking = b"SELECT name FROM users WHERE id = 7", b"SELECT name FROM users WHERE id = 7 /* tidegate_skip */"
    assert isinstance(worker.plan(simple(plain)), Plan)
    assert worker.plan(simple(asking)) is None
    moment = b"SELECT name FROM users WHERE name = %s"
    assert isinstance(worker.plan(simple(moment % b"'x'")), Plan)
    assert worker.plan(simple(moment % b"'now'")) is None


def test_a_moment_relative_to_now_among_the_values_is_told() -> None:
    assert depends_on_values(Bound((), (None, b"7", b"tomorrow"), ()))
    assert not depends_on_values(Bound((), (None, b"7", b"2024-01-01"), ()))


def test_what_is_forwarded_has_its_reason_and_its_effect() -> None:
    worker = Worker()
    write = b"UPDATE users SET name = 'x' WHERE id = $1"
    worker.prepare(b"s", write)
    for turn in (simple(write.replace(b"$1", b"7")), extended(write), named(b"s")):
        assert worker.plan(turn) == "not_a_select"
        assert worker.effect(turn) == Effect(frozenset((USERS.oid,)))


def test_each_session_has_the_level_that_it_asks_for() -> None:
    worker = Worker()
    for state in (STATE, replace(STATE, consistency=Consistency.BOUNDED), replace(STATE, max_staleness=7.0)):
        plan = worker.plan(extended(READ), state)
        assert isinstance(plan, Plan)
        assert plan.demand == demand(USUAL, state)


def test_settings_that_policies_read_are_in_the_key() -> None:
    worker = Worker()
    text = b"SELECT v FROM secured WHERE id = $1"
    state = replace(STATE, settings=(("app.Tenant", b"one"),))
    assert worker.plan(extended(text)) is None  # of which the session was not asked
    other = Worker(worker.templates)
    key = other.key(extended(text), state)
    another = Worker(worker.templates)
    assert another.key(extended(text), replace(state, settings=(("app.Tenant", b"two"),))) != key


def test_what_is_known_is_bounded() -> None:
    worker = Worker()
    for number in range(2_500):
        worker.plan(extended(b"SELECT name FROM users WHERE id = %d AND id = $1" % number))
    assert len(worker.known._routes) <= 1_000
