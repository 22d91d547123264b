"""Answers are shared only once a look at the catalog that began after them has found nothing changed."""

from services.proxy.cache.entry import Answer, Entry
from services.proxy.unconfirmed import Kept, Unconfirmed
from services.shared.keyspace.entry import StoredEntry
from services.shared.position import START


def kept(name: bytes, body: bytes = b"") -> Kept:
    entry = Entry(name, Answer(b"", b"", b""), (START,), ("1:*",), (1,), (), 0.0)
    return Kept(entry, "epoch", StoredEntry((START,), ("1:*",), (1,), (), body))


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
    assert sum(each.stored is not None for each in found) == 16
