"""What a portal of an earlier turn runs."""

from services.proxy.session.names import no_names
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import Prepared
from services.shared.pgwire.frontend import Bind, Close, Execute, FrontendMessage, Parse, Query, Sync, Target

NAMES = no_names().having(b"s", Prepared(b"SELECT s", (), b"raw"))
UNNAMED = Prepared(b"SELECT unnamed", (), b"raw")


def bind(portal: bytes, statement: bytes) -> Bind:
    return Bind(portal, statement, (), (), ())


def after(*messages: FrontendMessage, portals: Portals | None = None) -> Portals:
    portals = portals or Portals()
    portals.forward(messages, NAMES, UNNAMED)
    return portals


def test_a_portal_runs_the_statement_that_it_was_bound_from() -> None:
    portals = after(
        bind(b"a", b"s"), bind(b"b", b""), Parse(b"", b"SELECT new"), bind(b"c", b""), Execute(b"a"), Sync()
    )
    assert [portals.text(name) for name in (b"a", b"b", b"c")] == [b"SELECT s", b"SELECT unnamed", b"SELECT new"]


def test_what_is_not_known_is_not_told() -> None:
    portals = after(bind(b"a", b"s"), bind(b"a", b"never heard of"))
    assert portals.text(b"a") is None
    assert portals.text(b"none") is None


def test_portals_that_were_closed_or_ended_run_nothing() -> None:
    portals = after(bind(b"a", b"s"), bind(b"", b"s"), Close(Target.PORTAL, b"a"), Close(Target.STATEMENT, b"s"))
    assert (portals.text(b"a"), portals.text(b"")) == (None, b"SELECT s")
    after(Query(b"SELECT 1"), portals=portals)
    assert portals.text(b"") is None
    after(bind(b"a", b"s"), portals=portals).end_block()
    assert portals.text(b"a") is None


def test_the_unnamed_portal_of_a_read_that_was_answered_here() -> None:
    portals = Portals()
    portals.answered_here(b"SELECT cached")
    assert portals.text(b"") == b"SELECT cached"
    assert after(Query(b"SELECT 1"), portals=portals).text(b"") is None


def test_there_are_never_more_than_some() -> None:
    portals = after(*(bind(str(number).encode(), b"s") for number in range(2_000)))
    assert portals.text(b"0") == b"SELECT s"
    assert portals.text(b"1999") is None
