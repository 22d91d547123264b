"""What statement names mean: an interned value that sessions share."""

import gc
import random
import weakref
from dataclasses import replace

from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.session.names import Names, no_names
from services.proxy.session.prepared import LookUp, Prepared
from services.proxy.session.reply_table import ReplyTable, behind_name, used_name
from services.shared.pgwire.frontend import Bind, Execute, Query, Sync

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


def ready(table: ReplyTable, data: bytes) -> Reply | None:
    """Look for a reply as a session does."""
    return table.get(data) or table.find_narrowed(data)


def keep(names: Names, state: bytes, turn: bytes) -> Reply:
    """Keep a reply to a turn of one named statement as a session does, but for its exact bytes."""
    replies = names.meant(used_name(turn), names.context(state))
    assert replies is not None
    rest, reply = behind_name(turn), a_reply()
    replies[rest[0]], reply.bind_rest = reply, rest[1]
    return reply


def ready_under(names: Names, state: bytes, turn: bytes) -> Reply | None:
    """Look for a reply in a session that has used the name before."""
    table = names.context(state)
    names.meant(used_name(turn), table)
    return ready(table, turn)


def bind(name: bytes, value: bytes = b"7") -> bytes:
    return Bind(b"", name, (), (value,), ()).encode() + Execute(b"", 0).encode() + Sync().encode()


def test_what_uses_one_name_is_ready_whatever_other_names_there_are() -> None:
    root = no_names()
    alone, beside = root.having(b"a", ONE), root.having(b"b", TWO).having(b"a", ONE)
    others = beside.having(b"c", ONE).without(b"b")
    reply = keep(alone, b"state", bind(b"a"))
    for names in (alone, beside, others, others.only({b"a", b"c"}), root.over(beside)):
        assert names.alone(b"a", names.context(b"state")) is alone.context(b"state")
        assert ready_under(names, b"state", bind(b"a")) is reply
        assert ready_under(names, b"state", bind(b"a", b"8")) is None
        assert ready_under(names, b"other", bind(b"a")) is None


def test_what_is_ready_for_a_statement_is_so_under_each_of_its_names() -> None:
    root, another = no_names(), replace(ONE, raw=b"another Parse message")
    names = root.having(b"a", ONE)
    reply = keep(names, b"state", bind(b"a"))
    for name in (b"b", b"a much longer name", b"a"):
        assert ready_under(root.having(name, another), b"state", bind(name)) is reply
        assert ready_under(root.having(name, another).having(b"c", TWO), b"state", bind(name)) is reply
    for other in (TWO, replace(ONE, parameter_types=(23,)), replace(ONE, meaning=(1,))):
        assert ready_under(root.having(b"b", other), b"state", bind(b"b")) is None
    assert ready(root.having(b"b", another).context(b"other"), bind(b"b")) is None


def test_bytes_that_are_cut_another_way_or_run_another_portal_are_another_turn() -> None:
    names = no_names().having(b"a", ONE)
    reply, turn = keep(names, b"state", bind(b"a")), bind(b"a")
    assert ready_under(names, b"state", turn) is reply
    length = int.from_bytes(turn[1:5], "big")
    for wrong in (length - 1, length + 1, length + 10):
        assert ready_under(names, b"state", turn[:1] + wrong.to_bytes(4, "big") + turn[5:]) is None
    assert ready_under(names, b"state", turn[:5] + b"p" + turn[6:]) is None
    for end in range(1, len(turn)):
        assert ready(names.context(b"state"), turn[:end]) is None


def test_a_name_that_means_something_else_has_a_table_of_its_own() -> None:
    root = no_names()
    one, two = root.having(b"b", TWO).having(b"a", ONE), root.having(b"b", TWO).having(b"a", TWO)
    assert one.alone(b"a", one.context(b"s")) is not two.alone(b"a", two.context(b"s"))
    assert one.alone(b"b", one.context(b"s")) is two.alone(b"b", two.context(b"s"))
    again = two.having(b"a", ONE)
    assert again.alone(b"a", again.context(b"s")) is one.alone(b"a", one.context(b"s"))


def test_the_table_of_a_name_is_that_of_what_it_means_now_however_that_came_about() -> None:
    chooser, root = random.Random(1), no_names()
    statements = [Prepared(b"SELECT %d" % number, (), b"raw") for number in range(3)]
    later = [replace(one, meaning=LookUp((), 1, 1)) for one in statements]
    names = earlier = root
    for _ in range(3_000):
        name = b"%d" % chooser.randrange(4)
        match chooser.randrange(6):
            case 0:
                names = names.without(name)
            case 1:
                names = names.only({name, b"0", b"1"})
            case 2:
                names, earlier = names.over(earlier), names
            case 3:
                names = names.looked_up(lambda prepared: replace(prepared, meaning=(1, 2)))
            case _:
                names = names.having(name, chooser.choice(statements + later))
        table = names.context(b"state")
        for name in (b"0", b"1", b"2", b"3"):
            means = names.get(name)
            expected = table if means is None else root.having(name, means).context(b"state")
            assert names.alone(name, table) is expected
            assert table.narrowed(bind(name)) in (None, expected)


def test_what_uses_no_name_is_ready_whatever_names_there_are() -> None:
    root, text = no_names(), Query(b"SELECT 1").encode()
    names = root.having(b"a", ONE)
    root.context(b"state")[text] = reply = a_reply()
    assert ready(names.context(b"state"), text) is ready(root.context(b"state"), text) is reply
    assert ready(names.context(b"other"), text) is None


def test_what_uses_several_names_is_ready_where_all_of_them_mean_the_same() -> None:
    both = no_names().having(b"a", ONE).having(b"b", TWO)
    table, turn = both.context(b"state"), bind(b"a")[: -len(Sync().encode())] + bind(b"b")
    table[turn] = reply = a_reply()
    assert both.alone(b"a", table) is not table
    assert ready(table, turn) is reply
    assert ready(both.having(b"b", ONE).context(b"state"), turn) is None


def test_what_is_ready_for_a_name_outlasts_the_names_beside_it() -> None:
    names = no_names().having(b"a", ONE).having(b"b", TWO)
    reply = keep(names, b"state", bind(b"a"))
    for number in range(5):
        names = names.having(b"%d" % number, ONE)
        gc.collect()
    assert ready_under(names, b"state", bind(b"a")) is reply


def test_an_unknown_name_has_no_table_of_its_own() -> None:
    names = no_names().having(b"a", ONE).having(b"b", TWO)
    table = names.context(b"state")
    assert names.alone(b"c", table) is table
    assert names.meant(b"c", table) is None
    assert not table.alone
    assert not table.meant


def test_a_meaning_that_no_session_has_is_forgotten() -> None:
    root = no_names()
    gone = weakref.ref(root.having(b"a", ONE))
    gc.collect()
    assert gone() is None
    assert len(root._interned.names) == 1
    assert not root._interned.statements


def test_empty_tables_of_many_session_states_are_let_go() -> None:
    names = no_names()
    names.context(b"kept")[b"turn"] = a_reply()
    for number in range(10_000):
        names.context(b"%d" % number)
    assert len(names.replies) <= 256
    assert b"turn" in names.context(b"kept")


def test_so_are_those_of_a_statement() -> None:
    names = no_names().having(b"a", ONE)
    reply = keep(names, b"kept", bind(b"a"))
    for number in range(10_000):
        names.meant(b"a", ReplyTable(b"%d" % number))
    assert names._statement is not None
    assert len(names._statement.by_state) <= 256
    assert ready_under(names, b"kept", bind(b"a")) is reply


def test_beyond_a_number_of_names_further_ones_are_not_known() -> None:
    names: Names = no_names()
    for number in range(1_000):
        names = names.having(b"%d" % number, ONE)
    further = names.having(b"one more", ONE)
    assert further.get(b"one more") is None
    assert further is names
    # A name that now means something else must not keep its old meaning.
    assert names.having(b"7", TWO).get(b"7") != ONE
