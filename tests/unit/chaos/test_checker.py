"""The checker: what it must let pass, and the broken histories in which it must find what is wrong."""

from typing import Any

import pytest

from tests.chaos.checker import Kind, check, lost_writes, permanently_stale
from tests.chaos.history import ALWAYS, MISSING, NEVER, History, Read, Write

BOUND = 1.0


def wrote(version: int, sent: float, acknowledged: float, key: str = "k", session: str = "w", **more: Any) -> Write:
    return Write(key, version, sent, acknowledged, session, **more)


def there(version: int = 0, key: str = "k") -> Write:
    return Write(key, version, ALWAYS, ALWAYS)


def answered(version: int, begin: float, end: float, session: str = "r") -> Read:
    return Read(session, begin, end, (("k", version),))


def kinds(writes: list[Write], *reads: Read) -> list[Kind]:
    return [violation.kind for violation in check(History(writes, list(reads)), BOUND).violations]


@pytest.mark.parametrize(
    ("writes", "read"),
    [
        ([there()], answered(0, 100, 100.1)),
        ([there(), wrote(1, 10, 10.2)], answered(1, 10.05, 10.06)),  # visible before it was acknowledged
        ([there(), wrote(1, 10, 10.2)], answered(1, 9.9, 10.0)),  # sent while the answer was under way
        ([there(), wrote(1, 10, 10.2)], answered(0, 11.2, 11.3)),  # just within the bound after the acknowledgement
        ([there(), wrote(1, 10, NEVER)], answered(0, 500, 500.1)),  # nobody knows whether it came to pass
        ([there(), wrote(1, 10, NEVER)], answered(1, 500, 500.1)),
        ([there(), wrote(1, 10, NEVER), wrote(2, 20, 21)], answered(1, 22, 22.1)),
        ([there(), wrote(2, 10, 11), wrote(1, 9, 12, applied=False)], answered(2, 13, 13.1)),
        ([there(), wrote(1, 10, 15)], answered(0, 15.9, 16)),  # a commit that hung
        ([there(), wrote(1, 10, 11, undone=20)], answered(1, 19, 19.1)),  # a crash took it later
        ([there(), wrote(1, 10, 11, undone=20)], answered(0, 50, 50.1)),  # and what was before it is there again
        ([there(), wrote(1, 10, 11, undone=20, session="r")], answered(0, 50, 50.1)),  # for its own session too
    ],
)
def test_what_is_right_passes(writes: list[Write], read: Read) -> None:
    assert kinds(writes, read) == []


@pytest.mark.parametrize(
    ("writes", "read", "kind"),
    [
        ([there(), wrote(1, 10, 10.2)], answered(0, 11.21, 11.3), Kind.STALE),
        ([there(), wrote(1, 10, 10.2)], answered(0, 1000, 1000.1), Kind.STALE),
        ([there(), wrote(1, 10, 10.2)], answered(1, 9.8, 9.9), Kind.FUTURE),
        ([there(), wrote(1, 10, 10.2)], answered(2, 12, 12.1), Kind.NOWHERE),
        ([there()], answered(MISSING, 12, 12.1), Kind.LACKING),
        ([there(), wrote(2, 10, 11), wrote(1, 9, 12, applied=False)], answered(1, 10, 10.1), Kind.NOWHERE),
        # A write without an answer ends with the acknowledgement of the next one, whether it came to pass or not.
        ([there(), wrote(1, 10, NEVER), wrote(2, 20, 21)], answered(1, 22.5, 22.6), Kind.STALE),
        ([there(), wrote(1, 10, NEVER), wrote(2, 20, 21)], answered(0, 22.5, 22.6), Kind.STALE),
        # One that was overtaken shows that a greater one was visible by then.
        ([there(), wrote(2, 10, NEVER), wrote(1, 9, 12, applied=False)], answered(0, 13.5, 13.6), Kind.STALE),
        # Within the bound, and yet the session knows better.
        ([there(), wrote(1, 10, 10.2, session="r")], answered(0, 10.3, 10.4), Kind.OWN_WRITE),
        (
            [there(), wrote(1, 8, 8.1, session="r"), wrote(2, 10, 10.2, session="r")],
            answered(1, 10.3, 10.4),
            Kind.OWN_WRITE,
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(writes: list[Write], read: Read, kind: Kind) -> None:
    assert kinds(writes, read) == [kind]


def test_a_session_need_not_know_the_writes_of_others_nor_those_that_are_under_way() -> None:
    writes = [there(), wrote(1, 10, 10.2, session="other"), wrote(2, 10.1, 12, session="r")]
    assert kinds(writes, answered(0, 10.5, 10.6)) == []


def test_the_rows_of_one_answer_stand_together_at_some_instant() -> None:
    writes = [there(key="a"), there(key="b"), wrote(1, 10, 10.1, "a"), wrote(1, 10.5, 10.6, "b")]
    together = [("a", 1), ("b", 0)]
    never = [("a", 0), ("b", 1)]
    assert kinds(writes, Read("r", 10.9, 11, tuple(together))) == []
    assert kinds(writes, Read("r", 10.9, 11, tuple(never))) == [Kind.TORN]


def test_it_tells_how_old_the_oldest_answer_was() -> None:
    history = History([there(), wrote(1, 10, 10.2)], [answered(0, 10.7, 10.8), answered(0, 10.3, 10.4)])
    assert check(history, BOUND).oldest_seconds == pytest.approx(0.5)


def test_every_read_is_counted_and_every_wrong_one_reported() -> None:
    history = History([there(), wrote(1, 10, 10.2)], [answered(0, begin, begin + 0.1) for begin in (10, 11.1, 12, 13)])
    verdict = check(history, BOUND)
    assert (verdict.reads, len(verdict.of(Kind.STALE))) == (4, 2)
    assert "version 0 had been replaced for 1.800 s" in str(verdict.violations[0])


def test_a_cached_value_that_differs_when_all_is_quiet_is_stale_for_ever() -> None:
    assert permanently_stale([("a", 1), ("b", 2)], {"a": 1, "b": 2}) == []
    assert len(permanently_stale([("a", 1), ("b", 2), ("c", 0)], {"a": 2, "b": 2})) == 2


def test_an_acknowledged_write_is_in_postgres() -> None:
    history = History([there(), wrote(1, 10, 10.1), wrote(2, 11, NEVER)])
    assert lost_writes(history, {"k": 1}) == []
    assert len(lost_writes(history, {"k": 0})) == 1
