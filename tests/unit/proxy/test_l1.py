"""L1: the rule of validity at insertion, evictions by position, ready-made replies, and bytes that add up."""

import pytest

from services.proxy.admission.economy import Tally
from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.cache.l1 import L1
from services.proxy.cache.named_rows import NamedRows
from services.shared.lsn import Lsn
from services.shared.position import START, Position
from services.shared.relation import ShapeColumn
from tests.unit.proxy.manual_clock import ManualClock

SHOPS, ORDERS = 16_384, 16_391  # of partitions 0 and 1, when there are two
SHOP_TAG, ORDER_TAG = f"{SHOPS}:aa", f"{ORDERS}:bb"
LIFETIME = 600.0
ROWS = (NamedRows(SHOPS, 1, (ShapeColumn("id", 23),), frozenset(((b"7",),))),)
ROOM = 1 << 20


def at(k: int) -> Position:
    return Position(Lsn(100), k)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def l1(clock: ManualClock) -> L1:
    return L1(ROOM, (START,), clock)


def entry(
    key: bytes = b"k",
    *,
    position: tuple[Position, ...] | None = None,
    tags: tuple[str, ...] = (SHOP_TAG,),
    relations: tuple[int, ...] = (SHOPS,),
    rows: bytes = b"rows",
    expires_at: float = 1_000.0 + LIFETIME,
) -> Entry:
    return Entry(key, Answer(b"T", rows, b"C"), position or (at(5),), tags, relations, (), expires_at)


def reply_of(kept: Entry, payload: bytes = b"payload") -> Reply:
    return Reply(kept, payload, None)


def test_an_entry_is_found_by_its_key(l1: L1) -> None:
    kept = entry()
    assert l1.insert(kept) == ""
    assert l1.get(b"k") is kept
    assert l1.get(b"other") is None
    assert l1.bytes_used == kept.size
    assert len(l1) == 1


def test_what_was_evicted_while_the_query_ran_is_refused(l1: L1) -> None:
    l1.evict(0, at(6), (SHOP_TAG,), (), (at(5),))
    assert l1.insert(entry(position=(at(5),))) == "evicted_meanwhile"
    assert l1.get(b"k") is None
    assert l1.bytes_used == 0
    assert l1.insert(entry(position=(at(6),))) == ""


def test_after_a_drop_nothing_from_below_the_floor_is_taken(l1: L1) -> None:
    kept = entry()
    context: dict[bytes, Reply] = {}
    l1.insert(kept)
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    l1.drop((at(9),))
    assert (len(l1), l1.bytes_used, kept.live, context) == (0, 0, False, {})
    assert l1.insert(entry(position=(at(8),))) == "below_floor"
    assert l1.insert(entry(position=(at(9),))) == ""


def test_a_dropped_entry_takes_no_reply(l1: L1) -> None:
    kept = entry()
    context: dict[bytes, Reply] = {}
    l1.insert(kept)
    l1.drop((at(5),))
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    assert context == {}
    assert l1.bytes_used == 0


@pytest.mark.parametrize(("tags", "relations"), [((SHOP_TAG,), ()), ((), (SHOPS,))])
def test_an_eviction_removes_the_entry_and_its_replies(
    l1: L1, tags: tuple[str, ...], relations: tuple[int, ...]
) -> None:
    kept, other = entry(), entry(b"other", tags=(ORDER_TAG,), relations=(ORDERS,))
    context: dict[bytes, Reply] = {}
    l1.insert(kept)
    l1.insert(other)
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    l1.remember_reply(other, context, b"other turn", reply_of(other))
    assert l1.evict(0, at(6), tags, relations, (at(5),)) == 1
    assert not kept.live
    assert list(context) == [b"other turn"]
    assert l1.get(b"k") is None
    assert l1.get(b"other") is other
    assert l1.bytes_used == other.size
    assert l1.evicted == 1


def test_an_eviction_that_the_answer_already_has_in_it_is_skipped(l1: L1) -> None:
    kept = entry(position=(at(6),))
    l1.insert(kept)
    assert l1.evict(0, at(6), (SHOP_TAG,), (SHOPS,), (at(5),)) == 0
    assert l1.get(b"k") is kept
    assert l1.evict(0, at(7), (SHOP_TAG,), (), (at(6),)) == 1


def test_partitions_have_positions_of_their_own() -> None:
    l1 = L1(ROOM, (START, START))
    far_future = 1e12
    both = entry(position=(at(90), at(5)), tags=(SHOP_TAG, ORDER_TAG), relations=(SHOPS, ORDERS), expires_at=far_future)
    assert l1.insert(both) == ""
    assert l1.evict(0, at(80), (SHOP_TAG,), (), (at(79), at(5))) == 0
    assert l1.evict(1, at(6), (ORDER_TAG,), (), (at(80), at(5))) == 1


def test_an_answer_takes_the_place_of_the_one_before(l1: L1) -> None:
    first, second = entry(), entry(rows=b"other rows")
    context: dict[bytes, Reply] = {}
    l1.insert(first)
    l1.remember_reply(first, context, b"turn", reply_of(first))
    l1.insert(second)
    assert l1.get(b"k") is second
    assert not first.live
    assert context == {}
    assert l1.bytes_used == second.size
    assert l1.evict(0, at(6), (SHOP_TAG,), (), (at(5),)) == 1


def test_an_answer_that_would_fill_the_cache_is_refused(l1: L1) -> None:
    assert l1.insert(entry(rows=bytes(ROOM // 4))) == "too_large"
    assert l1.bytes_used == 0


def test_age_ends_an_entry_when_it_is_asked_for_and_when_swept(l1: L1, clock: ManualClock) -> None:
    asked_for, swept = entry(b"asked for"), entry(b"swept")
    l1.insert(asked_for)
    l1.insert(swept)
    l1.insert(entry(b"younger", expires_at=clock.now + LIFETIME + 1.0))
    clock.advance(LIFETIME)
    assert l1.get(b"asked for") is None
    assert not asked_for.live
    l1.sweep()
    assert not swept.live
    assert len(l1) == 1
    assert l1.displaced == 2


def test_age_is_swept_in_parts(l1: L1, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.proxy.cache.l1._MOST_AT_ONCE", 10)
    for number in range(25):
        l1.insert(entry(b"%d" % number))
    clock.advance(LIFETIME)
    l1.insert(entry(b"younger", expires_at=clock.now + LIFETIME))
    left = []
    more = True
    while more:
        more = l1.sweep()
        left.append(len(l1))
    assert left == [16, 6, 1]
    assert l1.get(b"younger") is not None


@pytest.mark.parametrize("how", ["drop", "evict", "discard"])
def test_many_are_dead_at_once_and_taken_out_in_parts(l1: L1, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.proxy.cache.l1._MOST_AT_ONCE", 10)
    context: dict[bytes, Reply] = {}
    dead = [entry(b"%02d" % number, tags=(f"{SHOPS}:{number:02}",)) for number in range(25)]
    for one in dead:
        l1.insert(one)
        l1.remember_reply(one, context, one.key, reply_of(one))
    taken = l1.bytes_used
    match how:
        case "drop":
            l1.drop((at(5),))
        case "evict":
            assert l1.evict(0, at(6), (), (SHOPS,), (at(5),)) == 25
        case "discard":
            l1.discard_template("")
    assert not any(one.live for one in dead)
    assert not any(reply.entry.live for reply in context.values())
    assert [l1.get(one.key) for one in dead] == [None] * 25
    assert len(l1) == 0
    assert l1.bytes_used == taken * 15 // 25  # the memory of the others is not given back yet, and counts
    fresh = [entry(b"%02d" % number, position=(at(6),)) for number in range(5)]
    for one in fresh:
        assert l1.insert(one) == ""
        l1.remember_reply(one, context, one.key, reply_of(one))
    while l1.sweep():
        pass
    assert l1.bytes_used == sum(one.size for one in fresh)
    assert all(context[one.key].entry is one for one in fresh)
    assert [l1.get(one.key) for one in fresh] == fresh


def test_who_needs_room_has_it_from_what_is_dead_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.proxy.cache.l1._MOST_AT_ONCE", 1)
    monkeypatch.setattr("services.proxy.cache.l1._WITH_AN_INSERTION", 1)
    rows = bytes(1_000)
    l1 = L1(10 * entry(rows=rows).size, (START,), ManualClock())
    for number in range(9):
        popular = entry(b"%d" % number, rows=rows)
        l1.insert(popular)
        popular.hits += 100
    l1.drop((at(5),))
    fresh = [entry(b"new %d" % number, rows=rows) for number in range(9)]
    for one in fresh:
        l1.insert(one)
    assert all(one.live for one in fresh)
    assert l1.displaced == 0


def test_replies_are_forgotten_at_once_and_their_memory_is_given_back_in_parts(
    l1: L1, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.proxy.cache.l1._MOST_AT_ONCE", 10)
    context: dict[bytes, Reply] = {}
    kept = [entry(b"%d" % number) for number in range(25)]
    for one in kept:
        l1.insert(one)
    bare = l1.bytes_used
    for one in kept:
        l1.remember_reply(one, context, one.key, reply_of(one))
    l1.forget_replies()
    assert context == {}
    again = reply_of(kept[0])
    l1.remember_reply(kept[0], context, kept[0].key, again)  # before the one that was forgotten is taken apart
    while l1.sweep():
        pass
    assert context == {kept[0].key: again}
    assert all(one.live for one in kept)
    assert l1.bytes_used == bare + again.size


def test_what_has_to_make_room_is_no_more_than_that() -> None:
    rows = bytes(1_000)
    size = entry(rows=rows).size
    l1 = L1(5 * size, (START,), ManualClock())
    kept = [entry(bytes([number]), rows=rows) for number in range(5)]
    for one in kept:
        assert l1.insert(one) == ""
    assert [(one.live, one.displaced) for one in kept] == [(False, True)] + 4 * [(True, False)]
    assert l1.displaced == 1
    assert l1.get(b"\0") is None
    l1.evict(0, at(6), (SHOP_TAG,), (), (at(5),))
    assert [(one.live, one.displaced) for one in kept] == [(False, True)] + 4 * [(False, False)]


def test_of_what_had_to_go_it_is_counted_whether_it_was_read_again() -> None:
    rows = bytes(1_000)
    l1 = L1(5 * entry(rows=rows).size, (START,), ManualClock())
    made = [entry(bytes([number]), rows=rows) for number in range(8)]
    tally = Tally()
    for number, one in enumerate(made):
        one.tally = tally
        one.hits = number % 2
        assert l1.insert(one) == ""
    displaced = [one for one in made if one.displaced]
    assert tally.gone == tally.displaced == len(displaced) > 2
    assert tally.unused == sum(not one.hits for one in displaced)
    l1.evict(0, at(6), (SHOP_TAG,), (), (at(5),))
    assert (tally.gone, tally.unused) == (8, 4)


def test_what_is_dropped_for_another_reason_says_nothing_of_whether_it_would_be_read_again(l1: L1) -> None:
    kept = [entry(b"1"), entry(b"2"), entry(b"3", expires_at=1_000.0)]
    for one in kept:
        one.tally = Tally()
        assert l1.insert(one) == ""
    assert l1.get(b"3") is None  # too old
    l1.discard(kept[0])
    l1.drop((at(9),))
    assert [(one.tally.gone, one.tally.unused) for one in kept] == 3 * [(0, 0)]


def test_room_is_made_even_where_everything_was_hit() -> None:
    rows = bytes(1_000)
    size = entry(rows=rows).size
    l1 = L1(5 * size, (START,), ManualClock())
    for number in range(50):
        one = entry(bytes([number]), rows=rows)
        one.hits = 1
        l1.insert(one)
    assert l1.bytes_used == 4 * size
    assert len(l1) == 4


def test_replies_count_and_go_with_their_room(l1: L1) -> None:
    kept = entry()
    context: dict[bytes, Reply] = {}
    l1.insert(kept)
    bare = l1.bytes_used
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    with_reply = l1.bytes_used
    assert with_reply > bare + len(b"turn") + len(b"payload")
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    assert l1.bytes_used == with_reply
    l1.forget_replies()
    assert context == {}
    assert l1.bytes_used == bare == kept.size
    assert l1.get(b"k") is kept
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    assert l1.bytes_used == with_reply


def test_a_reply_that_learns_its_rows_counts_them_and_goes_with_them(l1: L1) -> None:
    kept, context = entry(), dict[bytes, Reply]()
    l1.insert(kept)
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    before = l1.bytes_used
    for rows in (ROWS, (*ROWS, *ROWS), None):  # the first that knows them is believed
        knowing = reply_of(kept)
        knowing.looked_at = rows
        l1.remember_reply(kept, context, b"turn", knowing)
        assert context[b"turn"].looked_at == ROWS
    assert l1.bytes_used == entry().size + context[b"turn"].size > before
    l1.forget_replies_of(kept)
    assert l1.bytes_used == entry().size


def test_a_reply_does_not_learn_its_rows_from_one_that_rests_on_another_entry(l1: L1) -> None:
    kept, other, context = entry(b"one"), entry(b"other"), dict[bytes, Reply]()
    l1.insert(kept)
    l1.insert(other)
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    knowing = reply_of(other)
    knowing.looked_at = ROWS
    l1.remember_reply(other, context, b"turn", knowing)
    assert context[b"turn"].looked_at is None
    assert other.size == entry(b"other").size


def test_what_the_rows_of_a_reply_take_may_push_out_its_own_entry() -> None:
    l1, kept, context = L1(8_000, (START,), ManualClock()), entry(), dict[bytes, Reply]()
    l1.insert(kept)
    l1.remember_reply(kept, context, b"turn", reply_of(kept))
    knowing = reply_of(kept)
    knowing.looked_at = ROWS * 20
    l1.remember_reply(kept, context, b"turn", knowing)
    assert (len(l1), l1.bytes_used, context) == (0, 0, {})


def test_an_entry_keeps_a_bounded_number_of_replies(l1: L1) -> None:
    kept = entry()
    contexts: list[dict[bytes, Reply]] = [{}, {}]
    l1.insert(kept)
    for number in range(200):
        l1.remember_reply(kept, contexts[number % 2], b"%03d" % number, reply_of(kept))
    remembered = [turn for context in contexts for turn in context]
    assert len(remembered) == len(kept.replies) == 32
    assert sorted(remembered)[0] == b"168"
    l1.evict(0, at(6), (SHOP_TAG,), (), (at(5),))
    assert contexts == [{}, {}]
    assert l1.bytes_used == 0


def test_a_reply_that_is_found_in_two_places_is_found_in_neither_behind_its_entry(l1: L1) -> None:
    here, there = dict[bytes, Reply](), dict[bytes, Reply]()
    for forget in (
        l1.discard,
        l1.forget_replies_of,
        lambda _: l1.forget_replies(),
        lambda _: l1.evict(0, at(6), (SHOP_TAG,), (), (at(5),)),
    ):
        kept = entry()
        l1.insert(kept)
        bare = l1.bytes_used
        l1.remember_reply(kept, here, b"turn", reply_of(kept), (there, b"rest"))
        assert here[b"turn"] is there[b"rest"]
        assert l1.bytes_used == bare + kept.replies[0].size
        forget(kept)
        assert (here, there) == ({}, {})
        assert l1.bytes_used == (bare if kept.live else 0)


def test_a_second_place_that_is_taken_stays_as_it_is(l1: L1) -> None:
    here, there = dict[bytes, Reply](), dict[bytes, Reply]()
    one, other = entry(b"one"), entry(b"other")
    for kept in (one, other):
        l1.insert(kept)
        l1.remember_reply(kept, here, kept.key, reply_of(kept), (there, b"rest"))
    assert there[b"rest"].entry is one
    l1.discard(other)
    assert there[b"rest"].entry is one
    l1.discard(one)
    assert (here, there) == ({}, {})


def test_a_reply_that_does_not_fit_may_push_out_its_own_entry() -> None:
    l1 = L1(8_000, (START,), ManualClock())
    kept = entry()
    context: dict[bytes, Reply] = {}
    l1.insert(kept)
    l1.remember_reply(kept, context, b"turn", reply_of(kept, bytes(10_000)))
    assert (len(l1), l1.bytes_used, context) == (0, 0, {})


def test_no_cell_of_an_index_outlives_its_entries(l1: L1) -> None:
    for number in range(10):
        l1.insert(entry(b"%d" % number, tags=(f"{SHOPS}:{number}",)))
    l1.evict(0, at(6), [f"{SHOPS}:{number}" for number in range(5)], (), (at(5),))
    assert len(l1._index._by_tag) == 5
    l1.evict(0, at(7), (), (SHOPS,), (at(6),))
    assert (len(l1._index._by_tag), len(l1._index._by_relation), l1.bytes_used) == (0, 0, 0)


def test_the_replies_of_one_entry_are_forgotten_and_no_other_s(l1: L1) -> None:
    one, other = entry(b"one"), entry(b"other")
    context: dict[bytes, Reply] = {}
    for kept in (one, other):
        l1.insert(kept)
        l1.remember_reply(kept, context, kept.key, reply_of(kept))
    before = l1.bytes_used
    l1.forget_replies_of(one)
    assert list(context) == [b"other"]
    assert l1.bytes_used < before
    assert one.live
    l1.remember_reply(one, context, b"one", reply_of(one))
    assert l1.bytes_used == before


def test_the_answers_to_one_template_are_discarded(l1: L1) -> None:
    one, other = entry(b"one"), entry(b"other")
    for kept, template in ((one, "select a"), (other, "select b")):
        kept.template = template
        l1.insert(kept)
    l1.discard_template("select a")
    assert (one.live, other.live, len(l1)) == (False, True, 1)
