"""How cost grows with the entries in L1, and with the evictions that are remembered: the real classes, in this process.

Each entry is the answer to a read by primary key: one tag of its own, and the relation.
"""

import gc
import os
import random
from collections.abc import Sequence
from functools import partial

from benchmarks.process_memory import resident_bytes
from benchmarks.scale.clock import MICROSECONDS, MILLISECONDS, GarbagePauses, each_in_a_process, seconds_of
from benchmarks.scale.curve import Curve, gathered
from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.cache.freshness import boot_clock
from services.proxy.cache.l1 import L1
from services.proxy.cache.recent import RecentEvictions
from services.shared.lsn import Lsn
from services.shared.position import START, Position

_RELATIONS = [16_384 + 7 * number for number in range(10)]
_TRIES = 10_000  # of what is done once an entry
_BOUNDLESS_BYTES = 1 << 40
_LIFETIME_SECONDS = 600.0
_READ_AT = (Position(Lsn(1_000), 0),)
_DESCRIPTION, _ROWS, _COMPLETE = b"T" * 40, b"D" * 30, b"C" * 14


def entries_curve(sizes: Sequence[int]) -> Curve:
    """Measure L1."""
    return Curve(
        "entries",
        "Entries in L1",
        "Small answers to reads by primary key. What is done for one entry: microseconds; what looks at all of them: "
        "milliseconds for which the worker does nothing else. Processor time.",
        "entries",
        sizes,
        gathered(each_in_a_process(_measure_l1, sizes)),
    )


def recent_curve(sizes: Sequence[int]) -> Curve:
    """Measure the memory of recent evictions."""
    return Curve(
        "recent",
        "Evictions that a worker remembers",
        "`RecentEvictions` is asked whenever an answer is kept. It holds two generations of 50,000 tags each, however "
        "many there were: measured here at generations of other sizes.",
        "tags evicted",
        sizes,
        gathered(each_in_a_process(_measure_recent, sizes)),
    )


def _entry(number: int) -> Entry:
    relation = _RELATIONS[number % len(_RELATIONS)]
    return Entry(
        b"key %d" % number,
        Answer(bytes(_DESCRIPTION), b"%b%d" % (_ROWS, number), bytes(_COMPLETE)),
        _READ_AT,
        (_tag(number),),
        (relation,),
        (),
        boot_clock() + _LIFETIME_SECONDS,
    )


def _tag(number: int) -> str:
    return f"{_RELATIONS[number % len(_RELATIONS)]}:{number:024x}"


def _measure_l1(size: int) -> dict[str, float]:
    before = resident_bytes(os.getpid())
    l1 = L1(_BOUNDLESS_BYTES, (START,))
    with GarbagePauses() as pauses:
        filling = seconds_of(lambda: [l1.insert(_entry(number)) for number in range(size)])
    grown = resident_bytes(os.getpid()) - before
    estimate = l1.bytes_used
    gc.disable()  # its pauses are told of above, and would fall on whatever comes next
    chosen = random.Random(1).sample(range(size), min(size, _TRIES))
    keys = [b"key %d" % number for number in chosen]
    found = seconds_of(lambda: [l1.get(key) for key in keys]) / len(keys)
    more = [_entry(size + number) for number in range(_TRIES)]
    inserted = seconds_of(lambda: [l1.insert(entry) for entry in more]) / _TRIES
    _keep_replies(l1, keys[: size // 2])
    evictions = [(Position(Lsn(2_000), number), (_tag(number),)) for number in chosen]
    evicted = seconds_of(lambda: [l1.evict(0, position, tags, (), _READ_AT) for position, tags in evictions]) / len(
        evictions
    )
    looks = {
        "sweep, ms": seconds_of(l1.sweep),
        "catalog changed (forget_replies), ms": seconds_of(l1.forget_replies),
        "template quarantined, ms": seconds_of(lambda: l1.discard_template("another")),
        "a relation evicted whole, a tenth of all, ms": seconds_of(
            lambda: l1.evict(0, Position(Lsn(3_000), 0), (), (_RELATIONS[0],), _READ_AT)
        ),
        "all dropped, ms": seconds_of(lambda: l1.drop(_READ_AT)),
    }
    return {
        "look-up, µs": found * MICROSECONDS,
        "insert, µs": inserted * MICROSECONDS,
        "evict a tag, µs": evicted * MICROSECONDS,
        "make and insert while it grows, µs": filling / size * MICROSECONDS,
        "longest pause for garbage, ms": pauses.longest * MILLISECONDS,
        **{name: seconds * MILLISECONDS for name, seconds in looks.items()},
        "bytes each, resident": grown / size,
        "bytes each, its own estimate": estimate / size,
    }


def _keep_replies(l1: L1, keys: Sequence[bytes]) -> None:
    context: dict[bytes, Reply] = {}
    for key in keys:
        entry = l1.get(key)
        if entry is not None:
            l1.remember_reply(entry, context, b"turn " + key, Reply(entry, b"payload" * 10, None))


def full_curve(sizes: Sequence[int]) -> Curve:
    """Measure an L1 that is full: each insertion has to make room."""
    return Curve(
        "full",
        "A full L1",
        "As many entries as there is room for, then ten thousand more, each of which displaces another; once when none "
        "of those that are there was ever hit, and once when all of them were. Processor time.",
        "entries that fit",
        sizes,
        gathered(each_in_a_process(_measure_full, sizes)),
    )


def _measure_full(size: int) -> dict[str, float]:
    costs: dict[str, float] = {}
    for name, hit in (("none hit", False), ("all hit", True)):
        l1 = L1(size * _entry(10**6).size, (START,))
        for number in range(size):
            entry = _entry(number)
            entry.hits = int(hit)
            l1.insert(entry)
        more = [_entry(size + number) for number in range(_TRIES)]
        singly = [seconds_of(partial(l1.insert, entry)) for entry in more]
        costs[f"insert, {name}, µs"] = sum(singly) / _TRIES * MICROSECONDS
        costs[f"slowest insert, {name}, ms"] = max(singly) * MILLISECONDS
    return costs


def _measure_recent(size: int) -> dict[str, float]:
    before = resident_bytes(os.getpid())
    recent = RecentEvictions((START,), generation_cells=size)
    notes = [(Position(Lsn(1), number), (_tag(number),)) for number in range(size)]

    def note_all() -> None:
        for position, tags in notes:
            recent.note(position, tags, (), _READ_AT)

    noted = seconds_of(note_all)
    grown = resident_bytes(os.getpid()) - before
    chosen = [(_tag(number),) for number in random.Random(1).sample(range(2 * size), min(size, _TRIES))]
    asked = seconds_of(lambda: [recent.refuses(_READ_AT, tags, ()) for tags in chosen])
    return {
        "note, µs": noted / size * MICROSECONDS,
        "ask, µs": asked / len(chosen) * MICROSECONDS,
        "bytes each": grown / size,
    }
