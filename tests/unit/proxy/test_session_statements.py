"""Which statements Postgres has, what names mean in a turn under way, and what a failure takes back."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.proxy.session.exchange import Ack, ParseAck, Segment
from services.proxy.session.names import no_names
from services.proxy.session.prepared import LookUp, Prepared
from services.proxy.session.statements import SessionStatements
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

BIND = Bind(b"", b"", (), (), ())
EXECUTE, SYNC, FLUSH = Execute(b""), Sync(), Flush()
QUERY = Query(b"SELECT 1")
DESCRIBE_UNNAMED = Describe(Target.STATEMENT, b"")
CLOSE_UNNAMED = Close(Target.STATEMENT, b"")


def parse(name: bytes, sql: bytes) -> Parse:
    return Parse(name, sql, (23,))


def prepared(message: Parse) -> Prepared:
    return Prepared(message.sql, message.parameter_types, message.encode())


CACHED = parse(b"", b"SELECT cached")
A, B = parse(b"", b"SELECT a"), parse(b"", b"SELECT b")
NAMED = parse(b"s", b"SELECT s")


class Session:
    """A session's statements, and what it forwards."""

    def __init__(self) -> None:
        self.statements = SessionStatements(no_names())
        self.first = b""

    def part(self, *messages: FrontendMessage) -> tuple[Prepared | None, list[Ack]]:
        """Forward a part; return what was sent in front of it, and what Postgres acknowledges if all goes well."""
        first, caught_up = self.statements.catch_up(messages)
        self.first = first
        swallowed = [ack.prepared for ack in caught_up if isinstance(ack, ParseAck)]
        return (swallowed[0] if swallowed else None), [*caught_up, *self.statements.expected(messages)]

    def turn(self, *messages: FrontendMessage, acknowledged: int | None = None) -> Prepared | None:
        """Forward a whole turn of which Postgres acknowledges so many messages; None: all. Return what was missing."""
        missing, acks = self.part(*messages)
        self.statements.settle(acks[:acknowledged])
        return missing

    @property
    def unnamed(self) -> bytes | None:
        found = self.statements.unnamed
        return None if found is None else found.text

    def meaning(self, name: bytes) -> bytes | None:
        found = self.statements.names.get(name)
        return None if found is None else found.text


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def answered(session: Session) -> Session:
    """A session whose unnamed statement was parsed by a turn that the cache answered."""
    session.statements.answered_here(prepared(CACHED))
    return session


def test_acks_are_expected_in_the_order_of_their_messages(session: Session) -> None:
    _, acks = session.part(NAMED, Close(Target.PORTAL, b"p"), A, BIND, EXECUTE, Close(Target.STATEMENT, b"s"), SYNC)
    assert [ack.name for ack in acks] == [b"s", None, b"", b"s"]


def test_a_parse_that_went_well_is_known(session: Session) -> None:
    session.turn(NAMED, A, SYNC)
    assert (session.meaning(b"s"), session.unnamed) == (b"SELECT s", b"SELECT a")
    known = session.statements.names.get(b"s")
    assert known == prepared(NAMED)


def test_a_parse_that_failed_changes_nothing(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.turn(parse(b"t", b"SELECT t"), parse(b"s", b"SELECT other"), SYNC, acknowledged=1)
    assert (session.meaning(b"t"), session.meaning(b"s")) == (b"SELECT t", b"SELECT s")


def test_a_name_may_be_closed_and_mean_something_else(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.turn(Close(Target.STATEMENT, b"s"), parse(b"s", b"SELECT other"), SYNC)
    assert session.meaning(b"s") == b"SELECT other"
    session.turn(Close(Target.STATEMENT, b"s"), SYNC)
    assert session.meaning(b"s") is None


def test_a_close_that_was_skipped_changes_nothing(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.turn(A, Close(Target.STATEMENT, b"s"), SYNC, acknowledged=0)
    assert session.meaning(b"s") == b"SELECT s"


def test_a_portals_close_means_no_statement(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.turn(Close(Target.PORTAL, b"s"), SYNC)
    assert session.meaning(b"s") == b"SELECT s"


# -- the turn under way


def test_the_further_parts_of_a_turn_know_what_the_first_ones_parsed(session: Session) -> None:
    """Parse and Flush, then Bind: what the Bind runs must not be taken for what the name meant before."""
    session.turn(A, NAMED, SYNC)
    session.part(B, Close(Target.STATEMENT, b"s"), parse(b"s", b"DELETE"), FLUSH)
    assert session.unnamed == b"SELECT b"
    assert session.meaning(b"s") == b"DELETE"


def test_what_was_known_of_a_turn_under_way_is_taken_back_when_it_fails(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.part(parse(b"t", b"SELECT t"), Close(Target.STATEMENT, b"s"), FLUSH)
    session.part(parse(b"u", b"SELECT u"), SYNC)
    assert session.meaning(b"u") == b"SELECT u"
    session.statements.settle([])
    assert [session.meaning(name) for name in (b"s", b"t", b"u")] == [b"SELECT s", None, None]


# -- the unnamed statement that only the proxy knows


@pytest.mark.parametrize(
    "messages",
    [
        (BIND, EXECUTE, SYNC),
        (DESCRIBE_UNNAMED, SYNC),
        (NAMED, BIND, SYNC),
        (Describe(Target.PORTAL, b""), BIND, SYNC),
        (NAMED, A, SYNC),  # when the first fails, the second is skipped and the old statement stays
    ],
)
def test_a_turn_that_uses_it_needs_it_upstream(answered: Session, messages: Sequence[FrontendMessage]) -> None:
    assert answered.part(*messages)[0] == prepared(CACHED)


def test_a_part_that_could_not_be_read_may_use_it(answered: Session) -> None:
    """A value that is too long to hold: Postgres would run whatever it had there before."""
    assert answered.part()[0] == prepared(CACHED)


@pytest.mark.parametrize(
    "messages",
    [
        (SYNC,),
        (A, BIND, EXECUTE, SYNC),
        (QUERY,),
        (CLOSE_UNNAMED, BIND, SYNC),
        (Bind(b"", b"s", (), (), ()), EXECUTE, SYNC),
        (Describe(Target.PORTAL, b""), Describe(Target.STATEMENT, b"s"), SYNC),
    ],
)
def test_a_turn_that_does_not_use_it_needs_nothing(answered: Session, messages: Sequence[FrontendMessage]) -> None:
    assert answered.part(*messages)[0] is None


def test_it_is_sent_once(answered: Session) -> None:
    missing, acks = answered.part(BIND, EXECUTE, FLUSH)
    assert missing is not None
    assert answered.part(BIND, EXECUTE, SYNC)[0] is None
    answered.statements.settle([ParseAck(b"", missing, swallowed=True), *acks])
    assert answered.unnamed == b"SELECT cached"
    assert answered.turn(BIND, EXECUTE, SYNC) is None


def test_it_is_sent_again_when_it_did_not_arrive(answered: Session) -> None:
    assert answered.turn(BIND, EXECUTE, SYNC, acknowledged=0) is not None
    assert answered.unnamed == b"SELECT cached"
    assert answered.turn(BIND, EXECUTE, SYNC) is not None


def test_it_is_not_sent_into_a_turn_that_has_parsed_another(answered: Session) -> None:
    """Parse and Flush, then Bind: the Bind means the new statement, not the one that the cache knew."""
    assert answered.part(A, FLUSH)[0] is None
    assert answered.part(BIND, EXECUTE, SYNC)[0] is None


def test_a_parse_that_was_skipped_leaves_it(answered: Session) -> None:
    answered.turn(NAMED, A, SYNC, acknowledged=0)
    assert answered.unnamed == b"SELECT cached"
    assert answered.part(BIND)[0] == prepared(CACHED)


def test_a_parse_in_a_later_part_may_be_skipped_and_leave_it(answered: Session) -> None:
    assert answered.part(NAMED, FLUSH)[0] is None
    assert answered.part(A, SYNC)[0] == prepared(CACHED)


def test_a_parse_that_failed_removes_it_though_postgres_never_had_it(answered: Session) -> None:
    assert answered.turn(A, BIND, EXECUTE, SYNC, acknowledged=0) is None
    assert answered.unnamed is None
    assert answered.part(BIND)[0] is None


def test_after_a_parse_that_failed_only_postgres_knows(session: Session) -> None:
    session.turn(A, SYNC)
    session.turn(B, SYNC, acknowledged=0)
    assert session.unnamed is None
    assert session.part(BIND)[0] is None


@pytest.mark.parametrize("turn", [(QUERY,), (CLOSE_UNNAMED, SYNC)])
def test_a_simple_query_or_a_close_forgets_it(answered: Session, turn: Sequence[FrontendMessage]) -> None:
    answered.turn(*turn)
    assert answered.unnamed is None
    assert answered.turn(BIND, SYNC) is None


def test_a_query_behind_a_parse_in_the_same_turn_forgets_what_was_parsed(session: Session) -> None:
    session.part(A, BIND, EXECUTE)
    _, acks = session.part(QUERY)
    assert acks == []
    session.statements.settle([])
    assert session.unnamed is None


def test_an_answer_from_the_cache_to_a_simple_query_forgets_it(answered: Session) -> None:
    answered.statements.answered_here(None)
    assert answered.unnamed is None
    assert answered.part(BIND)[0] is None


def test_the_same_statement_answered_again_is_still_not_upstream(answered: Session) -> None:
    answered.statements.answered_here(answered.statements.unnamed)
    assert answered.part(BIND)[0] == prepared(CACHED)


def test_what_is_upstream_stays_there_when_the_cache_answers_the_same_object(session: Session) -> None:
    session.turn(A, SYNC)
    session.statements.answered_here(session.statements.unnamed)
    assert session.part(BIND)[0] is None


def test_to_forget_keeps_only_what_postgres_does_not_have(answered: Session) -> None:
    answered.turn(NAMED, SYNC)
    answered.statements.forget()
    assert answered.meaning(b"s") is None
    assert answered.unnamed == b"SELECT cached"
    answered.turn(A, SYNC)
    answered.statements.forget()
    assert answered.unnamed is None


def test_in_doubt_no_name_is_known_until_postgres_has_said_which_are_there(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.statements.doubt()
    assert session.meaning(b"s") is None
    assert session.statements.any_named
    session.statements.confirm({b"s", b"another"})
    assert session.meaning(b"s") == NAMED.sql


def test_a_name_that_is_not_there_any_more_means_nothing(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.statements.doubt()
    session.statements.confirm({b"another"})
    assert session.meaning(b"s") is None
    assert not session.statements.any_named


def test_what_was_parsed_since_the_doubt_counts(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.statements.doubt()
    session.turn(parse(b"s", b"SELECT newer"), SYNC)
    session.statements.doubt()
    session.statements.confirm({b"s"})
    assert session.meaning(b"s") == b"SELECT newer"


def test_what_was_forgotten_does_not_come_back(session: Session) -> None:
    session.turn(NAMED, SYNC)
    session.statements.forget()
    session.statements.confirm({b"s"})
    assert session.meaning(b"s") is None


def test_a_simple_query_answered_here_closes_the_unnamed_statement_upstream_before_it_is_used(session: Session) -> None:
    session.turn(A, SYNC)
    session.statements.answered_here(None)
    session.turn(BIND, EXECUTE, SYNC)
    assert session.first == Close(Target.STATEMENT, b"").encode()
    session.turn(BIND, EXECUTE, SYNC)
    assert session.first == b""


# -- reads of one turn that were sent as transactions of their own


def segments(session: Session, *reads: Sequence[FrontendMessage], failing: int, acknowledged: int) -> None:
    """Forward reads side by side; the one with this number fails after so many acknowledgements, the rest goes well."""
    sent = [Segment(session.part(*messages)[1]) for messages in reads]
    for number, segment in enumerate(sent):
        segment.failed = number == failing
        for _ in range(acknowledged if segment.failed else segment.due):
            segment.acknowledged()
    session.statements.settle_segments(sent)


READ_A, READ_B = (A, BIND, EXECUTE), (B, BIND, EXECUTE)
READ_S = (Bind(b"", b"s", (), (), ()), EXECUTE)


def test_when_all_goes_well_the_last_parse_holds(session: Session) -> None:
    segments(session, READ_A, READ_B, failing=-1, acknowledged=0)
    assert session.unnamed == b"SELECT b"
    assert session.part(BIND)[0] is None


def test_a_parse_behind_a_failure_was_skipped_for_the_client_though_postgres_has_it(session: Session) -> None:
    segments(session, READ_A, READ_B, failing=0, acknowledged=1)
    assert session.unnamed == b"SELECT a"
    assert session.part(BIND)[0] == prepared(A)


def test_behind_a_parse_that_failed_there_is_no_unnamed_statement(session: Session) -> None:
    session.turn(A, SYNC)
    segments(session, READ_B, READ_A, failing=0, acknowledged=0)
    assert session.unnamed is None
    session.part(BIND)
    assert session.first == CLOSE_UNNAMED.encode()


def test_a_failure_in_the_last_one_leaves_what_was_parsed_before(session: Session) -> None:
    segments(session, READ_A, READ_S, failing=1, acknowledged=0)
    assert session.unnamed == b"SELECT a"
    assert session.part(BIND)[0] is None


def test_it_is_known_whether_the_unnamed_statement_is_known(session: Session) -> None:
    known = [session.statements.knows_unnamed]
    session.turn(A, SYNC)
    known.append(session.statements.knows_unnamed)
    session.turn(QUERY)
    known.append(session.statements.knows_unnamed)
    session.statements.answered_here(None)
    known.append(session.statements.knows_unnamed)
    assert known == [False, True, False, True]  # only Postgres knows; a statement; only Postgres; nothing, for certain


def test_what_was_prepared_behind_own_ddl_is_looked_up_later() -> None:
    later = LookUp(("public",), 1, 0)
    known = Prepared(b"SELECT known", (), b"raw", (1,))
    session = SessionStatements(no_names())
    session.names = session.names.having(b"known", known)
    session.expected([Parse(b"s", b"SELECT s"), Parse(b"", b"SELECT unnamed")], lambda _: later)
    found = session.names.get(b"s")
    assert found is not None
    assert found.meaning == later
    session.look_up(lambda prepared: replace(prepared, meaning=(len(prepared.text),)))
    found = session.names.get(b"s")
    assert (found.meaning if found else None, session.unnamed.meaning if session.unnamed else None) == ((8,), (14,))
    assert session.names.get(b"known") is known
    names = session.names
    session.look_up(lambda prepared: replace(prepared, meaning=None))  # there is nothing left
    assert session.names is names
