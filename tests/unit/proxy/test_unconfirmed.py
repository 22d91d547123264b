"""Answers are shared only once a look at the catalog that began after them has found nothing changed, if they last."""

import pytest

from services.proxy.admission.economy import Tally
from services.proxy.cache.entry import Answer, Entry
from services.proxy.unconfirmed import Kept, Settling, Unconfirmed
from services.shared.position import START


def kept(name: bytes, body: bytes = b"") -> Kept:
    return Kept(Entry(name, Answer(b"", body, b""), (START,), ("1:*",), (1,), (), 0.0), "epoch")


def names(found: list[Kept]) -> list[bytes]:
    return [each.entry.key for each in found]


def test_a_reading_confirms_what_was_kept_before_it_began() -> None:
    unconfirmed = Unconfirmed()
    unconfirmed.add(kept(b"before"))
    unconfirmed.reading_begins()
    unconfirmed.add(kept(b"during"))
    assert names(unconfirmed.confirmed()) == [b"before"]
    unconfirmed.reading_begins()
    assert names(unconfirmed.confirmed()) == [b"during"]


def test_a_change_makes_everything_since_the_last_confirmation_doubtful() -> None:
    unconfirmed = Unconfirmed()
    unconfirmed.add(kept(b"before"))
    unconfirmed.reading_begins()
    unconfirmed.add(kept(b"during"))
    assert names(unconfirmed.doubtful()) == [b"before", b"during"]
    unconfirmed.reading_begins()
    assert unconfirmed.confirmed() == []


def test_a_reading_that_failed_leaves_its_answers_to_the_next() -> None:
    unconfirmed = Unconfirmed()
    unconfirmed.add(kept(b"first"))
    unconfirmed.reading_begins()
    unconfirmed.add(kept(b"second"))
    unconfirmed.reading_begins()
    assert names(unconfirmed.confirmed()) == [b"first", b"second"]


def test_bodies_that_wait_are_bounded() -> None:
    unconfirmed = Unconfirmed()
    for _ in range(20):
        unconfirmed.add(kept(b"large", bytes(1024 * 1024)))
    unconfirmed.reading_begins()
    found = unconfirmed.confirmed()
    assert len(found) == 20
    assert sum(each.shared for each in found) == 15  # with what an entry takes beside its body


def test_what_lasts_and_is_read_again_is_shared_some_looks_later() -> None:
    settling = Settling(looks=3)
    read, unread, evicted = kept(b"read"), kept(b"unread"), kept(b"evicted")
    for each in (read, unread, evicted):
        settling.add(each)
    read.entry.hits = evicted.entry.hits = 1
    evicted.entry.live = False
    assert [names(settling.settled()) for _ in range(4)] == [[], [], [b"read"], []]
    unread.entry.hits = 1
    assert [names(settling.settled()) for _ in range(3)] == [[], [b"unread"], []]


def test_not_much_is_shared_at_once() -> None:
    settling = Settling(looks=2, at_once=2)
    for number in range(5):
        each = kept(b"%d" % number)
        each.entry.hits = 1
        settling.add(each)
    assert [names(settling.settled()) for _ in range(5)] == [[], [b"0", b"1"], [b"2", b"3"], [b"4"], []]


def test_what_waits_is_bounded_and_has_room_again_when_it_was_evicted() -> None:
    size = kept(b"0").entry.size
    settling = Settling(looks=1, most_bytes=2 * size)
    first = [kept(b"%d" % number) for number in range(3)]
    for each in first:
        settling.add(each)
        each.entry.hits = 1
    assert names(settling.settled()) == [b"0", b"1"]
    later = [kept(b"%d" % number) for number in range(3, 6)]
    for each in later[:2]:
        settling.add(each)
    later[0].entry.live = False
    assert names(settling.settled()) == []
    settling.add(later[2])
    later[1].entry.hits = later[2].entry.hits = 1
    assert names(settling.settled()) == [b"4", b"5"]


@pytest.mark.parametrize(("reused", "found", "wanted"), [(True, 10, True), (True, 0, False), (False, 10, False)])
def test_others_want_what_is_read_again_where_look_ups_find_something(
    *, reused: bool, found: int, wanted: bool
) -> None:
    each = kept(b"key")
    each.entry.tally = Tally()
    each.entry.tally.reused = reused
    each.l2.lookups, each.l2.hits = 100, found
    each.entry.hits = 1
    assert each.is_wanted is wanted
