"""What statement names mean: an interned value that sessions share."""

import gc
import weakref

from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.session.names import Names, no_names
from services.proxy.session.prepared import Prepared

ONE, TWO = Prepared(b"SELECT 1", (), b"raw 1"), Prepared(b"SELECT 2", (23,), b"raw 2")


def a_reply() -> Reply:
    return Reply(Entry(b"k", Answer(b"", b"", b""), (), (), (), (), 0.0), b"payload", None)


def test_names_mean_what_was_parsed() -> None:
    names = no_names().having(b"a", ONE).having(b"b", TWO)
    assert (names.get(b"a"), names.get(b"b"), names.get(b"c")) == (ONE, TWO, None)
    assert names.having(b"a", TWO).get(b"a") == TWO
    assert names.get(b"a") == ONE


def test_the_same_meaning_is_the_same_object_however_it_came_about() -> None:
    root = no_names()
    both = root.having(b"a", ONE).having(b"b", TWO)
    assert root.having(b"b", TWO).having(b"a", ONE) is both
    assert both.having(b"c", ONE).without(b"c") is both
    assert both.without(b"a").without(b"b") is root
    assert both.without(b"never parsed") is both
    assert both.having(b"a", Prepared(ONE.text, ONE.parameter_types, ONE.raw)) is both


def test_other_types_or_names_are_another_meaning() -> None:
    root = no_names()
    named = root.having(b"a", ONE)
    assert root.having(b"b", ONE) is not named
    assert root.having(b"a", Prepared(ONE.text, (23,), ONE.raw)) is not named
    assert named.context(b"state") is not root.context(b"state")


def test_of_names_only_those_that_exist_are_left() -> None:
    root = no_names()
    one, both = root.having(b"a", ONE), root.having(b"a", ONE).having(b"b", TWO)
    assert both.only({b"a", b"c"}) is one
    assert both.only({b"a", b"b", b"c"}) is both
    assert both.only(frozenset()) is root


def test_of_earlier_names_those_are_taken_over_that_mean_nothing_newer() -> None:
    root = no_names()
    earlier, later = root.having(b"a", ONE).having(b"b", ONE), root.having(b"b", TWO)
    assert later.over(earlier) is root.having(b"a", ONE).having(b"b", TWO)
    assert later.over(root) is later
    assert root.over(earlier) is earlier


def test_replies_are_kept_by_session_state() -> None:
    names = no_names()
    names.context(b"state")[b"turn"] = a_reply()
    assert b"turn" in names.context(b"state")
    assert names.context(b"other state") == {}


def test_a_meaning_that_no_session_has_is_forgotten() -> None:
    root = no_names()
    gone = weakref.ref(root.having(b"a", ONE))
    gc.collect()
    assert gone() is None
    assert len(root._interned) == 1


def test_empty_tables_of_many_session_states_are_let_go() -> None:
    names = no_names()
    names.context(b"kept")[b"turn"] = a_reply()
    for number in range(10_000):
        names.context(b"%d" % number)
    assert len(names.replies) <= 256
    assert b"turn" in names.context(b"kept")


def test_beyond_a_number_of_names_further_ones_are_not_known() -> None:
    names: Names = no_names()
    for number in range(1_000):
        names = names.having(b"%d" % number, ONE)
    further = names.having(b"one more", ONE)
    assert further.get(b"one more") is None
    assert further is names
    # A name that now means something else must not keep its old meaning.
    assert names.having(b"7", TWO).get(b"7") != ONE
