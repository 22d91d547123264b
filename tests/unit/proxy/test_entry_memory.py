"""What an entry takes by estimate, beside what it takes: the bound of L1's memory is worth as much as this."""

import gc
import tracemalloc
from hashlib import blake2b

import pytest

from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.cache.l1 import L1
from services.proxy.cache.named_rows import NamedRows
from services.shared.position import START
from services.shared.relation import ShapeColumn

ENTRIES = 1_500
RELATIONS = (16_384, 16_391, 16_402)
COLUMNS = (ShapeColumn("id", 23),)
LITTLE, MUCH = 0.6, 1.15  # tracemalloc sees neither rounding nor gaps: resident memory is a tenth more


def fill(
    l1: L1, tag_count: int, sharing: int, reply_count: int, row_bytes: int, named_count: int, *, twice: bool
) -> tuple[dict[bytes, Reply], ...]:
    """Insert entries of one shape; of each tag there are as many as share it; replies are found once, or twice."""
    context, elsewhere = dict[bytes, Reply](), dict[bytes, Reply]()
    for number in range(ENTRIES):
        key = blake2b(b"%d" % number, digest_size=20).digest()
        tags = tuple(f"16384:abcdefgh:{number // sharing}:{which}" for which in range(tag_count))
        answer = Answer(b"T%d" % number + bytes(50), bytes(row_bytes + number % 10), b"C%d" % number)
        entry = Entry(key, answer, (START,), tags, RELATIONS[: 1 + tag_count % 3], (), 1e12)
        assert l1.insert(entry) == ""
        for which in range(reply_count):
            turn = b"turn %d %d" % (number, which) + bytes(40)
            reply = Reply(entry, bytes(row_bytes + number % 10), None)
            if named_count:
                reply.looked_at = tuple(
                    NamedRows(relation, 300, COLUMNS, frozenset(((b"%d of %d" % (number, relation),),)))
                    for relation in RELATIONS[:named_count]
                )
            l1.remember_reply(entry, context, turn, reply, (elsewhere, turn[4:]) if twice else None)
    return context, elsewhere


@pytest.mark.parametrize(
    ("tag_count", "sharing", "reply_count", "row_bytes", "named_count", "twice"),
    [
        (0, 1, 0, 100, 0, False),
        (1, 1, 1, 100, 0, False),
        (1, 1, 1, 100, 0, True),
        (2, 2, 0, 300, 0, False),
        (10, 1, 0, 100, 0, False),
        (10, 20, 2, 1_000, 0, False),
        (1, 1, 1, 100, 1, False),
        (2, 1, 4, 100, 3, False),
        (1, 1, 4, 100, 0, True),
    ],
)
def test_the_estimate_is_near_the_truth(
    tag_count: int, sharing: int, reply_count: int, row_bytes: int, named_count: int, *, twice: bool
) -> None:
    l1 = L1(1 << 30, (START,))
    gc.collect()
    tracemalloc.start()
    try:
        context, elsewhere = fill(l1, tag_count, sharing, reply_count, row_bytes, named_count, twice=twice)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(context), len(elsewhere)) == (ENTRIES * reply_count, ENTRIES * reply_count * twice)
    assert LITTLE < taken / l1.bytes_used < MUCH


def test_many_tags_count() -> None:
    """An answer of a list of a hundred ids has a hundred tags, which take more than the answer."""
    bare, tagged = (Entry(b"", Answer(b"", b"", b""), (), tags, (), (), 0.0) for tags in ((), ("16384:ab",) * 100))
    assert tagged.size > bare.size + 10_000
