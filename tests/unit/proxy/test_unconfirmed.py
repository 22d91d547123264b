"""Answers are shared only once a look at the catalog that began after them has found nothing changed, and are read."""

from services.proxy.cache.entry import Answer, Entry
from services.proxy.unconfirmed import Kept, Unconfirmed, Unread
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


def test_an_answer_waits_for_a_second_reader_while_it_is_right() -> None:
    unread = Unread()
    read, waiting, evicted = kept(b"read"), kept(b"waiting"), kept(b"evicted")
    for each in (read, waiting, evicted):
        unread.add(each)
    assert unread.read_again() == []
    read.entry.hits = 1
    evicted.entry.live = False
    evicted.entry.hits = 1
    assert names(unread.read_again()) == [b"read"]
    waiting.entry.hits = 1
    assert names(unread.read_again()) == [b"waiting"]
    assert unread.read_again() == []


def test_the_oldest_that_wait_are_given_up() -> None:
    unread = Unread(most=2)
    all_kept = [kept(b"%d" % number) for number in range(3)]
    for each in all_kept:
        unread.add(each)
        each.entry.hits = 1
    assert names(unread.read_again()) == [b"1", b"2"]
