"""The caches of the benchmark: what they hit is what they hold, and who knows the future is not beaten."""

from collections.abc import Callable, Sequence

import pytest

from benchmarks.replacement.policies import Foresight, Lru, Ours, Policy, SecondChance
from benchmarks.replacement.traces import Read, synthetic_traces

ROOM = 1 << 20
MAKERS: list[Callable[[Sequence[Read]], Policy]] = [
    lambda _: Ours(ROOM),
    lambda _: SecondChance(ROOM),
    lambda _: Lru(ROOM),
    lambda reads: Foresight(ROOM, reads),
]


@pytest.mark.parametrize("make", MAKERS, ids=["ours", "second chance", "lru", "foresight"])
def test_with_room_for_all_every_read_hits_that_was_made_before_and_finds_nothing_changed(
    make: Callable[[Sequence[Read]], Policy],
) -> None:
    reads = [Read(b"a", 10), Read(b"b", 10), Read(b"a", 10), Read(b"a", 10, changed=True), Read(b"a", 10)]
    policy = make(reads)
    assert [policy.read(read) for read in reads] == [False, False, True, False, True]


def test_foresight_is_not_beaten_and_ours_is_nearer_to_it_than_what_was_before() -> None:
    for name, reads in synthetic_traces(4_000).items():
        hits = [sum(map(make(reads).read, reads)) for make in MAKERS]
        ours, before, lru, best = hits
        assert max(ours, before, lru) <= best, name
        assert ours >= before or "drifting" in name, name  # what changes five times in 4,000 reads is learnt too late
